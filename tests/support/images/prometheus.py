"""Prometheus from its Go module, with only the service discovery that a cluster needs.

Debian's Prometheus leaves Kubernetes discovery out. A build with every discovery pulls the clients
of twenty clouds; Prometheus' own way to leave them out is its list of plugins, in a copy of the
module. Versions of its dependencies are those of its own go.mod, checked by its own go.sum.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.cluster import gobuild, golang
from tests.support.cluster.drafts import draft_of
from tests.support.cluster.progress import Progress, Step
from tests.support.cluster.settings import Paths, inputs_key, module_version

MODULE = "github.com/prometheus/prometheus"
PROGRAM = "prometheus"
#: Checks rules. It shares nearly every package with the server: seconds more, in the same build.
PROMTOOL = "promtool"
# plugins/minimum.go adds discovery from files and over HTTP, which share code with the rest.
PLUGINS = f'package plugins\n\nimport _ "{MODULE}/discovery/kubernetes"\n'
TAGS = "no_tracing,grpcnotrace"


def module() -> str:
    """The module's version that the Prometheus operator was written for: v0.305.0."""
    return module_version(MODULE)


def version() -> str:
    """The release that a module version stands for: v0.305.0 is v3.5.0."""
    _, minor, patch = module().split(".")
    return f"v{int(minor) // 100}.{int(minor) % 100}.{patch}"


def key() -> str:
    return inputs_key(module(), PLUGINS, TAGS, gobuild.COMPILER_FLAGS)


def ensure(paths: Paths, progress: Progress) -> Path:
    """The folder with the programs, built if their inputs changed."""
    target = paths.cache / "bin" / f"{PROGRAM}-{key()}"
    if target.exists():
        return target
    go = golang.ensure(paths, progress)
    with draft_of(target) as draft:
        if draft:
            with progress.step(f"Compiling Prometheus {version()}") as step:
                _build(go, draft, paths, step)
    return target


def _build(go: Path, draft: Path, paths: Paths, step: Step) -> None:
    env, source = gobuild.environment(go, paths), paths.scratch / f"{PROGRAM}-source"
    shutil.rmtree(source, ignore_errors=True)
    try:
        _copy_module(go, source, paths, env)
        (source / "plugins" / "plugins.go").write_text(PLUGINS)
        stamp = f"-X github.com/prometheus/common/version.Version={version().lstrip('v')}"
        step.run(
            [
                *(go, "build", "-v", "-trimpath", f"-tags={TAGS}"),
                *(f"-gcflags={gobuild.COMPILER_FLAGS}", f"-ldflags=-s -w {stamp}"),
                *("-o", f"{draft}/", f"./cmd/{PROGRAM}", f"./cmd/{PROMTOOL}"),
            ],
            paths.root / "build" / "images" / "logs" / "prometheus-build.log",
            env=env,
            cwd=source,
        )
    finally:
        shutil.rmtree(source, ignore_errors=True)


def _copy_module(go: Path, target: Path, paths: Paths, env: dict[str, str]) -> None:
    """Go refuses changes in its module cache, and its files there are read-only."""
    name = f"{MODULE}@{module()}"
    subprocess.run([go, "mod", "download", name], env=env, capture_output=True, check=True)
    shutil.copytree(paths.go_modules / name, target, ignore=_unused, copy_function=shutil.copyfile)
    for place, _, _ in os.walk(target):
        os.chmod(place, 0o755)


_LEFT_OUT = shutil.ignore_patterns("testdata", "*_test.go", "documentation", "docs")


def _unused(folder: str, names: list[str]) -> set[str]:
    """What no program needs; the engine that promtool tests rules with embeds its testdata."""
    found = _LEFT_OUT(folder, names)
    return found - {"testdata"} if folder.endswith("promqltest") else found
