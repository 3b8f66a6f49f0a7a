"""Credentials: whatever happens to the files, the runner signs with a pair that somebody meant."""

from __future__ import annotations

import hashlib
import itertools
import logging
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.support.runner.credentials_fixtures import (
    NAMES,
    Keys,
    Timer,
    finish,
    overwritten,
    pair,
    removed,
    renamed,
    swapped,
    together,
    write,
)
from tests.support.runner.runner_fixtures import config
from tradepulse_runner.config.runner import RunnerConfig
from tradepulse_runner.credentials.files import MIN_SECRET, checked
from tradepulse_runner.credentials.store import HALF, PATIENCE, SETTLE, CredentialStore, open_stores
from tradepulse_runner.errors import ConfigError
from tradepulse_runner.files.snapshot import no_fault

KEY, SECRET = NAMES
Way = Callable[[Path, Keys], Iterator[None]]


def store(
    directory: Path | None, timer: Timer | None = None, step: Callable[[str], None] = no_fault
) -> CredentialStore:
    timer = timer or Timer()
    made = CredentialStore("binance", directory, {}, clock=timer, timer=timer, step=step)
    made.load()
    return made


def used(found: CredentialStore) -> Keys:
    return found.current.key, found.current.secret


# -- interleavings ---------------------------------------------------------------------------


class Writers:
    """Replace the files in several ways, a step at a time, each pair after the one before was
    taken up. Time passes: up to ``slowest`` between two steps of one swap."""

    SLOWEST: ClassVar[dict[object, float]] = {swapped: 60.0, renamed: 9.0}

    def __init__(self, directory: Path, ways: list[Way], timer: Timer) -> None:
        self.wanted = [pair(number) for number in range(len(ways) + 1)]
        self.meant = self.wanted[0]
        self._directory, self._ways, self._timer = directory, list(ways), timer
        self._steps: Iterator[None] | None = None
        self._way: Way = swapped
        self._stepped = timer.now

    def step(self, taken: Keys) -> bool:
        """One step; False when there is nothing to do any more."""
        if self._steps is None:
            if not self._ways or taken != self.meant:
                return bool(self._ways)
            self._way, self.meant = self._ways.pop(0), self.wanted[-len(self._ways) - 1]
            self._steps = self._way(self._directory, self.meant)
        if next(self._steps, self) is self:
            self._steps = None
        self._stepped = self._timer.now
        return True

    def pass_time(self, seconds: float) -> None:
        """As much of ``seconds`` as may pass before the next step."""
        longest = self.SLOWEST.get(self._way, 0.9) if self._steps else 60.0
        self._timer.now += max(0.0, min(seconds, self._stepped + longest - self._timer.now))


WAYS: list[Way] = [swapped, renamed, overwritten, removed]


@settings(max_examples=300, deadline=None)
@given(
    first=some.sampled_from(WAYS[:3]),
    ways=some.lists(some.sampled_from(WAYS), min_size=1, max_size=4),
    chance=some.randoms(use_true_random=False),
)
def test_no_interleaving_signs_with_halves_of_two_pairs(
    first: Way, ways: list[Way], chance: random.Random
) -> None:
    """Writers and the reader take turns at every access to a file."""
    with tempfile.TemporaryDirectory() as folder:
        directory, timer = Path(folder) / "mount", Timer()
        writers = Writers(directory, ways, timer)
        finish(first(directory, writers.meant))
        accesses: list[Callable[[], object]] = []

        def interleave(_access: str) -> None:
            for act in accesses:
                act()

        found = store(directory, timer, interleave)
        accesses.append(lambda: chance.random() < 0.2 and writers.step(used(found)))
        while writers.step(used(found)):
            writers.pass_time(chance.choice([0.0, 0.1, 0.5, 2.0, 20.0]))
            found.refused(found.current) if chance.random() < 0.2 else found.refresh()
            assert used(found) in writers.wanted
        accesses.clear()
        for _ in range(3):
            found.refresh()
            timer.now += HALF
        assert used(found) == writers.wanted[-1]
        assert (found.problem, found.swapping) == ("", False)


