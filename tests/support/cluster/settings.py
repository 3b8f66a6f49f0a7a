"""Names, versions, address ranges and places: everything the other modules must agree on."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

CLUSTER = "tradepulse"
NODE = f"{CLUSTER}-control-plane"

# RFC 2544 benchmarking space: never routed on the Internet, and never one of the private ranges
# that the machine (or a VPN on it) is likely to use already.
GUARDED_RANGE = "198.18.0.0/15"
POD_RANGE = "198.18.0.0/20"
NODE_RANGE = "198.18.100.0/24"
NODE_GATEWAY = "198.18.100.1"
SPARE_RANGE = "198.18.101.0/24"
SERVICE_RANGE = "198.19.0.0/16"

NETWORK = "kind"
BRIDGE = "tradepulse0"

# The image of a registry, used when one is reachable; kind 0.33's own default.
PREBUILT_NODE_IMAGE = (
    "docker.io/kindest/node:v1.37.0"
    "@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)

PROBE_IMAGE = "localhost/tradepulse/probe:1"

HERE = Path(__file__).resolve().parent
GO_MODULE = HERE / "go"
NODE_FILES = HERE / "node"


@dataclass(frozen=True)
class Paths:
    """Where things are. `build` belongs to one checkout, `cache` is shared and survives `down`."""

    root: Path
    cache: Path

    @classmethod
    def default(cls) -> Paths:
        cache = os.environ.get("TRADEPULSE_CACHE") or str(Path.home() / ".cache" / "tradepulse")
        return cls(root=HERE.parents[2], cache=Path(cache).absolute())

    @property
    def build(self) -> Path:
        return self.root / "build" / "cluster"

    @property
    def kubeconfig(self) -> Path:
        return self.build / "kubeconfig"

    @property
    def bin(self) -> Path:
        """Symlinks for people; they point into the cache."""
        return self.build / "bin"

    @property
    def kubectl(self) -> Path:
        return self.bin / "kubectl"

    @property
    def kind(self) -> Path:
        return self.bin / "kind"

    @property
    def logs(self) -> Path:
        return self.build / "logs"

    @property
    def lock(self) -> Path:
        return self.build / "lock"

    @property
    def host_state(self) -> Path:
        return self.build / "host-state.json"

    @property
    def go_cache(self) -> Path:
        return self.cache / "go-build"

    @property
    def go_modules(self) -> Path:
        return self.cache / "go-mod"

    @property
    def containers(self) -> Path:
        """podman's configuration and storage: apart from the machine's own podman."""
        return self.cache / "containers"

    @property
    def runtime_state(self) -> Path:
        """What podman must forget on reboot; /run does that. One folder a cache."""
        name = hashlib.sha256(str(self.cache).encode()).hexdigest()[:8]
        return Path("/run") / f"tradepulse-{name}"

    @property
    def scratch(self) -> Path:
        return self.cache / "tmp"


def module_version(module: str, go_mod: str | None = None) -> str:
    """The version of a module that our go.mod asks for: the one place where versions are set."""
    text = go_mod if go_mod is not None else (GO_MODULE / "go.mod").read_text()
    match = re.search(rf"^\s*(?:require\s+)?{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if match is None:
        raise LookupError(f"go.mod requires no {module}")
    return match.group(1)


def inputs_key(*parts: Path | str) -> str:
    """A short hash over files, folders and strings: the name of whatever is made from them."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode() + b"\0")
            continue
        files = sorted(p for p in part.rglob("*") if p.is_file()) if part.is_dir() else [part]
        for file in files:
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
