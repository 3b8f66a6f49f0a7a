"""The images: their names, what each is made from, and the key that says whether it is current."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.cluster import gobuild
from tests.support.cluster.settings import inputs_key, module_version
from tests.support.images import prometheus
from tests.support.images.base import REPOSITORY, PythonBase

#: On every image: the key of its inputs.
LABEL = "io.tradepulse.inputs"
FILES = Path(__file__).resolve().parent / "files"
ROOT = Path(__file__).resolve().parents[3]
#: Of pyproject.toml; manifests/ name the operator's image by it.
VERSION = "0.1.0"


@dataclass(frozen=True)
class Release:
    """One release of the runner; `defect` names what makes it a bad one."""

    version: str
    defect: str = ""

    @property
    def image(self) -> str:
        return f"{REPOSITORY}/runner:{self.version}"


#: Good ones, then three that go wrong in different ways once they trade.
RELEASES = (
    Release("1.0.0"),
    Release("1.1.0"),
    Release("1.2.0", "errors"),
    Release("1.2.1", "latency"),
    Release("1.2.2", "freeze"),
)


@dataclass(frozen=True)
class App:
    """A program of this project: which package its image gets, and its other inputs."""

    name: str
    package: str
    script: str
    #: The checkout that it is built from.
    root: Path = field(default_factory=lambda: ROOT)

    @property
    def dockerfile(self) -> Path:
        return self.root / self.name / "Dockerfile"

    @property
    def lock(self) -> Path:
        return self.root / "requirements" / f"{self.name}.txt"

    @property
    def sources(self) -> Path:
        return self.root / self.name / self.package

    @property
    def staging(self) -> Path:
        """Where its Dockerfile finds wheels and data."""
        return self.root / "build" / "images" / self.name


OPERATOR = App("operator", "tradepulse_operator", "tradepulse-operator")
RUNNER = App("runner", "tradepulse_runner", "tradepulse-runner")
APPS = (OPERATOR, RUNNER)

#: What bad releases have on top of the runner's image: the package with the defects.
DEMO = ROOT / "demo"
DEMO_DOCKERFILE = DEMO / "Dockerfile"
DEMO_STAGING = ROOT / "build" / "images" / "demo"


@dataclass(frozen=True)
class Image:
    """An image to build. `tags[0]` is the name that pods use."""

    tags: tuple[str, ...]
    key: str
    dockerfile: Path
    context: Path
    arguments: Mapping[str, str] = field(default_factory=dict)
    app: App | None = None
    #: The Go program in it; its folder, once it is built, is the context.
    program: str = ""

    @property
    def name(self) -> str:
        return self.tags[0]


def source_files(folder: Path) -> list[Path]:
    """What hatchling would pack: no caches, no editor's leftovers."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix != ".pyc"
        and not any(
            part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts
        )
    )


def tree_key(*parts: Path | str) -> str:
    """Like `inputs_key`, but a file that is renamed counts as changed, and caches do not count."""
    words: list[Path | str] = []
    for part in parts:
        files: Iterable[Path] = ()
        if isinstance(part, str):
            words.append(part)
        else:
            files = source_files(part) if part.is_dir() else [part]
        for file in files:
            words += [str(file.relative_to(ROOT)), file]
    return inputs_key(*words)


def app_key(app: App, base: PythonBase) -> str:
    locks = ROOT / "requirements"
    extra = [locks / "dev.txt"] if app is RUNNER else []  # the recorded prices' package
    return tree_key(
        base.image,
        app.dockerfile,
        app.lock,
        locks / "uv.txt",
        ROOT / "pyproject.toml",
        app.sources,
        *extra,
    )


def operator_image(base: PythonBase) -> Image:
    key = app_key(OPERATOR, base)
    name = f"{REPOSITORY}/operator"
    return Image(
        # A tag that changes with the inputs restarts the Deployment when they change.
        tags=(f"{name}:dev-{key}", f"{name}:{VERSION}"),
        key=key,
        dockerfile=OPERATOR.dockerfile,
        context=ROOT,
        arguments={"PYTHON_IMAGE": base.image, "VERSION": VERSION, "REVISION": f"dev-{key}"},
        app=OPERATOR,
    )


def runner_images(base: PythonBase) -> list[Image]:
    """The good releases."""
    key = app_key(RUNNER, base)
    return [
        Image(
            tags=(release.image,),
            key=inputs_key(key, release.version),
            dockerfile=RUNNER.dockerfile,
            context=ROOT,
            arguments=_release_arguments(release, base, key),
            app=RUNNER,
        )
        for release in RELEASES
        if not release.defect
    ]


def demo_images(base: PythonBase) -> list[Image]:
    """The bad releases, each on top of the first good one: built after that."""
    runner = runner_images(base)[0]
    key = tree_key(runner.key, DEMO)
    return [
        Image(
            tags=(release.image,),
            key=inputs_key(key, release.version, release.defect),
            dockerfile=DEMO_DOCKERFILE,
            context=ROOT,
            arguments={
                **_release_arguments(release, base, key),
                "RUNNER_IMAGE": runner.name,
                "DEFECT": release.defect,
            },
            app=RUNNER,
        )
        for release in RELEASES
        if release.defect
    ]


def _release_arguments(release: Release, base: PythonBase, key: str) -> dict[str, str]:
    return {
        "PYTHON_IMAGE": base.image,
        "RELEASE_VERSION": release.version,
        "RELEASE_REVISION": f"dev-{key}",
    }


def prometheus_image() -> Image:
    dockerfile = FILES / "prometheus.Containerfile"
    return Image(
        tags=(f"{REPOSITORY}/prometheus:{prometheus.version()}",),
        key=tree_key(prometheus.key(), dockerfile),
        dockerfile=dockerfile,
        context=FILES,
        program=prometheus.PROGRAM,
    )


def go_image(program: str, bin_key: str) -> Image:
    dockerfile = FILES / "program.Containerfile"
    version = module_version(gobuild.PROMETHEUS_OPERATOR)
    return Image(
        tags=(f"{REPOSITORY}/{program}:{version}",),
        key=tree_key(bin_key, program, dockerfile),
        dockerfile=dockerfile,
        context=FILES,
        arguments={"PROGRAM": program},
        program=program,
    )


def monitoring_images() -> list[Image]:
    bin_key = gobuild.key(gobuild.HOST_PROGRAMS)
    programs = ("prometheus-operator", "prometheus-config-reloader")
    return [prometheus_image(), *(go_image(program, bin_key) for program in programs)]


def all_images(base: PythonBase) -> list[Image]:
    return [
        operator_image(base),
        *runner_images(base),
        *demo_images(base),
        *monitoring_images(),
    ]
