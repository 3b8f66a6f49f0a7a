"""What the Dockerfiles copy: locked wheels, this project's own wheel, recorded prices."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path

from tests.support.cluster.progress import Progress, Step, StepFailed
from tests.support.cluster.settings import inputs_key
from tests.support.images.base import PythonBase
from tests.support.images.catalog import APPS, DEMO, DEMO_STAGING, ROOT, RUNNER, App, source_files

LOGS = ROOT / "build" / "images" / "logs"
INSTALLER_LOCK = Path("requirements") / "uv.txt"


def stage(app: App, base: PythonBase, progress: Progress) -> None:
    """Fill `app.staging`; wheels are fetched only if the lock or the base's Python changed."""
    with progress.step(f"Wheels of the {app.name}") as step:
        _fetch_wheels(app, base, step)
        _build_package(app, step)
        if app.name == RUNNER.name:
            _copy_prices(app.staging / "prices")


def stage_demo(progress: Progress) -> None:
    """Fill the staging folder of bad releases: the package with the defects, nothing else."""
    with progress.step("Wheel of the demo") as step:
        _build_wheel(DEMO, DEMO_STAGING / "app", LOGS / "demo-wheel.log", step)


def _fetch_wheels(app: App, base: PythonBase, step: Step) -> None:
    mark = app.staging / "wheels.key"
    installer = app.root / INSTALLER_LOCK
    key = inputs_key(app.lock, installer, base.version)
    if mark.exists() and mark.read_text() == key:
        return
    wheels = app.staging / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir(parents=True)
    log = LOGS / f"{app.name}-wheels.log"
    step.run(_download(base, wheels, app.lock), log)
    pip_lock = app.staging / "pip.txt"
    pip_lock.write_text(locked("pip", installer.read_text()))
    step.run(_download(base, app.staging, pip_lock), log)
    next(app.staging.glob("pip-*.whl")).replace(app.staging / "pip.whl")
    mark.write_text(key)


def _download(base: PythonBase, target: Path, lock: Path) -> list[str | Path]:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"),
        *("--only-binary=:all:", f"--dest={target}", f"--requirement={lock}"),
        *([] if base.version == here else [f"--python-version={base.version}"]),
    ]


def locked(package: str, lock: str) -> str:
    """The lines of one package in a lock file."""
    match = re.search(rf"^{re.escape(package)}==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    if match is None:
        raise LookupError(f"the lock has no {package}")
    return match.group(0)


def _build_package(app: App, step: Step) -> None:
    """A wheel with this app's package alone: a change of the other leaves the image as it is."""
    tree = app.staging / "source"
    shutil.rmtree(tree, ignore_errors=True)
    for file in source_files(app.sources):
        target = tree / file.relative_to(app.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    pyproject = (app.root / "pyproject.toml").read_text()
    (tree / "pyproject.toml").write_text(only_script(app, pyproject))
    (tree / "README.md").write_text("TradePulse\n")
    _build_wheel(tree, app.staging / "app", LOGS / f"{app.name}-wheel.log", step)


def _build_wheel(source: Path, target: Path, log: Path, step: Step) -> None:
    """The wheel of the project in ``source``, alone in ``target``."""
    shutil.rmtree(target, ignore_errors=True)
    step.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", target],
        log,
        cwd=source,
        # Not the checkout's: the same sources give the same bytes everywhere.
        env={**os.environ, "SOURCE_DATE_EPOCH": "1580601600"},
    )


def only_script(app: App, pyproject: str) -> str:
    """pyproject.toml without the commands of the other programs, whose packages are left out."""
    for other in APPS:
        if other.name != app.name:
            pyproject, count = re.subn(rf"^{other.script} = .*\n", "", pyproject, flags=re.M)
            if count != 1:
                raise LookupError(f"pyproject.toml has {count} scripts named {other.script}")
    return pyproject


def _copy_prices(target: Path) -> None:
    """The candles that the locked `backtesting` package ships for its own tests."""
    spec = importlib.util.find_spec("backtesting")
    if spec is None or spec.origin is None:
        raise StepFailed("the package `backtesting` is not installed: run `make setup`")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in sorted((Path(spec.origin).parent / "test").glob("*.csv")):
        shutil.copyfile(file, target / file.name)
