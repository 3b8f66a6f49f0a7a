"""The cluster's Prometheus through a hand that spoils its answers: the fault is the subject here.

Queries go on to the real Prometheus; what comes back is passed on whole, or as one of `FAULTS`. It
listens on the node network's gateway, at a port that the operator's NetworkPolicy lets out.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode

from tests.support.cluster.settings import NODE_GATEWAY
from tests.support.e2e.client import Cluster

PORT = 9090
_REAL = "/api/v1/namespaces/monitoring/services/prometheus-operated:web/proxy"
_OUTCOMES = "tradepulse_order_outcomes_total"
#: Longer than the operator waits for an answer.
_LONG = 12.0

Answer = tuple[int, Any]


def _valued(value: str) -> Callable[[Answer], Answer]:
    def spoil(answer: Answer) -> Answer:
        for one in _counters(answer):
            one["values"] = [[at, value] for at, _ in one["values"]]
        return answer

    return spoil


def _twice(answer: Answer) -> Answer:
    for one in list(_counters(answer)):
        metric = {**one["metric"], "instance": "another"}
        answer[1]["data"]["result"].append({**one, "metric": metric})
    return answer


def _stale(answer: Answer) -> Answer:
    for one in _counters(answer):
        one["values"] = one["values"][:1]
    return answer


def _warned(answer: Answer) -> Answer:
    return answer[0], {**answer[1], "warnings": ["a store could not be reached"]}


def _hangs(answer: Answer) -> Answer:
    time.sleep(_LONG)
    return answer


def _counters(answer: Answer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer[1]["data"]["result"]
    return [one for one in found if one["metric"].get("__name__") == _OUTCOMES]


#: Fault → (what becomes of a good answer, the reason that the guard must give).
FAULTS: dict[str, tuple[Callable[[Answer], Answer], str]] = {
    "NaN": (_valued("NaN"), "NotANumber"),
    "Inf": (_valued("+Inf"), "Infinite"),
    "two series": (_twice, "TwoSeries"),
    "stale": (_stale, "StaleSeries"),
    "5xx": (lambda _: (503, {"status": "error", "error": "overloaded"}), "PrometheusDown"),
    "incomplete": (_warned, "PrometheusDown"),
    "timeout": (_hangs, "PrometheusDown"),
}


class Faulty:
    """The server. `fault`: one of `FAULTS`, "" for honest answers; may be set at any time."""

    url = f"http://{NODE_GATEWAY}:{PORT}"

    def __init__(self) -> None:
        self.fault = ""
        self.answered = 0

    def answer(self, path: str, form: dict[str, str]) -> Answer:
        """What the real one says, or what the fault makes of it."""
        text = Cluster().kubectl("get", "--raw", f"{_REAL}{path}?{urlencode(form)}")
        found: Answer = (200, json.loads(text))
        fault = self.fault
        found = FAULTS[fault][0](found) if fault else found
        self.answered += 1
        return found


@contextlib.contextmanager
def faulty_prometheus() -> Iterator[Faulty]:
    """Serve until the block ends."""
    faulty = Faulty()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            form = dict(parse_qsl(self.rfile.read(length).decode()))
            status, body = faulty.answer(self.path, form)
            data = json.dumps(body).encode()
            with contextlib.suppress(ConnectionError):  # the operator no longer waits
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer((NODE_GATEWAY, PORT), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="faulty-prometheus", daemon=True)
    thread.start()
    try:
        yield faulty
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
