"""What the images start from: a registry's Python where one is reachable, else Debian's packages.

The Debian bases are unpacked, not installed: no package manager, no shell, no perl stays in them.
Maintainer scripts do not run either, so what those would have made is made by hooks here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.cluster import registry
from tests.support.cluster.podman import Podman
from tests.support.cluster.progress import Progress
from tests.support.cluster.settings import Paths, inputs_key

REPOSITORY = "tradepulse.local"
REGISTRY_PYTHON = "docker.io/library/python:3.13-slim"
DEBIAN_PYTHON = "3.11"
SUITE = "bookworm"
UNUSED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
KEPT = "/usr/share/doc/*/copyright"


def _unpack(package: str, command: str) -> str:
    """A hook: `command` with the package's files in ./x, without what the package depends on."""
    return (
        'dir=$(mktemp -d); cd "$dir"; export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"; '
        f'apt-get download --quiet {package}; dpkg-deb -x *.deb x; {command}; rm -r "$dir"'
    )


def _strip(*patterns: str) -> str:
    return f'cd "$1"; rm -rf {" ".join(patterns)}'


_CERTIFICATES = _unpack(
    "ca-certificates",
    'mkdir -p "$1/etc/ssl/certs"; '
    'cat x/usr/share/ca-certificates/mozilla/*.crt > "$1/etc/ssl/certs/ca-certificates.crt"; '
    # Where OpenSSL looks by itself.
    'mkdir -p "$1/usr/lib/ssl"; '
    'ln -s /etc/ssl/certs/ca-certificates.crt "$1/usr/lib/ssl/cert.pem"',
)
_ACCOUNTS = (
    "printf 'root:x:0:0:root:/root:/sbin/nologin\\nnonroot:x:65532:65532::/tmp:/sbin/nologin\\n' "
    '> "$1/etc/passwd"; printf \'root:x:0:\\nnonroot:x:65532:\\n\' > "$1/etc/group"'
)
_SYSTEM = (
    "usr/lib/*/gconv usr/share/perl* usr/share/bash-completion usr/share/common-licenses "
    "usr/bin/dpkg* usr/sbin/dpkg* sbin/dpkg* usr/lib/dpkg usr/share/dpkg bin/tar usr/bin/mawk "
    "usr/bin/update-alternatives usr/sbin/start-stop-daemon sbin/start-stop-daemon"
)
_PYTHON_EXTRAS = (
    "usr/bin/pdb3* usr/bin/py[dg]* usr/share/python3 usr/lib/*/libdb-5* "
    "usr/lib/python3*/pydoc_data usr/lib/python3*/test usr/lib/python3*/lib2to3 "
    "usr/lib/python3*/turtle.py usr/lib/python3*/unittest/test usr/lib/python3*/idlelib"
)


@dataclass(frozen=True)
class Rootfs:
    """A root file system of Debian packages and what they depend on, changed by shell hooks."""

    name: str
    packages: Sequence[str]
    hooks: Sequence[str]

    @property
    def image(self) -> str:
        key = inputs_key(SUITE, *UNUSED, *self.packages, *self.hooks)
        return f"{REPOSITORY}/{self.name}-base:{key}"


PYTHON = Rootfs(
    "python",
    # libgcc-s1, libstdc++6: compiled wheels ask for them. netbase: names of services.
    (f"python{DEBIAN_PYTHON}", "libgcc-s1", "libstdc++6", "netbase", "base-files"),
    (
        _CERTIFICATES,
        _ACCOUNTS,
        _strip(_SYSTEM, _PYTHON_EXTRAS),
        f'ln -s python{DEBIAN_PYTHON} "$1/usr/bin/python3"',
        # The root file system is read-only in a pod: what is not compiled now never is.
        f'chroot "$1" /usr/bin/python{DEBIAN_PYTHON} -m compileall -q '
        f"--invalidation-mode=unchecked-hash /usr/lib/python{DEBIAN_PYTHON}",
    ),
)


@dataclass(frozen=True)
class PythonBase:
    """`version` is Python's major and minor, as pip wants it."""

    image: str
    version: str

    @property
    def local(self) -> bool:
        return self.image == PYTHON.image


def choose(podman: Podman) -> PythonBase:
    """Which base this machine can have; makes nothing."""
    if podman.image_exists(REGISTRY_PYTHON) or registry.reachable():
        return PythonBase(REGISTRY_PYTHON, "3.13")
    return PythonBase(PYTHON.image, DEBIAN_PYTHON)


def ensure(rootfs: Rootfs, paths: Paths, podman: Podman, progress: Progress) -> None:
    """Make the image of this root file system, unless podman has it."""
    if podman.image_exists(rootfs.image):
        return
    paths.scratch.mkdir(parents=True, exist_ok=True)
    tar = paths.scratch / f"{rootfs.name}-base.tar"
    tar.unlink(missing_ok=True)
    with progress.step(f"Building {rootfs.image} from Debian packages") as step:
        step.run(
            [
                "mmdebstrap",
                "--variant=extract",
                f"--include={','.join(rootfs.packages)}",
                *(f"--dpkgopt=path-exclude={pattern}" for pattern in UNUSED),
                f"--dpkgopt=path-include={KEPT}",
                # The extract variant knows no other hook.
                *(f"--extract-hook=set -eu; {hook}" for hook in rootfs.hooks),
                SUITE,
                tar,
            ],
            paths.root / "build" / "images" / "logs" / f"{rootfs.name}-base.log",
            env={**os.environ, "TMPDIR": str(paths.scratch)},
        )
        podman.run("import", "--quiet", tar, rootfs.image)
    tar.unlink()