@pytest.mark.parametrize("way", [swapped, renamed, overwritten], ids=lambda way: way.__name__)
def test_a_swap_that_strikes_between_any_two_accesses(tmp_path: Path, way: Way) -> None:
    accesses = 0
    for at in itertools.count(1):
        directory, timer, seen = tmp_path / str(at), Timer(), itertools.count(1)
        finish(way(directory, pair(1)))
        steps: list[Iterator[None]] = []

        def strike(
            _access: str,
            steps: list[Iterator[None]] = steps,
            at: int = at,
            seen: Iterator[int] = seen,
        ) -> None:
            if steps and next(seen) == at:
                finish(steps.pop())

        found = store(directory, timer, strike)
        steps.append(way(directory, pair(2)))
        found.refresh()
        assert used(found) in (pair(1), pair(2))
        if steps:
            break
        accesses = at
        timer.now += SETTLE
        found.refresh()
        assert used(found) == pair(2)
    assert accesses >= 8


def test_one_file_of_both_is_never_half_however_long_the_writer_pauses(tmp_path: Path) -> None:
    """What separate files can't promise: their halves may be an hour apart."""
    finish(together(tmp_path, pair(1)))
    found = store(tmp_path)
    for number in range(2, 6):
        for _ in together(tmp_path, pair(number)):
            found.refresh()
            assert used(found) in (pair(number - 1), pair(number))
        found.refresh()
        assert used(found) == pair(number)
    whole = (tmp_path / "credentials.json").read_text()
    for length in range(len(whole)):
        (tmp_path / "credentials.json").write_text(whole[:length])  # by who doesn't rename
        found.refresh()
        assert used(found) == pair(5)
        assert found.problem
    assert pair(5)[1] not in found.problem


@pytest.mark.parametrize("text", ["[]", "{}", '"x"', '{"BINANCE_API_KEY": 7}', "null"])
def test_one_file_that_is_no_pair_names_itself_and_what_is_missing(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "credentials.json").write_text(text)
    with pytest.raises(ConfigError, match=r"credentials\.json.*"):
        store(tmp_path)


# -- when the new pair is used ---------------------------------------------------------------


def test_a_kubernetes_swap_counts_at_once(tmp_path: Path) -> None:
    finish(swapped(tmp_path, pair(1)))
    found = store(tmp_path)
    old = found.current
    finish(swapped(tmp_path, pair(2)))
    assert found.refresh()
    assert used(found) == pair(2)
    assert (old.key, old.secret) == pair(1), "a request in flight keeps what it was signed with"
    assert (old.generation, found.current.generation) == (1, 2)
    assert not found.refresh()


def test_files_written_by_hand_count_once_they_held_still(tmp_path: Path) -> None:
    write(tmp_path, pair(1))
    timer = Timer()
    found = store(tmp_path, timer)
    write(tmp_path, pair(2))
    assert not found.refresh()
    assert found.swapping
    timer.now += SETTLE
    assert found.refresh()
    assert not found.swapping


@pytest.mark.parametrize("half", [0, 1])
def test_half_a_pair_waits_for_the_other_half(tmp_path: Path, half: int) -> None:
    write(tmp_path, pair(1))
    timer = Timer()
    found = store(tmp_path, timer)
    (tmp_path / NAMES[half]).write_text(pair(2)[half])
    for _ in range(9):
        assert not found.refresh()
        timer.now += 1
    (tmp_path / NAMES[1 - half]).write_text(pair(2)[1 - half])
    assert not found.refresh()
    timer.now += SETTLE
    assert found.refresh()
    assert used(found) == pair(2)


def test_a_secret_that_is_replaced_alone_is_used_in_the_end(tmp_path: Path) -> None:
    write(tmp_path, pair(1))
    timer = Timer()
    found = store(tmp_path, timer)
    (tmp_path / SECRET).write_text(pair(2)[1])
    found.refresh()
    timer.now += HALF
    assert found.refresh()
    assert used(found) == (pair(1)[0], pair(2)[1])


# -- refusals by the venue -------------------------------------------------------------------


def test_a_refused_pair_is_looked_up_anew_at_once(tmp_path: Path) -> None:
    finish(swapped(tmp_path, pair(1)))
    found = store(tmp_path)
    signed_with = found.current
    finish(swapped(tmp_path, pair(2)))
    assert found.refused(signed_with), "newer ones are there"
    assert not found.refused(found.current), "the newest one was refused"
    assert found.refused(signed_with), "a late answer to an old request"


# -- what can't be used ----------------------------------------------------------------------


