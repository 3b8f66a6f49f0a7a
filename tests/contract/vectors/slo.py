"""What the operator's guard and the runner's own must both say of the same samples.

A vector is a JSON file: what a Prometheus holds of a runner (one entry a scrape, counters as they
were read), the limits, and the verdicts expected at some instants. ``runner`` in a verdict holds
what the guard in the process says where that differs, with the reason in ``because``; ``null``
means that it can't be asked.

    python -m tests.contract.vectors.slo     # writes tests/contract/vectors/slo/*.json
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "slo"
#: Upper bounds of tradepulse_order_latency_seconds, and whatever is above them.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FAST = 0.02
LIMITS: dict[str, Any] = {
    "window": 300,
    "gap": 31,
    "error_rate": 0.02,
    "p95": 0.5,
    "min_requests": 50,
    "interval": 15,
    "scrape": 15,
}
START = 1000
Verdict = dict[str, Any]


def verdict(at: float, errors: str, latency: str, gap: str = "ok", **more: Any) -> Verdict:
    """Expected at ``at``."""
    return {"at": at, "errorRate": errors, "p95Latency": latency, "metricGap": gap, **more}


@dataclass
class Process:
    """Counts as a runner's process does, and is scraped."""

    samples: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def requests(
        self, ok: int = 0, error: int = 0, latency: float = FAST, venue: str = "paper"
    ) -> None:
        """So many answers, all after ``latency`` seconds."""
        count = self.counts.setdefault(venue, {"ok": 0, "error": 0, "each": [0] * 12})
        count["ok"] += ok
        count["error"] += error
        count["each"][sum(latency > bound for bound in BOUNDS)] += ok + error

    def restart(self) -> None:
        """Another process in the same place: everything begins at zero."""
        self.counts = {venue: {"ok": 0, "error": 0, "each": [0] * 12} for venue in self.counts}

    def scrape(self, at: float, beat: float | None = None, **odd: Any) -> None:
        """Read at ``at``; the heartbeat is of that moment unless given."""
        venues = {
            venue: {
                "ok": count["ok"],
                "error": count["error"],
                "buckets": list(accumulate(count["each"])),
                **odd,
            }
            for venue, count in self.counts.items()
        }
        self.samples.append({"at": at, "heartbeat": at if beat is None else beat, "venues": venues})


def vector(
    why: str,
    process: Process,
    *verdicts: Verdict,
    control: list[float] | None = None,
    **limits: Any,
) -> dict[str, Any]:
    """A vector whose Prometheus scraped something else every 5 s unless ``control`` says when."""
    last = max(found["at"] for found in verdicts)
    every = [float(t) for t in range(START - 20, int(last) + 1, 5)]
    return {
        "why": why,
        "start": START,
        "limits": {**LIMITS, **limits},
        "bounds": list(BOUNDS),
        "control": every if control is None else control,
        "samples": process.samples,
        "verdicts": list(verdicts),
    }


def steady(*loads: dict[str, Any], before: bool = True, until: int = START + 60) -> Process:
    """Idle, then all ``loads`` between two scrapes, then idle."""
    made = Process()
    made.requests()
    if before:
        made.scrape(START - 15)
    made.scrape(START)
    for load in loads:
        made.requests(**load)
    for at in range(START + 15, until + 1, 15):
        made.scrape(at)
    return made


def _levels() -> dict[str, dict[str, Any]]:
    end = START + 60
    slow = {"latency": 0.3}, {"latency": 0.9}
    return {
        "good": vector("nothing is wrong", steady({"ok": 100}), verdict(end, "ok", "ok")),
        "idle": vector(
            "no requests: nothing is known",
            steady(),
            verdict(end, "unknown", "unknown"),
        ),
        "errors-at-limit": vector(
            "2 of 100: a limit may be reached (TradePulse's own guard compared with >=)",
            steady({"ok": 98, "error": 2}),
            verdict(end, "ok", "ok"),
        ),
        "errors-above-limit": vector(
            "3 of 100", steady({"ok": 97, "error": 3}), verdict(end, "breach", "ok")
        ),
        "too-few": vector(
            "49 requests are not judged, though all of them failed",
            steady({"error": 49, "latency": 9.0}),
            verdict(end, "unknown", "unknown"),
        ),
        "just-enough": vector(
            "50 requests are judged: 1 is 2 %",
            steady({"ok": 49, "error": 1}),
            verdict(end, "ok", "ok"),
        ),
        "just-enough-and-broken": vector(
            "50 requests are judged: 2 are 4 %",
            steady({"ok": 48, "error": 2}),
            verdict(end, "breach", "ok"),
        ),
        "latency-at-limit": vector(
            "rank 95 of 100 is the last one in the bucket that ends at the limit",
            steady({"ok": 95, **slow[0]}, {"ok": 5, **slow[1]}),
            verdict(end, "ok", "ok"),
        ),
        "latency-above-limit": vector(
            "rank 95 of 100 is the first of 6 in the next bucket: 0.583 s",
            steady({"ok": 94, **slow[0]}, {"ok": 6, **slow[1]}),
            verdict(end, "ok", "breach"),
        ),
        "latency-within-a-bucket": vector(
            "linear within a bucket: 0.4375 s",
            steady({"ok": 80, "latency": 0.2}, {"ok": 20, "latency": 0.4}),
            verdict(end, "ok", "ok", "ok"),
            p95=0.45,
        ),
        "latency-above-all-buckets": vector(
            "slower than the largest bound: how slow isn't known, that it is too slow is",
            steady({"ok": 50, "latency": 60.0}),
            verdict(end, "ok", "breach"),
            p95=10,
        ),
        "latency-in-the-first-bucket": vector(
            "the first bucket begins at zero: rank 95 of 100 is at 4.75 ms",
            steady({"ok": 100, "latency": 0.001}),
            verdict(end, "ok", "ok"),
            p95=0.00475,
        ),
        "both": vector(
            "slow and failing",
            steady({"ok": 40, "error": 10, "latency": 2.0}),
            verdict(end, "breach", "breach"),
        ),
        "venues-are-summed": vector(
            "3 of 100 over two venues, none of which had enough requests by itself",
            steady(
                {"ok": 49, "venue": "paper"},
                {"ok": 48, "error": 3, "venue": "second"},
            ),
            verdict(end, "breach", "ok"),
        ),
    }


