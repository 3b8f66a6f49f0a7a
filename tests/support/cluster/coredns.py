"""CoreDNS with only the plugins we use, by its own documented way: a short plugin.cfg.

CoreDNS generates two source files from plugin.cfg. Go refuses an overlay over files in its module
cache, so the module is copied, the files generated in the copy, and go.mod's copy points to it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.cluster.progress import Step
from tests.support.cluster.settings import GO_MODULE, Paths, inputs_key

MODULE = "github.com/coredns/coredns"


def trimmed_go_mod(go: Path, paths: Paths, env: Mapping[str, str], step: Step) -> Path:
    """A go.mod for `-modfile` in which CoreDNS is replaced by its trimmed copy."""
    work = paths.cache / "src" / inputs_key(GO_MODULE)
    go_mod = work / "go.mod"
    if go_mod.exists():
        return go_mod
    shutil.rmtree(work, ignore_errors=True)
    source = work / "coredns"
    shutil.copytree(_module_dir(go, env), source, ignore=shutil.ignore_patterns("testdata", "man"))
    _make_writable(source)
    shutil.copy(GO_MODULE / "plugin.cfg", source / "plugin.cfg")
    step.run(
        [go, "run", "directives_generate.go"],
        paths.logs / "coredns-plugins.log",
        env={**env, "GOFLAGS": "-mod=mod"},
        cwd=source,
    )
    shutil.copy(GO_MODULE / "go.sum", work / "go.sum")
    draft = work / "draft.mod"
    shutil.copy(GO_MODULE / "go.mod", draft)
    subprocess.run(
        [go, "mod", "edit", f"-replace={MODULE}={source}", draft],
        env=dict(env),
        check=True,
        capture_output=True,
    )
    # Last, and at once: this file's existence says that the rest is complete.
    draft.rename(go_mod)
    return go_mod


def _module_dir(go: Path, env: Mapping[str, str]) -> Path:
    """Fetches the module if need be; `go list -m` alone would not."""
    shown = subprocess.run(
        [go, "mod", "download", "-json", MODULE],
        cwd=GO_MODULE,
        env=dict(env),
        check=True,
        capture_output=True,
        text=True,
    )
    return Path(json.loads(shown.stdout)["Dir"])


def _make_writable(folder: Path) -> None:
    """Files in Go's module cache are read-only, and so are their copies."""
    for place, _, files in os.walk(folder):
        os.chmod(place, 0o755)
        for name in files:
            os.chmod(os.path.join(place, name), 0o644)
