"""The admin surface of a real process: who may enter, what they change, what is written down."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.support.runner.admin_fixtures import SECRET, Answer, Issuer, ask, trusting
from tests.support.runner.process import RunnerProcess, cli, eventually
from tests.support.services.tls import Authority
from tradepulse_runner.audit.trail import FILE, read_trail
from tradepulse_runner.errors import DurabilityLost
from tradepulse_runner.killswitch import KillSwitch

Make = Callable[..., RunnerProcess]
SWITCH = "/admin/kill-switch"


class Place:
    """A runner with the surface on loopback, and an issuer."""

    def __init__(self, make: Make, folder: Path, **admin: Any) -> None:
        self.issuer = Issuer(folder)
        config = {"host": "127.0.0.1", "port": 0, "oauth": self.issuer.config(), **admin}
        self.runner = make(admin=config)
        self.runner.environ["TRADEPULSE_AUDIT_SECRET"] = SECRET
        self.scheme = "https" if "tls" in admin else "http"

    def start(self) -> Place:
        self.runner.start()
        (line,) = eventually(lambda: self.runner.logged("admin.listening"))
        self.port = line["port"]
        return self

    def ask(self, method: str = "GET", path: str = SWITCH, **more: Any) -> Answer:
        token = more.pop("token", None)
        token = self.issuer.token() if token is None else token
        return ask(f"{self.scheme}://127.0.0.1:{self.port}{path}", method, token=token, **more)

    def trail(self) -> list[tuple[str, dict[str, Any]]]:
        return [(r.kind, r.body) for r in read_trail(self.runner.state_dir / FILE)]

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.trail()]


@pytest.fixture
def place(make: Make, tmp_path: Path) -> Place:
    return Place(make, tmp_path).start()


def test_a_person_engages_reaffirms_and_resets_and_all_of_it_is_signed(
    place: Place, tmp_path: Path
) -> None:
    runner = place.runner
    runner.until(lambda s: s["open_orders"] >= 2, "resting orders")
    first = place.ask("POST", reason="too fast")
    assert (first.status, first.body["outcome"]) == (200, "engaged")
    assert KillSwitch(runner.state_dir, clock=lambda: 0.0).reason == "too fast"
    again = place.ask("POST", reason="another")
    assert (again.body["outcome"], again.body["kill_switch"]["reason"]) == (
        "already-engaged",
        "too fast",
    )
    runner.until(lambda s: s["kill_switch"]["complete"], "everything cancelled")
    assert runner.venue_open() == 0
    look = place.ask()
    assert [(e["event"], e["by"]) for e in look.body["history"]] == [("engaged", "ada")]
    stale = place.ask("DELETE", reason="over", If_Match='"0000000000000000"')
    assert stale.status == 412
    reset = place.ask("DELETE", reason="over", If_Match=look.headers["etag"])
    assert (reset.status, reset.body["outcome"]) == (200, "reset")
    runner.until(lambda s: s["state"] == "TRADING", "trading")
    assert place.ask("DELETE", reason="over").body["outcome"] == "already-clear"
    assert place.kinds() == [
        "kill_switch_engaged",
        "kill_switch_reaffirmed",
        "kill_switch_state_viewed",
        "kill_switch_reset_asked",
        "kill_switch_reset",
        "kill_switch_reset_noop",
    ]
    assert {body["who"] for _, body in place.trail()} == {"ada"}
    (ring := tmp_path / "ring").write_text(f"{SECRET}\n")
    words = ["audit", "verify-signatures", "--state-dir", str(runner.state_dir)]
    good = cli(*words, "--keyring", str(ring))
    assert (good.exit_code, good.output) == (0, "6 records, all signed and in place\n")
    ring.write_text("another secret, as long\n".replace(" ", "-"))
    assert cli(*words, "--keyring", str(ring)).exit_code == 1


def test_an_engagement_outlives_a_kill_9_right_after_the_answer(place: Place) -> None:
    assert place.ask("POST", reason="now").body["outcome"] == "engaged"
    place.runner.kill()
    place.start()
    place.runner.until(lambda s: s["kill_switch"]["engaged"], "engaged")
    assert place.ask().body["engaged"] is True
    assert place.kinds() == ["kill_switch_engaged", "kill_switch_state_viewed"]


def test_a_reset_by_the_command_line_a_moment_ago_is_no_reason_to_say_engaged_already(
    place: Place,
) -> None:
    """The running loop may not have seen it yet: what the file says counts."""
    place.ask("POST", reason="first")
    directory = str(place.runner.state_dir)
    words = ["--state-dir", directory, "--by", "bob", "--reason", "over"]
    assert cli("kill-switch", "reset", *words).exit_code == 0
    answer = place.ask("POST", reason="second")
    assert (answer.body["outcome"], answer.body["kill_switch"]["reason"]) == ("engaged", "second")
    place.runner.until(lambda s: s["kill_switch"]["reason"] == "second", "engaged anew")


BAD: dict[str, dict[str, Any]] = {
    "none": {"token": ""},
    "expired": {"exp": 1},
    "another issuer": {"iss": "https://evil.test"},
    "another audience": {"aud": "else"},
    "no expiry": {"exp": None},
    "nobody": {"sub": ""},
}


def test_whoever_does_not_prove_who_they_are_gets_401_five_times_and_then_429(
    place: Place,
) -> None:
    for claims in list(BAD.values())[:5]:
        token = "" if "token" in claims else place.issuer.token(**claims)
        found = place.ask("POST", reason="x", token=token)
        assert found.status == 401
        assert found.headers["content-type"] == "application/problem+json"
        assert found.body["remedy"]
        assert found.headers["www-authenticate"].startswith("Bearer")
    limited = place.ask(token=place.issuer.token(sub=""))
    assert limited.status == 429
    assert 1 <= int(limited.headers["retry-after"]) <= 60
    # Who has good credentials isn't kept out by somebody at the same address.
    assert place.ask("POST", reason="good").status == 200
    assert place.kinds() == [*["admin_denied"] * 5, "admin_rate_limited", "kill_switch_engaged"]


def test_tokens_that_chose_their_own_algorithm_or_key_prove_nothing(place: Place) -> None:
    claims = {"iss": "https://issuer.test", "aud": "tradepulse", "sub": "eve", "exp": 9**10}
    unsigned = jwt.encode(claims, "", "none")
    stranger = Issuer(place.runner.folder).token()
    for token in (unsigned, stranger, "a.b.c", "not-a-token"):
        assert place.ask(token=token).status == 401


def test_a_scope_is_asked_for_each_thing(place: Place) -> None:
    reader = place.issuer.token("eve", "killswitch:read state:read")
    for path in (SWITCH, "/admin/state", "/admin/positions", "/admin/orders", "/admin/health"):
        assert place.ask(path=path, token=reader).status == 200
    denied = place.ask("POST", reason="x", token=reader)
    assert (denied.status, place.runner.status()["kill_switch"]["engaged"]) == (403, False)
    assert "killswitch:write" in denied.body["remedy"]


def test_resets_that_were_used_up_do_not_keep_anybody_from_engaging(place: Place) -> None:
    answers = [place.ask("DELETE", reason="x").status for _ in range(6)]
    assert answers == [200] * 5 + [429]
    assert place.ask("POST", reason="stop").body["outcome"] == "engaged"


def test_what_is_shown_is_what_the_process_and_the_venue_have(place: Place) -> None:
    runner = place.runner
    runner.until(lambda s: s["open_orders"] >= 2 and any(s["positions"]["paper"].values()))
    orders = place.ask(path="/admin/orders?limit=1").body
    assert orders["total"] >= len(orders["orders"]) == 1
    # What rests is known to the venue under the very id.
    assert orders["orders"][0]["order"] in runner.venue_orders()
    assert place.ask(path="/admin/orders?venue=paper").status == 200
    assert place.ask(path="/admin/orders?venue=other").status == 404
    place.ask("POST", reason="hold still")
    runner.until(lambda s: s["kill_switch"]["complete"], "everything cancelled")
    assert place.ask(path="/admin/orders").body == {"total": 0, "orders": []}
    (book,) = place.ask(path="/admin/positions").body["venues"]
    shown = {each["symbol"]: Decimal(each["quantity"]) for each in book["positions"]}
    assert {symbol: held for symbol, held in shown.items() if held} == runner.venue_positions()
    state = place.ask(path="/admin/state").body
    assert (state["kill_switch_reason"], state["state"]) == ("hold still", "HALTED")
    health = place.ask(path="/admin/health").body
    assert (health["loop"], health["storage"], health["siem"]) == (True, "", None)
    assert health["audit"]["records"] == len(place.trail())


def test_engaging_is_limited_to_five_a_minute_and_keeps_nobody_from_resetting(
    place: Place,
) -> None:
    answers = [place.ask("POST", reason="stop") for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert "command line has no such limit" in answers[-1].body["remedy"]
    # Another person's are their own, and so are resets.
    assert place.ask("POST", reason="x", token=place.issuer.token("bob")).status == 200
    assert place.ask("DELETE", reason="over").body["outcome"] == "reset"


def test_keys_of_the_issuer_are_replaced_while_it_runs(place: Place) -> None:
    before = place.issuer.token()
    assert place.ask(token=before).status == 200
    place.issuer.rotate("two")
    assert place.ask().status == 200
    assert place.ask(token=before).status == 401
    place.issuer.jwks.write_text("{}")  # can't be used: the keys before stay
    assert place.ask().status == 200


def test_a_certificate_says_who_and_is_renewed_without_a_restart(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "other")
    server = authority.issue("server", ["127.0.0.1"])
    client = authority.issue("ada")
    stranger = authority.issue("eve")
    place = Place(
        make,
        tmp_path,
        tls={"certificate": str(server.certificate), "key": str(server.key)},
        mtls={
            "client_ca": str(authority.certificate),
            "clients": [{"subject": "CN=ada", "scopes": ["killswitch:write", "killswitch:read"]}],
        },
    ).start()
    tls = trusting(authority, client)
    assert place.ask("POST", reason="by certificate", token="", tls=tls).status == 200
    assert place.trail()[0][1]["who"] == "CN=ada"
    assert place.ask(token="", tls=trusting(authority, stranger)).status == 401
    assert place.ask(token="", tls=trusting(authority)).status == 401
    assert place.ask(path="/admin/state", token="", tls=tls).status == 403
    assert place.ask(tls=trusting(authority)).status == 200  # a token does as well
    renewed = other.issue("server", ["127.0.0.1"])
    server.key.write_bytes(renewed.key.read_bytes())
    server.certificate.write_bytes(renewed.certificate.read_bytes())
    eventually(lambda: place.runner.logged("admin.tls_replaced"))
    assert place.ask(tls=trusting(other)).status == 200
    assert place.ask(token="", tls=trusting(other, client)).status == 200


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"oauth": None}, "nobody may ask without saying who they are"),
        ({"host": "0.0.0.0"}, "set tls"),
    ],
)
def test_an_open_surface_is_refused(
    make: Make, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    place = Place(make, tmp_path, **changes)
    place.runner.start(wait=False)
    assert place.runner.process is not None
    assert place.runner.process.wait(20) == 1
    assert told in place.runner.log.read_text()


def test_without_a_secret_nobody_is_let_in_and_the_variable_is_named(
    make: Make, tmp_path: Path
) -> None:
    place = Place(make, tmp_path)
    place.runner.environ["TRADEPULSE_AUDIT_SECRET"] = "short"
    place.runner.start(wait=False)
    assert place.runner.process is not None
    assert place.runner.process.wait(20) == 1
    told = place.runner.log.read_text()
    assert "TRADEPULSE_AUDIT_SECRET" in told
    assert "16 characters" in told


def test_a_replaced_secret_signs_from_then_on_and_what_it_signed_before_still_verifies(
    make: Make, tmp_path: Path
) -> None:
    place = Place(make, tmp_path)
    old, new = "the-secret-of-before", "the-secret-that-came-after"
    (file := tmp_path / "audit-secret").write_text(old)
    del place.runner.environ["TRADEPULSE_AUDIT_SECRET"]
    place.runner.environ |= {
        "TRADEPULSE_AUDIT_SECRET_PATH": str(file),
        "TRADEPULSE_SECRET_REFRESH_INTERVAL_SECONDS": "1",
    }
    place.start()
    place.ask("POST", reason="before")
    file.write_text(new)
    eventually(lambda: place.runner.logged("secret.replaced"))
    file.write_text("short")
    eventually(lambda: place.runner.logged("secret.unusable"))
    health = place.ask(path="/admin/health").body
    assert health["audit"]["secret"]["generation"] == 2
    assert "TRADEPULSE_AUDIT_SECRET_PATH" in health["audit"]["secret"]["problem"]
    records = list(read_trail(place.runner.state_dir / FILE))
    assert len({(record.signature or {})["key_id"] for record in records}) == 2
    (ring := tmp_path / "ring").write_text(f"{new}\n{old}\n")
    words = ["audit", "verify-signatures", "--state-dir", str(place.runner.state_dir)]
    assert cli(*words, "--keyring", str(ring)).exit_code == 0
    for secret in (old, new):
        assert secret not in place.runner.log.read_text()
        assert secret not in (place.runner.state_dir / FILE).read_text()


def test_at_once_from_many_hands_it_is_engaged_once(place: Place) -> None:
    outcomes: list[str] = []

    def engage(name: str) -> None:
        answer = place.ask("POST", reason=name, token=place.issuer.token(name))
        outcomes.append(answer.body["outcome"])

    threads = [threading.Thread(target=engage, args=(f"p{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["already-engaged"] * 7 + ["engaged"]
    history = KillSwitch(place.runner.state_dir, clock=lambda: 0.0).history
    assert len(history) == 1
    assert json.loads(place.runner.get("/status")[1])["kill_switch"]["engaged"]


def test_a_disk_that_refuses_is_reported_and_trading_stops_all_the_same(tmp_path: Path) -> None:
    """The fault itself is the subject: the latch's write fails."""

    def fail(step: str) -> None:
        if step == "latch.fsync":
            raise OSError("no space")

    switch = KillSwitch(tmp_path, clock=lambda: 1.0, step=fail)
    with pytest.raises(DurabilityLost):
        switch.engage_anew("now", by="ada")
    assert switch.engaged
