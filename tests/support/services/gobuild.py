"""A server built from Go modules: a folder with a go.mod that names it as a tool.

Each server has a module of its own, so that one more of them compiles nothing of the others anew;
compiler, caches and flags are the cluster's.
"""

from __future__ import annotations

from pathlib import Path

from tests.support.cluster import gobuild, golang
from tests.support.cluster.drafts import draft_of
from tests.support.cluster.progress import Progress, Step, last_line
from tests.support.cluster.settings import Paths, inputs_key

_FLAGS = ("-trimpath", f"-gcflags={gobuild.COMPILER_FLAGS}", "-ldflags=-s -w")


def program(module: Path, package: str, *, tags: str = "") -> Path:
    """Where the program of ``package`` lies, or will lie, for the versions that ``module`` asks
    for; it exists once it was built."""
    key = inputs_key(module / "go.mod", module / "go.sum", package, tags, *_FLAGS)
    return Paths.default().cache / "bin" / key / package.rsplit("/", 1)[-1]


def ensure(module: Path, package: str, step: Step, *, tags: str = "") -> Path:
    """The program of ``package``, built unless it is there. Raises StepFailed."""
    target = program(module, package, tags=tags)
    if target.exists():
        return target
    paths = Paths.default()
    go = golang.ensure(paths, Progress())
    with draft_of(target.parent) as draft:
        if draft:
            step.run(
                [
                    *(go, "build", "-v", "-mod=readonly", f"-tags={tags}", *_FLAGS),
                    *("-o", f"{draft}/", package),
                ],
                paths.logs / f"go-{target.name}.log",
                env=gobuild.environment(go, paths),
                cwd=module,
                describe=last_line,
            )
    return target
