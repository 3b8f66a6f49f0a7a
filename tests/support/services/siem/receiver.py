"""A SIEM over HTTPS: a token endpoint, and one that takes batches of records.

It is real as far as the wire goes; what it answers is told to it, as its faults are the subject. It
keeps what it took by id, as a receiver does that knows repetitions.
"""

from __future__ import annotations

import base64
import itertools
import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from tests.support.services.tls import Pair

CLIENT, SCOPE = "tradepulse", "audit.write"
#: Told with a batch; takes it or doesn't, and returns the status and headers to answer with. None:
#: no answer, until the receiver is told to `give_up`.
Fault = Callable[["Receiver", list[dict[str, Any]]], tuple[int, dict[str, str]] | None]


class Receiver:
    """Takes batches at ``{url}/audit``, gives tokens at ``{url}/token`` for ``secrets``."""

    def __init__(self, server: Pair, *secrets: str, host: str = "127.0.0.1", port: int = 0) -> None:
        self.secrets, self.expires_in = set(secrets), 3600
        self.tokens: set[str] = set()
        self.taken: dict[str, dict[str, Any]] = {}
        self.deliveries: list[str] = []
        self.attempts = self.grants = 0
        self.headers: dict[str, str] = {}
        #: Used up one a batch; then everything is taken.
        self.faults: list[Fault] = []
        self._numbers = itertools.count()
        self._turn, self._give_up = threading.Lock(), threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.certificate, server.key)
        self._http = ThreadingHTTPServer((host, port), _handler(self))
        self._http.daemon_threads = True
        # The handshake in the connection's own thread: one that hangs hangs alone.
        self._http.socket = context.wrap_socket(
            self._http.socket, server_side=True, do_handshake_on_connect=False
        )
        self.host, self.port = host, self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    def config(self) -> dict[str, Any]:
        """``admin.siem`` but for the authorities."""
        return {
            "endpoint": f"{self.url}/audit",
            "token_url": f"{self.url}/token",
            "client_id": CLIENT,
            "scope": SCOPE,
        }

    def stop(self) -> None:
        self._give_up.set()
        self._http.shutdown()
        self._http.server_close()

    def give_up(self) -> None:
        """End every request that hangs."""
        self._give_up.set()

    def take(self, records: list[dict[str, Any]]) -> tuple[int, dict[str, str]]:
        for record in records:
            self.deliveries.append(record["id"])
            assert self.taken.setdefault(record["id"], record) == record, "one id, two records"
        return 204, {}

    # -- what is asked -----------------------------------------------------------------------

    def grant(self, authorization: str, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        with self._turn:
            self.grants += 1
            name, _, secret = (
                base64.b64decode(authorization.partition(" ")[2]).decode().partition(":")
            )
            known = unquote_plus(name) == CLIENT and unquote_plus(secret) in self.secrets
            if not known or form.get("grant_type") != ["client_credentials"]:
                # Some servers show what they were asked with: nobody may log that.
                return 401, {"error": "invalid_client", "error_description": unquote_plus(secret)}
            token = f"token-{next(self._numbers)}"
            self.tokens.add(token)
            return 200, {
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": self.expires_in,
            }

    def batch(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]] | None:
        with self._turn:
            self.attempts += 1
            self.headers = headers
            if headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
                return 401, {}
            records = [json.loads(line) for line in body.splitlines()]
            fault = self.faults.pop(0) if self.faults else Receiver.take
            answer = fault(self, records)
        if answer is None:
            self._give_up.wait()
        return answer


def answering(status: int, *, take: bool = False, **headers: str) -> Fault:
    """``status``, with the batch taken all the same or not."""

    def fault(receiver: Receiver, records: list[dict[str, Any]]) -> tuple[int, dict[str, str]]:
        if take:
            receiver.take(records)
        return status, {name.replace("_", "-"): value for name, value in headers.items()}

    return fault


def hanging(*, take: bool = False) -> Fault:
    """No answer at all, with the batch taken all the same or not."""

    def fault(receiver: Receiver, records: list[dict[str, Any]]) -> None:
        if take:
            receiver.take(records)

    return fault


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path == "/token":
                form = parse_qs(body.decode())
                status, found = receiver.grant(self.headers.get("Authorization", ""), form)
                self._answer(status, {"Content-Type": "application/json"}, json.dumps(found))
                return
            answer = receiver.batch(dict(self.headers), body)
            if answer is None:
                self.close_connection = True
            else:
                self._answer(*answer, "")

        def _answer(self, status: int, headers: dict[str, str], body: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Nothing: what arrives is kept."""

    return Handler
