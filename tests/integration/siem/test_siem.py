"""Forwarding the audit trail to a receiver over HTTPS that fails in every way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from tests.support.runner.admin_fixtures import SECRET, Answer, Issuer, ask
from tests.support.runner.process import RunnerProcess, eventually
from tests.support.runner.runner_fixtures import Crash, until
from tests.support.services.siem.receiver import Fault, Receiver, answering, hanging
from tests.support.services.tls import Authority
from tradepulse_runner.audit.signing import Keyring, Signer
from tradepulse_runner.audit.trail import FILE, AuditTrail
from tradepulse_runner.config.siem import SiemConfig
from tradepulse_runner.files.secret import AUDIT_SECRET, SIEM_SECRET, WatchedSecret
from tradepulse_runner.files.snapshot import Step, no_fault
from tradepulse_runner.siem.client import SiemClient, SiemError
from tradepulse_runner.siem.forwarder import Forwarder
from tradepulse_runner.siem.position import FILE as POSITION

CLIENT_SECRET = "the+secret/of:the%client"
OTHER_SECRET = "another:secret-of-the-client"
SOURCE = "trading/demo"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def receiver(authority: Authority) -> Iterator[Receiver]:
    found = Receiver(authority.issue("siem", ["127.0.0.1"]), CLIENT_SECRET)
    yield found
    found.stop()


class Place:
    """A signed trail, and what forwards it."""

    def __init__(self, folder: Path, authority: Authority, receiver: Receiver) -> None:
        self.folder, self.receiver = folder / "state", receiver
        self.secret_file = folder / "client-secret"
        self.secret_file.write_text(CLIENT_SECRET)
        self.settings = {**receiver.config(), "ca_file": str(authority.certificate), "timeout": 0.5}
        signer = Signer(WatchedSecret(AUDIT_SECRET, value=SECRET))
        self.trail = AuditTrail(self.folder, sign=signer)
        self.registry = CollectorRegistry()

    def record(self, count: int = 1) -> None:
        for _ in range(count):
            self.trail.append("kind", {"n": self.trail.seq + 1})

    def forwarder(self, step: Step = no_fault, **changes: Any) -> Forwarder:
        """One as after a start."""
        config = SiemConfig.model_validate({**self.settings, **changes})
        self.secret = WatchedSecret(SIEM_SECRET, path=self.secret_file, patient=True)
        client = SiemClient(config, SOURCE, self.secret)
        path, self.registry = self.trail.path, CollectorRegistry()
        return Forwarder(config, client, path, lambda: self.trail.seq, self.registry, step=step)

    def numbers(self) -> list[int]:
        """Of the records that the receiver has, in the order in which it took them."""
        return [record["body"]["n"] for record in self.receiver.taken.values()]

    async def all_taken(self) -> None:
        await until(lambda: self.numbers() == list(range(1, self.trail.seq + 1)))

    def metric(self, name: str) -> float:
        lines = generate_latest(self.registry).decode().splitlines()
        (found,) = (line for line in lines if line.startswith(f"{name} "))
        return float(found.split()[1])


@pytest.fixture
def place(tmp_path: Path, authority: Authority, receiver: Receiver) -> Place:
    return Place(tmp_path, authority, receiver)


@contextlib.asynccontextmanager
async def forwarding(forwarder: Forwarder) -> AsyncIterator[Forwarder]:
    work = asyncio.create_task(forwarder.run())
    yield forwarder
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError, Crash):
        await work


async def test_batches_in_order_as_they_are_signed_and_nothing_twice(place: Place) -> None:
    place.record(7)
    async with forwarding(place.forwarder(batch=3)) as one:
        await place.all_taken()
        await until(lambda: one.status() == {"pending": 0, "problem": ""})
        place.record()
        await place.all_taken()
        await until(lambda: place.metric("tradepulse_siem_lag_records") == 0)
    receiver = place.receiver
    assert (receiver.attempts, receiver.grants) == (4, 1)
    assert len(receiver.deliveries) == 8
    keys = Keyring([SECRET])
    for found in receiver.taken.values():
        assert found["source"] == SOURCE
        assert found["id"] == f"{SOURCE}/{found['digest']}"
        content = {key: found[key] for key in ("seq", "at", "kind", "body", "previous")}
        assert keys.problem(content, found["signature"]) == ""
    assert receiver.headers["Content-Type"] == "application/x-ndjson"
    assert place.metric("tradepulse_siem_records_total") == 8
    # The next start goes on from there.
    again = place.forwarder()
    assert again.status()["pending"] == 0
    assert not await again.forward()


FAULTS: dict[str, tuple[Fault, bool]] = {
    "500": (answering(500), False),
    "503 that names a pause": (answering(503, Retry_After="1"), False),
    "429 with a date": (answering(429, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"), False),
    "no answer": (hanging(), False),
    "too large": (answering(413), False),
    "a token that was withdrawn": (answering(401), False),
    "elsewhere": (answering(307, Location="https://127.0.0.1:1/"), False),
    "refused": (answering(422), False),
    "taken, then 500": (answering(500, take=True), True),
    "taken, then no answer": (hanging(take=True), True),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_whatever_it_answers_everything_arrives_in_order(place: Place, name: str) -> None:
    fault, doubled = FAULTS[name]
    place.receiver.faults = [fault, fault]
    place.record(4)
    async with forwarding(place.forwarder()) as one:
        await place.all_taken()
        await until(lambda: one.status() == {"pending": 0, "problem": ""})
        assert place.metric("tradepulse_siem_up") == 1
    assert len(place.receiver.deliveries) == (12 if doubled else 4)
    place.receiver.give_up()


async def test_a_pause_that_is_asked_for_is_kept(place: Place) -> None:
    place.receiver.faults = [answering(503, Retry_After="1")]
    place.record()
    began = time.monotonic()
    async with forwarding(place.forwarder()):
        await place.all_taken()
    assert time.monotonic() - began >= 1


async def test_a_batch_that_is_too_large_is_halved_until_it_fits(place: Place) -> None:
    def at_most_two(
        receiver: Receiver, records: list[dict[str, Any]]
    ) -> tuple[int, dict[str, str]]:
        return receiver.take(records) if len(records) <= 2 else (413, {})

    place.receiver.faults = [at_most_two] * 20
    place.record(8)
    async with forwarding(place.forwarder(batch=8)):
        await place.all_taken()


@pytest.mark.parametrize("step", ["acknowledged", "open", "write", "fsync", "rename", "fsync-dir"])
async def test_a_crash_between_the_answer_and_the_note_of_it_loses_nothing(
    place: Place, step: str
) -> None:
    """The crash itself is the subject."""

    def crash(name: str) -> None:
        if name == step:
            raise Crash

    place.record(5)
    with pytest.raises(Crash):
        await place.forwarder(crash, batch=2).forward()
    assert place.numbers() == [1, 2]
    async with forwarding(place.forwarder(batch=2)):
        await place.all_taken()
    # At the last step the note is there already; before it, the same ids came twice.
    assert len(place.receiver.deliveries) == (5 if step == "fsync-dir" else 7)


async def test_what_is_not_on_disk_for_sure_is_not_sent(place: Place) -> None:
    place.record(2)
    forwarder = place.forwarder()
    forwarder._newest = lambda: 1
    assert await forwarder.forward()
    assert not await forwarder.forward()
    assert place.numbers() == [1]


async def _moved(place: Place, tmp_path: Path) -> dict[str, Any]:
    place.trail.close()
    (place.folder / FILE).rename(tmp_path / "evidence")
    place.trail = AuditTrail(place.folder)
    place.record(3)
    return {}


async def _torn(place: Place, tmp_path: Path) -> dict[str, Any]:
    (place.folder / POSITION).write_bytes(b'{"seq":')
    return {}


async def _elsewhere(place: Place, tmp_path: Path) -> dict[str, Any]:
    return {"endpoint": place.settings["endpoint"].replace("127.0.0.1", "localhost")}


@pytest.mark.parametrize("change", [_moved, _torn, _elsewhere])
async def test_when_it_is_not_certain_what_was_taken_all_of_it_is_sent(
    place: Place, tmp_path: Path, change: Callable[..., Any]
) -> None:
    place.record(3)
    assert await place.forwarder().forward()
    changes = await change(place, tmp_path)
    assert place.forwarder(**changes).status()["pending"] == 3


async def test_a_replaced_secret_is_used_and_none_is_ever_shown(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    place.record()
    async with forwarding(place.forwarder()) as one:
        await place.all_taken()
        # The old one is revoked, and what was granted for it: the server's refusal shows it.
        place.receiver.secrets = {OTHER_SECRET}
        place.receiver.tokens.clear()
        place.record()
        await until(lambda: "gave no token (401)" in one.status()["problem"])
        place.secret_file.write_text(OTHER_SECRET)
        await until(place.secret.refresh)
        await place.all_taken()
        told = json.dumps(one.status()) + caplog.text
        told += "".join(str(vars(record)) for record in caplog.records)
    assert CLIENT_SECRET not in told
    assert OTHER_SECRET not in told
    assert "Bearer" not in told
    assert "token-" not in told


async def test_a_new_secret_is_proved_at_once_although_the_token_is_still_good(
    place: Place,
) -> None:
    place.record()
    forwarder = place.forwarder()
    assert await forwarder.forward()
    place.receiver.secrets.add(OTHER_SECRET)
    place.secret_file.write_text(OTHER_SECRET)
    await until(place.secret.refresh)
    place.record()
    assert await forwarder.forward()
    assert place.receiver.grants == 2


async def test_a_token_that_is_about_to_end_is_renewed_before(place: Place) -> None:
    place.receiver.expires_in = 20
    forwarder = place.forwarder()
    for _ in range(3):
        place.record()
        assert await forwarder.forward()
    assert place.receiver.grants == 3


async def test_a_secret_that_is_not_there_yet_is_waited_for(place: Place) -> None:
    place.secret_file.unlink()
    place.record()
    async with forwarding(place.forwarder()) as one:
        await until(lambda: f"{SIEM_SECRET}_PATH" in one.status()["problem"])
        assert place.metric("tradepulse_siem_up") == 0
        assert place.metric("tradepulse_siem_lag_records") == 1
        await until(lambda: place.metric("tradepulse_siem_lag_seconds") > 0.1)
        place.secret_file.write_text(CLIENT_SECRET)
        await until(place.secret.refresh)
        await place.all_taken()


async def test_a_receiver_of_another_authority_gets_nothing(place: Place, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "other")
    place.record()
    forwarder = place.forwarder(ca_file=str(other.certificate))
    with pytest.raises(SiemError, match="not trusted"):
        await forwarder.forward()
    assert place.receiver.grants == 0
    # Authorities that are replaced are used at once.
    mine = await asyncio.to_thread(Path(place.settings["ca_file"]).read_bytes)
    other.certificate.write_bytes(mine)
    assert await forwarder.forward()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("endpoint", "http://siem.test/audit"),
        ("endpoint", "https://user:word@siem.test/audit"),
        ("endpoint", "https://siem.test/audit?key=secret"),
        ("token_url", "ftp://siem.test"),
        ("batch", 0),
        ("timeout", float("nan")),
    ],
)
def test_what_would_show_a_secret_or_never_end_is_refused(field: str, value: Any) -> None:
    good = {"endpoint": "https://a.test/x", "token_url": "https://a.test", "client_id": "a"}
    SiemConfig.model_validate(good)
    with pytest.raises(ValueError, match=field):
        SiemConfig.model_validate(good | {field: value})


# -- a real process ---------------------------------------------------------------------------


class Live:
    """A runner with the surface on loopback that forwards to ``receiver``."""

    def __init__(
        self, make: Callable[..., RunnerProcess], folder: Path, receiver: Receiver, ca_file: Path
    ) -> None:
        self.issuer, self.receiver = Issuer(folder), receiver
        siem = {**receiver.config(), "ca_file": str(ca_file), "timeout": 2}
        oauth = self.issuer.config()
        self.runner = make(admin={"host": "127.0.0.1", "port": 0, "oauth": oauth, "siem": siem})
        self.secret_file = folder / "client-secret"
        self.runner.environ |= {
            "TRADEPULSE_AUDIT_SECRET": SECRET,
            "TRADEPULSE_SIEM_CLIENT_SECRET_PATH": str(self.secret_file),
            "TRADEPULSE_SECRET_REFRESH_INTERVAL_SECONDS": "1",
        }

    def start(self) -> Live:
        self.runner.start()
        (line,) = eventually(lambda: self.runner.logged("admin.listening"))
        self.port = line["port"]
        return self

    def ask(self, method: str = "GET", path: str = "/admin/kill-switch", **more: Any) -> Answer:
        url = f"http://127.0.0.1:{self.port}{path}"
        return ask(url, method, token=self.issuer.token(), **more)

    def kinds(self) -> list[str]:
        return [record["kind"] for record in self.receiver.taken.values()]

    def pending(self) -> int:
        found: int = self.runner.status()["siem"]["pending"]
        return found


@pytest.fixture
def live(
    make: Callable[..., RunnerProcess], tmp_path: Path, receiver: Receiver, authority: Authority
) -> Live:
    found = Live(make, tmp_path, receiver, authority.certificate)
    found.secret_file.write_text(CLIENT_SECRET)
    return found


@pytest.mark.parametrize("take", [False, True])
def test_a_kill_9_between_sending_and_the_answer_loses_nothing(live: Live, take: bool) -> None:
    def kill(receiver: Receiver, records: list[dict[str, Any]]) -> None:
        assert live.runner.process is not None
        if take:
            receiver.take(records)
        os.kill(live.runner.process.pid, signal.SIGKILL)

    live.receiver.faults = [kill]
    live.start()
    live.ask("POST", reason="now")
    assert live.runner.process is not None
    assert live.runner.process.wait(20) == -signal.SIGKILL
    live.start()
    eventually(lambda: live.kinds() == ["kill_switch_engaged"])
    eventually(lambda: live.pending() == 0)
    assert len(live.receiver.deliveries) == 1 + take


def test_a_siem_that_is_down_holds_nothing_up_and_gets_all_of_it_later(live: Live) -> None:
    live.receiver.faults = [hanging()] * 50
    live.start()
    live.runner.until(lambda s: s["state"] == "TRADING", "trading")
    live.ask()
    eventually(lambda: live.receiver.attempts)
    began = time.monotonic()
    assert live.ask("POST", reason="now").body["outcome"] == "engaged"
    assert live.ask("DELETE", reason="over").body["outcome"] == "reset"
    assert time.monotonic() - began < 2
    live.runner.until(lambda s: "gives no answer (timeout)" in s["siem"]["problem"])
    told = live.ask(path="/admin/health").body
    assert told["loop"] is True
    assert told["siem"]["pending"] >= 4
    metrics = live.runner.metrics()
    assert metrics["tradepulse_siem_up"] == 0
    assert metrics["tradepulse_siem_lag_records"] >= 4
    assert metrics["tradepulse_siem_lag_seconds"] > 0
    live.receiver.faults = []
    live.receiver.give_up()
    eventually(lambda: live.pending() == 0)
    assert live.kinds()[:4] == [
        "kill_switch_state_viewed",
        "kill_switch_engaged",
        "kill_switch_reset_asked",
        "kill_switch_reset",
    ]


def test_the_runner_ends_at_once_while_the_siem_hangs(live: Live) -> None:
    live.receiver.faults = [hanging()] * 50
    live.start()
    live.ask()
    eventually(lambda: live.receiver.attempts)
    began = time.monotonic()
    assert live.runner.end() == 0
    assert time.monotonic() - began < 5


def test_a_secret_comes_late_and_is_replaced_while_it_runs(live: Live) -> None:
    live.secret_file.unlink()
    live.start()
    live.ask()
    live.runner.until(lambda s: "TRADEPULSE_SIEM_CLIENT_SECRET_PATH" in s["siem"]["problem"])
    live.secret_file.write_text("too-short")
    live.runner.until(lambda s: "shorter than 16 characters" in s["siem"]["problem"])
    live.secret_file.write_text(CLIENT_SECRET)
    eventually(lambda: live.pending() == 0)
    live.receiver.secrets = {OTHER_SECRET}
    live.secret_file.write_text(OTHER_SECRET)
    eventually(lambda: live.runner.logged("secret.replaced"))
    live.ask("POST", reason="now")
    eventually(lambda: live.kinds() == ["kill_switch_state_viewed", "kill_switch_engaged"])
    assert live.ask(path="/admin/health").body["siem"]["secret"]["generation"] == 2
    text = live.runner.log.read_text() + json.dumps(live.runner.status())
    assert CLIENT_SECRET not in text
    assert OTHER_SECRET not in text
