"""Every Go program of the cluster, in one `go build`: shared packages are compiled once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import coredns, golang
from tests.support.cluster.drafts import draft_of
from tests.support.cluster.progress import Describe, Progress, Step, last_line
from tests.support.cluster.settings import GO_MODULE, Paths, inputs_key, module_version

KUBERNETES = "k8s.io/kubernetes"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
CONTAINERD = "github.com/containerd/containerd/v2"

# Go names a program after its package; these two names say too little.
RENAMED = {"server": "etcd", "operator": "prometheus-operator"}

# Needed on the machine, whichever node image is used.
HOST_PROGRAMS = (
    "sigs.k8s.io/kind",
    f"{KUBERNETES}/cmd/kubectl",
    f"{PROMETHEUS_OPERATOR}/cmd/operator",
    f"{PROMETHEUS_OPERATOR}/cmd/prometheus-config-reloader",
)
NODE_PROGRAMS = (
    *(f"{KUBERNETES}/cmd/kube-{part}" for part in ("apiserver", "controller-manager")),
    *(f"{KUBERNETES}/cmd/kube-{part}" for part in ("scheduler", "proxy")),
    *(f"{KUBERNETES}/cmd/{part}" for part in ("kubelet", "kubeadm")),
    "go.etcd.io/etcd/server/v3",
    *(f"{CONTAINERD}/cmd/{part}" for part in ("containerd", "containerd-shim-runc-v2", "ctr")),
    "github.com/coredns/coredns",
)

# Storage drivers and hardware support that a test node has no use for.
TAGS = "no_btrfs,no_devmapper,no_zfs,no_rdt,no_tracing,grpcnotrace"
# Nobody debugs these programs: a tenth of the compile time and half of the size is debug data.
COMPILER_FLAGS = "all=-dwarf=false"
# The compiler's garbage collector otherwise costs another tenth.
COMPILER_GOGC = "400"


def linker_flags() -> str:
    kubernetes = module_version(KUBERNETES)
    major, minor, _ = kubernetes.lstrip("v").split(".", 2)
    stamps = {
        "k8s.io/component-base/version.gitVersion": kubernetes,
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
        "k8s.io/component-base/version.gitTreeState": "clean",
        f"{CONTAINERD}/version.Version": module_version(CONTAINERD),
        "github.com/prometheus/common/version.Version": module_version(PROMETHEUS_OPERATOR).lstrip(
            "v"
        ),
    }
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in stamps.items())])


def build_flags() -> list[str]:
    return [
        "-trimpath",
        f"-tags={TAGS}",
        f"-gcflags={COMPILER_FLAGS}",
        f"-ldflags={linker_flags()}",
    ]


def environment(go: Path, paths: Paths) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{go.parent}:{os.environ['PATH']}",
        "GOCACHE": str(paths.go_cache),
        "GOMODCACHE": str(paths.go_modules),
        "GOFLAGS": "",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        "GOGC": COMPILER_GOGC,
    }


def key(programs: Sequence[str]) -> str:
    return inputs_key(GO_MODULE, *programs, *build_flags())


def ensure(paths: Paths, progress: Progress, programs: Sequence[str]) -> Path:
    """The folder with these programs, built if their inputs changed."""
    target = paths.cache / "bin" / key(programs)
    if target.exists():
        return target
    go = golang.ensure(paths, progress)
    work = Work(go, paths, environment(go, paths), programs)
    with draft_of(target) as draft:
        if draft:
            with progress.step("Fetching Go modules") as step:
                go_mod = coredns.trimmed_go_mod(go, paths, work.env, step)
                count = work.fetch(go_mod, step)
            with progress.step(f"Compiling {len(programs)} programs, {count} packages") as step:
                work.compile(go_mod, draft, count, step)
    return target


@dataclass(frozen=True)
class Work:
    go: Path
    paths: Paths
    env: Mapping[str, str]
    programs: Sequence[str]

    def fetch(self, go_mod: Path, step: Step) -> int:
        """Listing the packages fetches exactly the modules that hold them; counts the work."""
        log = self.paths.logs / "go-packages.log"
        listing = ["list", "-deps", f"-tags={TAGS}", "-mod=mod", f"-modfile={go_mod}"]
        step.run([self.go, *listing, *self.programs], log, env=self.env, cwd=GO_MODULE)
        return sum(1 for line in log.read_text().splitlines() if not line.startswith("go: "))

    def compile(self, go_mod: Path, draft: Path, count: int, step: Step) -> None:
        options = ["-v", "-mod=mod", f"-modfile={go_mod}", *build_flags(), "-o", f"{draft}/"]
        step.run(
            [self.go, "build", *options, *self.programs],
            self.paths.logs / "go-build.log",
            env=self.env,
            cwd=GO_MODULE,
            describe=_counter(count),
        )
        for old, new in RENAMED.items():
            if (draft / old).exists():
                (draft / old).rename(draft / new)


def _counter(count: int) -> Describe:
    """`go build -v` names each package as it is compiled."""

    def describe(log: Path) -> str:
        done = log.read_bytes().count(b"\n") if log.exists() else 0
        return f"{done}/{count} {last_line(log)}" if done < count else "linking"

    return describe


def pause_program(paths: Paths, bin_dir: Path) -> Path:
    """Kubernetes' own pause program: 60 lines of C, in its Go module."""
    target = bin_dir / "pause"
    if not target.exists():
        version = module_version(KUBERNETES)
        source = paths.go_modules / f"{KUBERNETES}@{version}" / "build/pause/linux/pause.c"
        subprocess.run(
            ["gcc", "-Os", "-static", f"-DVERSION={version}", "-o", target, source],
            check=True,
            capture_output=True,
        )
    return target
