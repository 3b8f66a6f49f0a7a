"""The incident report: whole, bounded, readable, chained, and without secrets."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.operator.evidence import cutover, evidence, recording
from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.common.names import LABEL_CUTOVER, LABEL_RUNNER
from tradepulse_operator.controllers.observed.views import ProcessView
from tradepulse_operator.guard.samples import Recording, Series
from tradepulse_operator.incident import bundle, chain, parts, samples
from tradepulse_operator.incident.parts import LIMITS, bounded

PROCESS = ProcessView("HALTED", halt_complete=True)
MOST = 960 * 1024


def data(manifest: dict[str, object]) -> dict[str, str]:
    found = manifest["data"]
    assert isinstance(found, dict)
    return found


def test_a_person_finds_what_happened_when_and_on_what_grounds() -> None:
    text = data(bundle.build(evidence()))["report.md"]
    for part in (
        "r/runner:1.2.0 was taken back at 2026-01-02T03:02:00Z",
        "| errorRate |",
        "| Measured | 0.25 |",
        "| Allowed | 0.02 |",
        "| 2026-01-02T03:01:30Z | Baking | 30.0 s | because Baking |",
        "3 files, 4096 bytes",
        "2 orders whose fate is unknown",
        "not collected: no such container",
        "0.25 \\| &lt;b>",
    ):
        assert part in text


def test_halted_is_said_in_bold() -> None:
    text = data(bundle.build(evidence("Halted", final=True)))["report.md"]
    assert "**The rollback could not be verified. Nothing trades" in text


def test_the_report_outlives_what_it_is_about_and_can_be_found() -> None:
    meta = bundle.build(evidence())["metadata"]
    assert "ownerReferences" not in meta
    assert meta["name"] == "btc-bbbb-g2-incident"
    assert meta["labels"][LABEL_RUNNER] == "btc"
    assert meta["labels"][LABEL_CUTOVER] == "btc-bbbb-g2"


def test_a_name_too_long_for_a_label_is_replaced_by_the_uid() -> None:
    found = cutover()
    named = found.model_copy(
        update={"metadata": found.metadata.model_copy(update={"name": "x" * 80})}
    )
    meta = bundle.build(evidence(cutover=named))["metadata"]
    assert meta["labels"][LABEL_CUTOVER] == "uid-1"
    assert all(len(value) <= 63 for value in meta["labels"].values())


def test_the_same_evidence_makes_the_same_report() -> None:
    assert bundle.build(evidence()) == bundle.build(evidence())


def test_the_final_stage_adds_and_keeps_the_chain() -> None:
    first = bundle.build(evidence())
    last = bundle.build(evidence("RolledBack", final=True, logs={"runner": "fine\n"}), first)
    assert bundle.stage(first, "uid-1") == "evidence"
    assert bundle.stage(last, "uid-1") == "final"
    assert bundle.stage(None, "uid-1") == ""
    for part in ("samples.json", "logs-runner.txt", "config.diff"):
        assert data(last)[part] == data(first)[part]
    assert data(last)["final-logs-runner.txt"] == "fine\n"
    for part in ("logs-previous.txt", "final-logs-previous.txt"):
        assert f"| {part} | not collected: no such container |" in data(last)["report.md"]
    links = json.loads(data(last)["manifest.json"])["links"]
    before = json.loads(data(first)["manifest.json"])["links"]
    assert links[: len(before)] == before
    parts = {name: text for name, text in data(last).items() if name != bundle.MANIFEST}
    assert chain.broken(links, parts) == ""
    assert bundle.head(last) == links[-1]["chain"]


def test_a_report_on_an_earlier_namesake_is_not_continued() -> None:
    found = cutover()
    meta = found.metadata.model_copy(update={"uid": "uid-2"})
    other = evidence(cutover=found.model_copy(update={"metadata": meta}))
    first = bundle.build(evidence())
    assert bundle.stage(first, "uid-2") == ""
    assert bundle.build(other, first) == bundle.build(other)


def test_filing_again_changes_nothing() -> None:
    first = bundle.build(evidence())
    assert bundle.build(evidence(), first) == first


def test_a_final_report_without_evidence_stands_alone() -> None:
    found = data(bundle.build(evidence("Halted", final=True)))
    assert "final-samples.json" in found
    assert "samples.json" not in found


def test_whatever_is_tampered_with_shows() -> None:
    found = bundle.build(evidence())
    links = json.loads(data(found)["manifest.json"])["links"]
    parts = {name: text for name, text in data(found).items() if name != bundle.MANIFEST}
    assert chain.broken(links, parts) == ""
    assert chain.broken(links, {**parts, "pod.json": "{}"}) == "pod.json was changed"
    assert chain.broken(links, {**parts, "more.txt": ""}) == "more.txt was added"
    assert "missing" in chain.broken(links, {k: v for k, v in parts.items() if k != "pod.json"})
    forged = [{**links[0], "sha256": chain.sha256("x")}, *links[1:]]
    assert "chain breaks" in chain.broken(forged, parts)
    assert "chain breaks" in chain.broken(links[1:], parts)


def test_a_manifest_that_is_no_manifest_begins_a_new_chain() -> None:
    first = bundle.build(evidence())
    spoiled = {**first, "data": {**data(first), "manifest.json": "[]", "foreign": "x"}}
    last = bundle.build(evidence("RolledBack", final=True), spoiled)
    links = json.loads(data(last)["manifest.json"])["links"]
    parts = {name: text for name, text in data(last).items() if name != bundle.MANIFEST}
    assert chain.broken(links, parts) == ""
    assert "foreign" not in parts


def test_floods_are_bounded_and_keep_their_end() -> None:
    flood = "x\n" * 500_000 + "the end\n"
    logs = {name: flood for name in ("runner", "state", "previous")}
    event = dict(evidence().events[0])
    events = tuple({**event, "message": f"é{n}" * 200} for n in range(5000))
    first = bundle.build(evidence(recording=recording(100_000), events=events, logs=logs))
    last = bundle.build(
        evidence("Halted", final=True, recording=recording(100_000), events=events, logs=logs),
        first,
    )
    for found in (data(first), data(last)):
        assert sum(len(text.encode()) for text in found.values()) <= MOST
        for name, text in found.items():
            assert len(text.encode()) <= LIMITS.get(name, MOST)
        assert found["logs-runner.txt"].startswith("[truncated")
        assert found["logs-runner.txt"].endswith("the end\n")
        assert json.loads(found["events.json"])
        kept = samples.load(found["samples.json"])
        assert kept.runner[0].points[-1] == (99_999.0, 99_999.1)
        assert kept.since > 0


def test_a_log_is_bounded_before_it_is_searched_for_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[int] = []

    def remembered(text: str) -> str:
        searched.append(len(text))
        return text

    monkeypatch.setattr(parts, "redact", remembered)
    lines = "a-" * 100_000 + "\n" + "one of many lines\n" * 50_000
    bundle.build(evidence(logs={"runner": lines}))
    assert 0 < max(searched) <= LIMITS["logs-runner.txt"]


def test_the_limits_leave_room_for_the_manifest() -> None:
    assert sum(LIMITS.values()) <= MOST - 12 * 1024


def test_no_environment_and_no_secret_is_reported() -> None:
    everything = "".join(data(bundle.build(evidence())).values())
    assert "hunter2" not in everything
    assert "SECRET" not in everything


#: How a secret gets where somebody wrote one, each with the word that must not be seen.
PLANTED = (
    "api_secret: PLANTED0",
    "password=PLANTED1 and more",
    '{"apiKey": "PLANTED2", "n": 1}',
    "X-MBX-APIKEY: PLANTED3",
    "Authorization: Bearer PLANTED4-PLANTED4",
    "postgres://trader:PLANTED5@db:5432/audit",
    "POST /order?symbol=BTC&signature=PLANTED6&timestamp=1",
    "-----BEGIN EC PRIVATE KEY-----\nPLANTED7\n-----END EC PRIVATE KEY-----",
    "eyJPLANTED8.eyJPLANTED8.PLANTED8",
    "sasl_password='PLANTED9'",
)


def test_planted_secrets_are_in_no_part_of_either_stage() -> None:
    text = "\n".join(PLANTED)
    event = dict(evidence().events[0])
    found = cutover().wire()
    found["spec"]["waivers"] = [{"check": "image", "by": "ada", "reason": PLANTED[1]}]
    found["spec"]["guardrails"] = {"custom": [{"name": "own", "query": PLANTED[6], "max": 1}]}
    found["status"]["verdict"]["message"] = PLANTED[4]
    found["status"]["rollback"]["message"] = PLANTED[0]
    found["status"]["checklist"] = [
        {"name": "secrets", "result": "Fail", "message": PLANTED[2], "at": "x"}
    ]
    pod = dict(evidence().pod or {})
    pod["status"] = {"message": text, "initContainerStatuses": [{"message": PLANTED[5]}]}
    pod["metadata"] = {"name": "btc-0", "annotations": {"note": PLANTED[3], "token": "PLANTED"}}
    labels = {"__name__": "up", "url": PLANTED[6]}
    samples = replace(recording(), custom={"own": (Series(labels, ((2.0, 1.0),)),)})
    everything: dict[str, Any] = {
        "cutover": ReleaseCutover.model_validate(found),
        "recording": samples,
        "baseline": samples,
        "queries": {"custom:own": PLANTED[6]},
        "process": replace(PROCESS, kill_switch=True, kill_switch_reason=PLANTED[1]),
        "pod": pod,
        "events": tuple({**event, "message": line} for line in PLANTED),
        "logs": dict.fromkeys(("runner", "state", "previous"), text),
        "configs": {"source": "a: 1\n", "target": text},
        "missing": {"x": PLANTED[5]},
    }
    first = bundle.build(evidence(**everything))
    last = bundle.build(evidence("Halted", final=True, **everything), first)
    assert len(data(last)) > len(data(first)) > 10
    for name, part in data(last).items():
        assert "PLANTED" not in part, (name, part[part.index("PLANTED") - 60 :][:120])


def test_people_and_positions_are_reported() -> None:
    found = cutover().wire()
    found["spec"]["approvals"] = {
        "required": ["risk"],
        "granted": [{"role": "risk", "by": "ada", "release": "bbbb"}],
    }
    found["spec"]["confirmations"] = [{"check": "on-call", "by": "bob", "note": "Bob is"}]
    found["spec"]["waivers"] = [{"check": "image", "by": "eve", "reason": "registry is down"}]
    found["status"]["baseline"] = {
        "at": "2026-01-02T03:00:05Z",
        "book": {
            "generation": 4,
            "sha256": "beef",
            "positions": [{"venue": "paper", "symbol": "BTC-USD", "quantity": "1.5"}],
        },
    }
    process = replace(PROCESS, positions=(("paper", "ETH-USD", "-2"),))
    made = evidence(cutover=ReleaseCutover.model_validate(found), process=process)
    text = data(bundle.build(made))["report.md"]
    for said in (
        "- ada signed release bbbb as risk.",
        "- bob vouched for on-call: Bob is",
        "- eve waived image: registry is down",
        "generation 4, sha256 beef",
        "| paper | BTC-USD | 1.5 | 0 |",
        "| paper | ETH-USD | 0 | -2 |",
        "Its order requests could not be measured.",
    ):
        assert said in text, said


def test_evidence_may_be_missing_altogether() -> None:
    bare = evidence(
        recording=None, queries={}, process=None, pod=None, events=(), logs={}, configs={}
    )
    bare = replace(
        bare, cutover=bare.cutover.model_copy(update={"status": type(bare.cutover.status)()})
    )
    found = data(bundle.build(bare))
    assert "It did not answer." in found["report.md"]
    assert "config.diff" not in found


def test_samples_come_back_as_they_were() -> None:
    found = samples.load(samples.dump(recording()))
    assert found.runner == recording().runner
    assert found.control == recording().control
    points = found.custom["own"][0].points
    assert math.isnan(points[0][1])
    assert points[1] == (3.0, math.inf)


def test_one_second_of_too_many_samples_is_an_outage_not_a_lie() -> None:
    many = tuple(Series({"n": "x" * 100 + str(n)}, ((0.5, 1.0),)) for n in range(1000))
    text, left = samples.fit(Recording(0.0, 1.0, runner=many), 1000)
    assert "too large" in left
    assert samples.load(text).outage


@given(st.text(max_size=2000), st.integers(200, 1000))
def test_truncation_is_exact_and_valid(text: str, limit: int) -> None:
    found = bounded(text, limit)
    assert len(found.encode()) <= limit
    assert found == text or found.startswith("[truncated")
