"""A fake of PagerDuty's endpoint for events, as PagerDuty can't be had on this machine.

It takes what `POST /v2/enqueue` takes and refuses what PagerDuty refuses: a foreign routing key, an
event without what the Events API v2 demands (developer.pagerduty.com/docs/send-alert-event).
Beside it is a plain webhook, for alerts that nobody is woken for.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_ACTIONS = ("trigger", "acknowledge", "resolve")
_SEVERITIES = ("critical", "error", "warning", "info")
_LONGEST_KEY, _LONGEST_SUMMARY = 255, 1024


def problem(event: dict[str, Any], routing_key: str) -> str:
    """Why PagerDuty would refuse an event; "" when it would not."""
    if event.get("routing_key") != routing_key:
        return "routing_key is not one of a service"
    if event.get("event_action") not in _ACTIONS:
        return f"event_action must be one of {_ACTIONS}"
    if len(event.get("dedup_key") or "") > _LONGEST_KEY:
        return "dedup_key is too long"
    if event["event_action"] != "trigger":
        return "" if event.get("dedup_key") else "dedup_key is missing"
    return _payload_problem(event.get("payload") or {})


def _payload_problem(payload: dict[str, Any]) -> str:
    summary = payload.get("summary") or ""
    if not 0 < len(summary) <= _LONGEST_SUMMARY:
        return "payload.summary is missing or too long"
    if not payload.get("source"):
        return "payload.source is missing"
    if payload.get("severity") not in _SEVERITIES:
        return f"payload.severity must be one of {_SEVERITIES}"
    return ""


class PagerDuty:
    """The fake: ``events`` were accepted, ``refused`` were not, ``tickets`` came by webhook."""

    def __init__(self, routing_key: str) -> None:
        self.routing_key = routing_key
        self.events: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.tickets: list[dict[str, Any]] = []
        #: While it is, whatever is posted is answered 500.
        self.down = False
        self.url = self.tickets_url = ""
        self._server: ThreadingHTTPServer | None = None

    def start(self, host: str) -> None:
        self._server = ThreadingHTTPServer((host, 0), self._handler())
        address = f"http://{host}:{self._server.server_port}"
        self.url, self.tickets_url = f"{address}/v2/enqueue", f"{address}/tickets"
        threading.Thread(target=self._server.serve_forever, name="pagerduty", daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def of(self, alert: str, action: str = "trigger") -> list[dict[str, Any]]:
        """Events on an alert, whose name is ``class``; a resolve has the key of its trigger."""
        triggers = [e for e in self.events if (e.get("payload") or {}).get("class") == alert]
        keys = {event["dedup_key"] for event in triggers}
        return [e for e in self.events if e["dedup_key"] in keys and e["event_action"] == action]

    def take(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and answer for what was posted."""
        if self.down:
            return 500, {"status": "error"}
        if path == "/tickets":
            self.tickets.append(body)
            return 200, {}
        if path != "/v2/enqueue":
            return 404, {}
        if why := problem(body, self.routing_key):
            self.refused.append(why)
            return 400, {"status": "invalid event", "errors": [why]}
        self.events.append(body)
        return 202, {"status": "success", "dedup_key": body.get("dedup_key")}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = fake.take(self.path, json.loads(text))
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        return Handler
