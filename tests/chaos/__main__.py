"""``python -m tests.chaos``: the campaign, resumable, by a few processes at once."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import click

from tests.chaos.campaign import Office, by_case, can_mount, load, share
from tests.chaos.defects import DEFECTS
from tests.chaos.plan import Case
from tests.chaos.points import CORE, DAMAGE, POINTS
from tests.chaos.table import failures, table
from tests.chaos.venues import VENUES

#: How often a case is tried that the machine gave no time to.
ROUNDS = 3


def chosen(text: str, known: tuple[str, ...], what: str) -> list[str]:
    """The comma-separated names of ``text``, groups among them. Raises BadParameter."""
    groups = {"all": known, "core": CORE, "kills": POINTS, "damage": DAMAGE}
    names = [name.strip() for name in text.split(",")]
    found = [name for part in names for name in groups.get(part, (part,))]
    for name in found:
        if name not in known:
            raise click.BadParameter(f"{name!r} is no {what}; known: {', '.join(known)}")
    return found


def storage() -> Path:
    """Memory when there is some: killed processes lose nothing there, and it is quick."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


@click.command()
@click.option("--venues", default="all", show_default=True, help="Comma-separated.")
@click.option(
    "--points", default="all", show_default=True, help="Or core, kills, damage, or names."
)
@click.option("--seeds", default=20, show_default=True, help="Seeds per point and venue.")
@click.option("--only-seed", type=int, help="Just this one.")
@click.option("--jobs", default=2, show_default=True, help="Processes at once.")
@click.option("--defect", type=click.Choice(list(DEFECTS)), help="Plant it: is it found?")
@click.option("--stop", is_flag=True, help="Stop at the first finding.")
@click.option("--keep", is_flag=True, help="Keep the folders of cases that went well, too.")
@click.option("--results", type=click.Path(path_type=Path), help="A file to continue from.")
@click.option("--base", type=click.Path(path_type=Path), help="Where the cases' folders are.")
def main(
    venues: str,
    points: str,
    seeds: int,
    only_seed: int | None,
    jobs: int,
    defect: str | None,
    stop: bool,
    keep: bool,
    results: Path | None,
    base: Path | None,
) -> None:
    """Kill the runner at every named moment, again and again, and compare with the venue."""
    if defect:
        DEFECTS[defect][0]()
    base = base or Path(tempfile.mkdtemp(prefix="tradepulse-chaos-", dir=storage()))
    results = results or base / "results.jsonl"
    numbers = range(seeds) if only_seed is None else [only_seed]
    names = chosen(points, POINTS + DAMAGE, "point")
    if "disk full" in names and not can_mount():
        click.echo("disk full: not tried, mounting a small file system needs root")
        names.remove("disk full")
    wanted = [
        Case(venue, point, seed)
        for seed in numbers
        for venue in chosen(venues, tuple(VENUES), "venue")
        for point in names
    ]
    office = Office(base, results, keep, stop)
    for _ in range(ROUNDS):  # what was starved is tried again once the others are done
        judged = {case for case, found in by_case(results, wanted).items() if not found.void}
        cases = [case for case in wanted if case not in judged]
        if not cases or office.closed:
            break
        click.echo(f"{len(cases)} cases ({len(wanted) - len(cases)} done before), in {base}")
        share_out(cases, jobs, office)
    found = list(by_case(results, wanted).values())
    click.echo(table(found))
    if wrong := failures(found):
        click.echo("\n" + "\n".join(wrong[:40]))
        raise click.ClickException(f"{len(wrong)} findings; the folders are in {base}")
    if not keep and results.parent != base:
        shutil.rmtree(base)


def share_out(cases: list[Case], jobs: int, office: Office) -> None:
    """Let ``jobs`` processes run them, and say how far they are."""
    began, before = time.monotonic(), len(load(office.results))
    pids = set(share(cases, jobs, office))
    while pids:
        time.sleep(0.5)
        pids -= {pid for pid in pids if os.waitpid(pid, os.WNOHANG)[0]}
        found = load(office.results)
        wrong = sum(bool(result.findings) for result in found)
        pace = (len(found) - before) / (time.monotonic() - began)
        left = len(cases) - (len(found) - before)
        text = f"{len(found) - before} run, {left} left, {wrong} with findings, {pace:.1f}/s"
        click.echo(f"\r{text}   ", nl=False)
    click.echo()


if __name__ == "__main__":
    main()
