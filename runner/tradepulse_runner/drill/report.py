"""The drill's report: Markdown for people, JSON for machines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tradepulse_runner.config.runner import RunnerConfig
from tradepulse_runner.drill.rehearsal import Result
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.release import Release

#: Bytes of a termination message.
LONGEST_MESSAGE = 4096


def write_report(
    path: Path, result: Result, config: RunnerConfig, release: Release
) -> tuple[Path, Path]:
    """Write ``path`` as Markdown and, in the same directory, as JSON; returns both. Raises
    :class:`ConfigError` for a place that can't be written."""
    stem = path.name.removesuffix(".md").removesuffix(".json")
    markdown, machine = path.with_name(f"{stem}.md"), path.with_name(f"{stem}.json")
    content = as_json(result, config, release)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        machine.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        markdown.write_text(as_markdown(content), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: the report can't be written: {error}; remedy: give --report another place"
        ) from error
    return markdown, machine


def as_json(result: Result, config: RunnerConfig, release: Release) -> dict[str, Any]:
    """Everything that was found, as JSON values."""
    return {
        "kind": "KillSwitchDrill",
        "runner": f"{config.runner.namespace}/{config.runner.name}",
        "owner": config.responsible,
        "release": {"version": release.version, "revision": release.revision},
        "config_hash": config.config_hash,
        "started": datetime.fromtimestamp(result.started, UTC).isoformat(timespec="seconds"),
        "seconds": round(result.seconds, 3),
        "passed": result.passed,
        "checks": [
            {"name": check.name, "passed": check.passed, "detail": check.detail}
            for check in result.checks
        ],
        "measures": {name: round(value, 3) for name, value in result.measures.items()},
        "limits": config.risk.model_dump(mode="json"),
    }


def as_message(result: Result) -> str:
    """The same in 4 KiB, the most that Kubernetes keeps of a termination message."""
    checks = [[check.name, check.passed] for check in result.checks]
    measures = {name: round(value, 1) for name, value in result.measures.items()}
    content = {"passed": result.passed, "checks": checks, "measures": measures}
    text = json.dumps(content, separators=(",", ":"))
    while len(text.encode()) > LONGEST_MESSAGE and checks:
        checks.pop()  # what doesn't fit is in the log
        text = json.dumps(content, separators=(",", ":"))
    return text


def as_markdown(content: dict[str, Any]) -> str:
    """The same for people."""
    checks = [
        f"| {check['name']} | {'pass' if check['passed'] else '**FAIL**'} | {_cell(check)} |"
        for check in content["checks"]
    ]
    measures = [f"| {name} | {value:g} |" for name, value in content["measures"].items()]
    limits = [f"| {name} | {value} |" for name, value in content["limits"].items() if value]
    release = content["release"]
    return "\n".join(
        [
            f"# Kill-switch drill of {content['runner']}: "
            + ("passed" if content["passed"] else "FAILED"),
            "",
            f"Release {release['version']} {release['revision']}, configuration"
            f" {content['config_hash'] or 'without a hash'}, owner {content['owner']}. Started"
            f" {content['started']}, took {content['seconds']:.1f} s.",
            "",
            "A rehearsal on paper venues with the configured symbols and limits: it proves the"
            " runner's part and says nothing about how fast a real venue cancels.",
            "",
            "| Check | Result | Detail |",
            "| --- | --- | --- |",
            *checks,
            "",
            "| Measured here, once | |",
            "| --- | --- |",
            *measures,
            "",
            "| Limit in force | |",
            "| --- | --- |",
            *limits,
            "",
        ]
    )


def _cell(check: dict[str, Any]) -> str:
    return str(check["detail"]).replace("|", "\\|").replace("\n", " ")
