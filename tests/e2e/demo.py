"""`make demo`: a bad release rolls itself back, on a real cluster, while you watch."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.rule import Rule

from tests.support.cluster.api import paths
from tests.support.cluster.progress import clock
from tests.support.e2e import environment, scenario
from tests.support.e2e.client import Cluster, Manifest, phase

NAMESPACE = "trading"
RUNNER = "btc-paper"
TICK = 0.5

Say = Callable[[str], None]


class Screen:
    """One permanent line per thing that happened, one live line for what is waited for."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self._started = time.monotonic()
        self._plain_at = 0.0

    def title(self, text: str) -> None:
        self.console.print()
        self.console.print(Rule(f"[bold]{text}[/]", align="left"))

    def happened(self, text: str) -> None:
        self.console.print(f"[dim]{clock(time.monotonic() - self._started):>7}[/]  {text}")

    def waits(self, text: str, since: float) -> None:
        took = clock(time.monotonic() - since)
        line = f"         [dim]… {text} ({took})[/]"
        if self.console.is_terminal:
            self.console.print(line, end="\r", overflow="ellipsis", no_wrap=True, soft_wrap=False)
        elif time.monotonic() - self._plain_at > 10:
            self._plain_at = time.monotonic()
            self.console.print(line)


def follow(screen: Screen, cluster: Cluster, cutover: str) -> Manifest:
    """Print each phase of a cutover as it is entered, until its end."""
    shown, since = 0, time.monotonic()
    while True:
        found = cluster.cutover(cutover, NAMESPACE)
        if found is None:
            raise click.ClickException(f"the cutover {cutover} is gone: was it deleted by hand?")
        status = found.get("status") or {}
        for record in (status.get("phases") or [])[shown:]:
            shown, since = shown + 1, time.monotonic()
            name, message = record["phase"], record.get("message", "")
            screen.happened(f"[bold]{name:<12}[/] {message}")
        if phase(found) in scenario.FINAL:
            return found
        screen.waits(f"{phase(found) or 'Pending'}: {status.get('message') or 'starts'}", since)
        time.sleep(TICK)


def start(screen: Screen, cluster: Cluster) -> None:
    screen.title(f"A runner on the paper venue: {scenario.GOOD}")
    cluster.namespace(NAMESPACE)
    cluster.apply(scenario.runner(RUNNER, NAMESPACE))
    screen.happened(f"applied TradingRunner {NAMESPACE}/{RUNNER}")
    scenario.trading(cluster, RUNNER, NAMESPACE)
    screen.happened("it trades: its pod is ready and reconciled with the venue")


def move(screen: Screen, cluster: Cluster, image: str, title: str) -> Manifest:
    """Change spec.release as a commit does, and follow what the operator makes of it."""
    screen.title(f"{title}: {image}")
    cutover = scenario.release(cluster, RUNNER, NAMESPACE, image)
    screen.happened(f"changed spec.release.image; the operator started {cutover}")
    return follow(screen, cluster, cutover)


def expect(found: Manifest, wanted: str) -> None:
    if phase(found) != wanted:
        message = found["status"].get("message")
        raise click.ClickException(f"the cutover ended {phase(found)}, not {wanted}: {message}")


def reset(cluster: Cluster) -> None:
    """Each demo starts from nothing: what an earlier one left is removed."""
    if cluster.get("Namespace", NAMESPACE, "") is None:
        return
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait", "--timeout=120s", timeout=150)


def save_report(cluster: Cluster, found: Manifest) -> Path:
    """Copy the incident report out of the cluster, so that it can be read without kubectl."""
    stored = scenario.final_report(cluster, found)
    folder = paths.root / "build" / "demo" / stored["metadata"]["name"]
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in stored["data"].items():
        (folder / file).write_text(text)
    return Path(folder / "report.md")


def seconds_between(first: str, second: str) -> float:
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


def close(screen: Screen, cluster: Cluster, bad: Manifest, report: Path) -> None:
    screen.title("kubectl get tradingrunners,releasecutovers")
    print(cluster.kubectl("get", "tradingrunners,releasecutovers", "-n", NAMESPACE))
    screen.title("kubectl describe of the rolled-back cutover")
    name = bad["metadata"]["name"]
    print(cluster.kubectl("describe", "releasecutover", name, "-n", NAMESPACE))
    at = {record["phase"]: record["at"] for record in bad["status"]["phases"]}
    took = seconds_between(at["RollingBack"], at["RolledBack"])
    screen.title("Done")
    screen.happened(f"from the verdict to the verified rollback: {took:.1f} s")
    screen.happened(f"incident report: [bold]{report}[/]")
    screen.happened(f"on the state volume: {bad['status']['report'].get('path')}")
    screen.happened(f"look around: {paths.kubectl} --kubeconfig {paths.kubeconfig} get tr -A")
    screen.happened("remove everything: make cluster-down")


@click.command()
def main() -> None:
    """Bring everything up, promote a good release, and let a bad one roll itself back."""
    screen = Screen()
    screen.title("The cluster, Prometheus and the operator")
    environment.up()
    cluster = Cluster()
    reset(cluster)
    start(screen, cluster)
    good = move(screen, cluster, scenario.NEXT, "A good release")
    expect(good, "Succeeded")
    bad = move(screen, cluster, scenario.BAD["error rate"], "A bad release")
    expect(bad, "RolledBack")
    report = save_report(cluster, bad)
    scenario.trading(cluster, RUNNER, NAMESPACE)
    close(screen, cluster, bad, report)


if __name__ == "__main__":
    main()