def _windows() -> dict[str, dict[str, Any]]:
    sliding = steady({"ok": 40, "error": 20}, until=START + 345)
    return {
        "window-slides": vector(
            "requests leave the window when they are a window old, not before",
            sliding,
            verdict(START + 300, "breach", "ok"),
            verdict(START + 310, "breach", "ok"),
            verdict(
                START + 314,
                "breach",
                "ok",
                runner={"errorRate": "unknown", "p95Latency": "unknown"},
                because="the process keeps 60 parts of a window, and drops one that is partly old",
            ),
            verdict(START + 315, "unknown", "unknown"),
        ),
        "restart": vector(
            "a counter that fell began at zero",
            _restarted(),
            verdict(
                START + 60,
                "breach",
                "ok",
                runner={"errorRate": "unknown", "p95Latency": "unknown"},
                because="a new process knows nothing of the one before",
            ),
        ),
        "before-the-first-scrape": vector(
            "what a process counted before it was scraped once has no time",
            _born_busy(),
            verdict(
                START + 60,
                "unknown",
                "unknown",
                runner={"errorRate": "breach", "p95Latency": "ok"},
                because="the process saw them itself",
            ),
        ),
        "not-a-number": vector(
            "a sample that is none makes the window unknown",
            _with_nan(),
            verdict(
                START + 60,
                "unknown",
                "ok",
                runner={"errorRate": "ok"},
                because="a process can't count to NaN",
            ),
        ),
    }


def _restarted() -> Process:
    made = steady({"ok": 57, "error": 3}, until=START + 30)
    made.restart()
    made.requests(ok=10)
    for at in (START + 45, START + 60):
        made.scrape(at)
    return made


def _born_busy() -> Process:
    made = Process()
    made.requests(ok=80, error=20)
    for at in range(START + 15, START + 61, 15):
        made.scrape(at)
    return made


def _with_nan() -> Process:
    made = steady({"ok": 100}, until=START + 30)
    made.scrape(START + 45, error="NaN")
    made.scrape(START + 60)
    return made


def _silences() -> dict[str, dict[str, Any]]:
    return {
        "silence-at-limit": vector(
            "31 s without a heartbeat are allowed",
            steady({"ok": 100}, until=START + 60),
            verdict(START + 91, "ok", "ok", "ok"),
        ),
        "silence-above-limit": vector(
            "more than 31 s without a heartbeat",
            steady({"ok": 100}, until=START + 60),
            verdict(
                START + 92,
                "unknown",
                "unknown",
                "unknown",
                runner={"errorRate": "ok", "p95Latency": "ok", "metricGap": "gap"},
                because="the last scrape of anything was 2 s ago: it proves 30 s of silence only",
            ),
            verdict(
                START + 95,
                "unknown",
                "unknown",
                "gap",
                runner={"errorRate": "ok", "p95Latency": "ok"},
                because="the process knows its counts without a scrape",
            ),
        ),
        "silence-that-ended": vector(
            "a silence is told once, after it ended as well",
            _silent_for(45),
            verdict(START + 105, "ok", "ok", "gap"),
            verdict(START + 120, "ok", "ok", "ok"),
        ),
        "frozen": vector(
            "scraped, but the heartbeat stands still",
            _frozen(),
            verdict(START + 75, "ok", "ok", "ok"),
            verdict(START + 105, "ok", "ok", "gap"),
        ),
        "prometheus-is-down": vector(
            "nothing was scraped: whose silence it is can't be known",
            steady({"ok": 100}, until=START + 30),
            verdict(START + 90, "unknown", "unknown", "unknown", runner=None, because=_OWN),
            control=[float(t) for t in range(START - 20, START + 31, 5)],
        ),
        "never-scraped": vector(
            "watched for 15 s, and not scraped yet",
            Process(),
            verdict(START + 15, "unknown", "unknown", "unknown", runner=None, because=_OWN),
        ),
    }


_OWN = "the process hears its own heart: it needs no Prometheus, and its silence has another sign"


def _silent_for(seconds: int) -> Process:
    made = steady({"ok": 100}, until=START + 60)
    for at in range(START + 60 + seconds, START + 121, 15):
        made.scrape(at)
    return made


def _frozen() -> Process:
    made = steady({"ok": 100}, until=START + 60)
    for at in (START + 75, START + 90, START + 105):
        made.scrape(at, beat=START + 60)
    return made


def vectors() -> dict[str, dict[str, Any]]:
    """All of them, by file name."""
    return {**_levels(), **_windows(), **_silences()}


def text(found: dict[str, Any]) -> str:
    """A vector as JSON, a line for each sample."""
    lines = [f"  {json.dumps(key)}: {_value(value)}" for key, value in found.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _value(value: Any) -> str:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return json.dumps(value)
    return "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n  ]"


def load() -> dict[str, dict[str, Any]]:
    """The vectors on disk, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


if __name__ == "__main__":
    for name, made in vectors().items():
        (FOLDER / f"{name}.json").write_text(text(made))
