"""Rate limits, secrets, tokens' scopes, the trail, and the published document."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepulse_runner.admin.limits import RateLimiter
from tradepulse_runner.admin.openapi import main
from tradepulse_runner.admin.tokens import load_keys, scopes_of
from tradepulse_runner.audit.signing import Keyring, Signer, key_id
from tradepulse_runner.audit.trail import FILE, AuditTrail, chain_problems, read_trail
from tradepulse_runner.config.admin import AdminConfig, MtlsConfig, Scope
from tradepulse_runner.errors import ConfigError, DurabilityLost, StateError
from tradepulse_runner.files.secret import INTERVAL, WatchedSecret, refresh_interval

NAME = "TRADEPULSE_AUDIT_SECRET"
ROOT = Path(__file__).parents[4]


class Timer:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_five_attempts_a_minute_and_waiting_helps() -> None:
    attempts = RateLimiter(timer := Timer())
    assert [attempts.retry_after("a") for _ in range(6)] == [0, 0, 0, 0, 0, 60]
    assert attempts.retry_after("b") == 0
    timer.now += 59.5
    assert attempts.retry_after("a") == 1
    timer.now += 0.5
    assert attempts.retry_after("a") == 0


def test_many_names_cost_bounded_memory_and_gain_nothing() -> None:
    attempts = RateLimiter(timer := Timer(), capacity=10)
    assert attempts.retry_after("kept") == 0
    refused = [attempts.retry_after(f"name-{n}") for n in range(1000)]
    assert len(attempts) <= 11
    assert sum(not each for each in refused) == 9 + 5  # ten are remembered, the rest share five
    assert [attempts.retry_after("kept") for _ in range(5)] == [0, 0, 0, 0, 60]
    timer.now += 61
    assert attempts.retry_after("another") == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=60))
def test_no_window_ever_holds_more_than_the_limit(steps: list[tuple[str, float]]) -> None:
    attempts = RateLimiter(timer := Timer(), limit=3, window=60)
    allowed: dict[str, list[float]] = {}
    for name, wait in steps:
        timer.now += wait
        if not attempts.retry_after(name):
            times = allowed.setdefault(name, [])
            times.append(timer.now)
            assert sum(at > timer.now - 60 for at in times) <= 3


# -- secrets --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({NAME: "xyz-xyz"}, "shorter than 16"),
        ({NAME: "blanks in the midst of it"}, "holds blanks"),
        ({f"{NAME}_PATH": "/nowhere/secret"}, "/nowhere/secret cannot be read"),
        ({NAME: "x" * 16, f"{NAME}_PATH": "/a"}, "both set"),
    ],
)
def test_a_bad_secret_is_reported_by_variable_and_file_and_never_shown(
    environment: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told) as error:
        WatchedSecret.of(NAME, environment)
    assert NAME in str(error.value)
    assert environment.get(NAME, "\n") not in str(error.value)


def test_a_file_written_in_place_counts_once_it_holds_still(tmp_path: Path) -> None:
    (path := tmp_path / "secret").write_text("a" * 20)
    secret = WatchedSecret(NAME, path=path)
    path.write_text("b" * 17)  # perhaps half of it
    assert not secret.refresh()
    path.write_text("b" * 20)
    assert not secret.refresh()
    assert secret.settling
    assert secret.refresh()
    assert (secret.value, secret.generation) == ("b" * 20, 2)
    path.unlink()
    assert not secret.refresh()
    assert (secret.value, NAME in secret.problem) == ("b" * 20, True)


def test_a_swapped_directory_counts_at_once(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_text(f"the-{name}-secret-of-it")
    (tmp_path / "..data").symlink_to("old")
    (tmp_path / "secret").symlink_to("..data/secret")
    secret = WatchedSecret(NAME, path=tmp_path / "secret")
    (tmp_path / "..tmp").symlink_to("new")
    os.replace(tmp_path / "..tmp", tmp_path / "..data")
    assert secret.refresh()
    assert secret.value == "the-new-secret-of-it"


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", "86401"])
def test_an_interval_out_of_bounds_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=INTERVAL):
        refresh_interval({INTERVAL: text})
    assert refresh_interval({}) == 300


# -- the trail ------------------------------------------------------------------------------


def signer(secret: str) -> Signer:
    return Signer(WatchedSecret(NAME, value=secret))


def trail(folder: Path, secret: str = "s" * 16) -> AuditTrail:
    return AuditTrail(folder, sign=signer(secret))


def problems(folder: Path, *secrets: str) -> list[str]:
    keys = Keyring(secrets)
    found = [why for _, why in chain_problems(read_trail(folder / FILE))]
    signed = (keys.problem(r.content, r.signature) for r in read_trail(folder / FILE))
    return [*found, *filter(None, signed)]


def test_the_trail_goes_on_where_it_was_and_old_keys_still_verify(tmp_path: Path) -> None:
    for number, secret in enumerate(("a" * 16, "b" * 16), 1):
        one = trail(tmp_path, secret)
        assert one.append("kind", {"n": number}).seq == number
        one.close()
    assert problems(tmp_path, "a" * 16, "b" * 16) == []
    (lacking,) = problems(tmp_path, "b" * 16)
    assert key_id("a" * 16) in lacking


def test_a_torn_last_line_is_cut_and_damage_before_it_is_reported(tmp_path: Path) -> None:
    one = trail(tmp_path)
    one.append("first", {})
    one.close()
    whole = (tmp_path / FILE).read_bytes()
    for cut in range(0, len(whole), 7):
        (tmp_path / FILE).write_bytes(whole + whole[:cut])
        again = trail(tmp_path)
        assert again.append("second", {}).seq == 2
        again.close()
        assert problems(tmp_path, "s" * 16) == []
        (tmp_path / FILE).write_bytes(whole)
    (tmp_path / FILE).write_bytes(b"{}\n" + whole)
    with pytest.raises(StateError, match="line 1 is no audit record"):
        trail(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"at": 1.0}, {"kind": "x"}, {"body": {"who": "eve"}}, {"seq": 7}, {"previous": "0" * 64}],
)
def test_a_changed_record_is_reported_even_when_the_chain_is_written_anew(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    one = trail(tmp_path)
    one.append("first", {})
    record = one.append("kill_switch_reset", {"who": "ada"})
    forged = dataclasses.replace(record, **change)
    problem = Keyring(["s" * 16]).problem(forged.content, forged.signature)
    assert "does not fit" in problem


def test_records_that_are_left_out_are_reported(tmp_path: Path) -> None:
    one = trail(tmp_path)
    for n in range(4):
        one.append("kind", {"n": n})
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / FILE).write_bytes(b"".join(lines[:1] + lines[2:]))
    assert any("records are missing" in why for why in problems(tmp_path, "s" * 16))


def test_after_a_failed_fsync_nothing_is_believed_any_more(tmp_path: Path) -> None:
    """The fault itself is the subject."""
    fail = [False]

    def fsync(fd: int) -> None:
        if fail[0]:
            fail[0] = False
            raise OSError("no space")
        os.fsync(fd)

    one = AuditTrail(tmp_path, fsync=fsync)
    one.append("good", {})
    fail[0] = True
    for _ in range(2):
        with pytest.raises(DurabilityLost):
            one.append("lost", {})


# -- configuration and tokens ---------------------------------------------------------------


def test_two_spellings_of_a_subject_are_one_and_it_is_listed_once() -> None:
    clients = [
        {"subject": "CN=ada,O=desk", "scopes": ["state:read"]},
        {"subject": "2.5.4.3=ada,O=desk", "scopes": ["killswitch:read"]},
    ]
    with pytest.raises(ValueError, match="has a subject twice"):
        MtlsConfig.model_validate({"client_ca": "/ca", "clients": clients})


def test_certificates_need_tls() -> None:
    mtls = {"client_ca": "/ca", "clients": [{"subject": "CN=a", "scopes": ["state:read"]}]}
    with pytest.raises(ValueError, match="mtls needs tls"):
        AdminConfig.model_validate({"host": "127.0.0.1", "mtls": mtls})


@pytest.mark.parametrize(
    ("claims", "granted"),
    [
        ({"scope": "killswitch:read other"}, {Scope.READ_SWITCH}),
        ({"scp": ["state:read", 5, None]}, {Scope.READ_STATE}),
        ({"scope": {"killswitch:write": True}}, set()),
        ({"scope": None}, set()),
        ({}, set()),
    ],
)
def test_scopes(claims: dict[str, Any], granted: set[Scope]) -> None:
    assert scopes_of(claims) == granted


def test_secrets_are_no_public_keys(tmp_path: Path) -> None:
    symmetric = {"keys": [{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "a"}]}
    (path := tmp_path / "jwks.json").write_text(json.dumps(symmetric))
    with pytest.raises(ConfigError, match="no key in it that may sign tokens"):
        load_keys(path)


def test_the_committed_document_is_what_the_routes_say() -> None:
    assert main([str(ROOT / "docs" / "admin-openapi.json"), "--check"]) == 0