@pytest.mark.parametrize("victim", NAMES)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text(""),
        lambda path: path.write_text("  \n"),
        lambda path: path.write_bytes(b"\xff\xfe" * 20),
        lambda path: path.write_text("two words of hunter2 hunter2"),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: path.write_text("hunter2" * 20_000),
    ],
    ids=["missing", "empty", "blank", "binary", "blanks inside", "a directory", "too large"],
)
def test_what_cannot_be_used_keeps_the_pair_before_and_names_the_file(
    tmp_path: Path,
    victim: str,
    spoil: Callable[[Path], object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(tmp_path, pair(1))
    timer = Timer()
    found = store(tmp_path, timer)
    spoil(tmp_path / victim)
    for _ in range(3):
        assert not found.refresh()
        assert not found.refused(found.current)
    assert used(found) == pair(1)
    assert str(tmp_path / victim) in found.problem
    assert "remedy" in found.problem
    assert found.failures == 1, "counted when it begins"
    assert (found.swapping, found.stale) == (True, False)
    timer.now += PATIENCE
    assert (found.swapping, found.stale) == (False, True)
    logged = " ".join(str(record.__dict__) for record in caplog.records)
    for secret in (*pair(1), "hunter2"):
        assert secret not in found.problem + logged
    if (tmp_path / victim).is_dir():
        (tmp_path / victim).rmdir()
    write(tmp_path, pair(2))
    found.refresh()
    timer.now += SETTLE
    assert found.refresh()
    assert (found.problem, found.stale) == ("", False)


def pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, password: str = "") -> str:
    lock = form.BestAvailableEncryption(password.encode()) if password else form.NoEncryption()
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, lock).decode()


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_a_pem_is_parsed_and_its_line_ends_are_repaired(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
) -> None:
    text = pem(key)
    escaped = text.strip().replace("\n", "\\n")
    assert checked(SECRET, text, "here") == checked(SECRET, escaped, "here") == text.strip()
    body = text.splitlines()[1]
    for broken in (text[: len(text) // 2], text.replace(body, body[:-8]), pem(key, "locked away")):
        with pytest.raises(ConfigError, match=r"BINANCE_API_SECRET: here is .*PEM.*remedy") as why:
            checked(SECRET, broken, "here")
        assert body[:12] not in str(why.value)


@pytest.mark.parametrize("text", ["x" * (MIN_SECRET - 1), "with a blank inside it", "ä" * 20])
def test_a_secret_that_cannot_be_one_is_refused_unseen(text: str) -> None:
    with pytest.raises(ConfigError, match="remedy") as why:
        checked(SECRET, text, "here")
    assert text not in str(why.value)


def test_the_environment_is_named_when_there_are_no_files() -> None:
    key, secret = pair(1)
    with pytest.raises(ConfigError, match="environment variable BINANCE_API_SECRET"):
        CredentialStore.open("binance", None, {KEY: key})
    found = CredentialStore.open("binance", None, {KEY: key, SECRET: secret})
    assert used(found) == (key, secret)
    assert not found.refused(found.current)


def test_nothing_shows_a_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    finish(swapped(tmp_path, pair(1)))
    found = store(tmp_path)
    finish(swapped(tmp_path, pair(2)))
    found.refresh()
    shown = [repr(found.current), repr(found._source), repr(found.__dict__), repr(found)]
    shown += [str(record.__dict__) for record in caplog.records]
    assert any("credentials.replaced" in line for line in shown)
    assert any(hashlib.sha256(pair(2)[0].encode()).hexdigest()[:8] in line for line in shown)
    for text in shown:
        for half in (*pair(1), *pair(2)):
            assert half not in text


# -- where they are looked for ---------------------------------------------------------------


def configured(tmp_path: Path, **changes: object) -> RunnerConfig:
    venue = {"name": "spot", "connector": "binance", "symbols": ["BTCUSDT"], **changes}
    return RunnerConfig.model_validate(config(tmp_path / "state", venues=[venue]))


def test_the_directory_then_the_state_directory_then_the_environment(tmp_path: Path) -> None:
    environment = dict(zip(NAMES, pair(3), strict=True))
    assert used(open_stores(configured(tmp_path), environment)["spot"]) == pair(3)
    write(tmp_path / "state" / "credentials" / "spot", pair(2))
    assert used(open_stores(configured(tmp_path), environment)["spot"]) == pair(2)
    named = configured(tmp_path, credentials_dir=str(tmp_path / "mount"))
    with pytest.raises(ConfigError, match=str(tmp_path / "mount" / KEY)):
        open_stores(named, environment)
    write(tmp_path / "mount", pair(1))
    assert used(open_stores(named, environment)["spot"]) == pair(1)


def test_the_paper_venue_needs_none(tmp_path: Path) -> None:
    assert open_stores(RunnerConfig.model_validate(config(tmp_path)), {}) == {}
