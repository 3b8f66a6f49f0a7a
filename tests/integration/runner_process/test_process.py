"""Whole processes, killed, halted and restarted; judged by the venue's book, not by their word."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from tests.support.runner.process import ROOT, RunnerProcess, cli, eventually
from tradepulse_demo.defects import KINDS

Make = Callable[..., RunnerProcess]


def test_kill_9_again_and_again_loses_no_order_and_doubles_none(make: Make) -> None:
    runner, chance = make(), random.Random(5)
    for _ in range(5):
        runner.start()
        runner.trade(chance.randrange(1, 25))
        time.sleep(chance.uniform(0, 0.03))  # any instant will do, that is the point
        runner.kill()
    runner.start().trade(5)
    status = runner.halt()
    runner.assert_agrees()
    assert len(runner.venue_orders()) > 10
    assert runner.venue_open() == 0
    shown = {s: Decimal(q) for s, q in status["positions"]["paper"].items() if Decimal(q)}
    assert shown == runner.venue_positions()
    assert status["writer_epoch"] == 6
    assert status["unknown_orders"] == 0


def test_sigterm_leaves_no_order_at_the_venue_and_exits_0(make: Make) -> None:
    runner = make().start()
    runner.until(lambda s: s["open_orders"] >= 3, "resting orders")
    assert runner.end() == 0
    assert runner.venue_open() == 0
    runner.assert_agrees()
    assert runner.logged("live_loop.shutdown")[0]["orders_left"] == 0


def test_sigterm_during_start_leaves_what_an_earlier_crash_left_to_nobody(make: Make) -> None:
    runner = make().start()
    runner.until(lambda s: s["open_orders"] >= 3, "resting orders")
    runner.kill()
    assert runner.venue_open() > 0
    runner.start()
    assert runner.end() == 0
    assert runner.venue_open() == 0


def test_a_halt_completes_and_a_resume_trades_again(make: Make) -> None:
    runner = make().start()
    runner.until(lambda s: s["open_orders"] >= 2, "resting orders")
    status = runner.halt("uid-1")
    assert status["state"] == "HALTED"
    assert (status["open_orders"], status["unknown_orders"]) == (0, 0)
    assert runner.venue_open() == 0
    assert status["snapshot"]["generation"] >= 1
    assert runner.get("/readyz")[0] == 503
    assert runner.get("/healthz")[0] == 200
    before = len(runner.venue_orders())
    runner.beats()
    assert len(runner.venue_orders()) == before
    runner.command("trading", "")
    runner.until(lambda s: s["state"] == "TRADING", "trading")
    runner.trade(3)
    assert runner.status()["halt"] == {"token": "", "complete": False, "reason": ""}
    # A second halt is another one: its completion is not the first one's.
    assert runner.halt("uid-2")["halt"]["token"] == "uid-2"
    runner.assert_agrees()


def test_the_kill_switch_latches_survives_a_restart_and_only_a_name_opens_it(make: Make) -> None:
    runner = make().start()
    runner.trade(3)
    runner.command("kill-switch", "too fast")
    runner.until(lambda s: s["kill_switch"]["engaged"] and s["state"] == "HALTED", "latch")
    eventually(lambda: runner.venue_open() == 0, what="cancels")
    runner.command("kill-switch", "")
    runner.kill()
    sent = len(runner.venue_orders())
    runner.start()
    status = runner.until(lambda s: s["state"] == "HALTED", "latch after a restart")
    assert (status["kill_switch"]["engaged"], status["kill_switch"]["reason"]) == (True, "too fast")
    runner.beats()
    assert len(runner.venue_orders()) == sent
    assert runner.metrics()["tradepulse_kill_switch_engaged"] == 1
    assert cli("kill-switch", "reset", "--state-dir", str(runner.state_dir)).exit_code != 0
    reset = ("kill-switch", "reset", "--state-dir", str(runner.state_dir), "--by")
    assert cli(*reset, " ").exit_code != 0
    assert runner.status()["kill_switch"]["engaged"]
    assert cli(*reset, "ada").exit_code != 0
    assert cli(*reset, "ada", "--reason", " ").exit_code != 0
    assert runner.status()["kill_switch"]["engaged"]
    assert cli(*reset, "ada", "--reason", "the feed is right again").exit_code == 0
    runner.until(lambda s: s["state"] == "TRADING", "trading after the reset")
    runner.trade(1)
    assert runner.metrics()["tradepulse_kill_switch_engaged"] == 0


def test_the_command_line_engages_a_running_runner_and_a_stopped_one(make: Make) -> None:
    runner = make().start()
    runner.until(lambda s: s["open_orders"] >= 3, "resting orders")
    engage = ("kill-switch", "engage", "--state-dir", str(runner.state_dir))
    assert cli(*engage).exit_code != 0
    assert cli(*engage, "--reason", " ").exit_code != 0
    assert not runner.status()["kill_switch"]["engaged"]
    assert cli(*engage, "--reason", "the feed lies", "--by", "bob").exit_code == 0
    status = runner.until(lambda s: s["kill_switch"]["complete"], "everything cancelled")
    assert status["kill_switch"] == {
        "engaged": True,
        "reason": "the feed lies",
        "complete": True,
        "uncancelled": [],
        "uncancelled_orders": 0,
    }
    assert runner.venue_open() == 0
    sent = len(runner.venue_orders())
    metrics = runner.metrics()
    assert metrics['tradepulse_trading_state{state="HALTED"}'] == 1
    assert metrics['tradepulse_trading_state{state="ACTIVE"}'] == 0
    assert metrics['tradepulse_kill_switch_uncancelled_orders{venue="paper"}'] == 0
    assert "engaged already: the feed lies" in cli(*engage, "--reason", "again").output

    reset = ("kill-switch", "reset", "--state-dir", str(runner.state_dir), "--by", "ada")
    assert cli(*reset, "--reason", "the feed is right").exit_code == 0
    runner.until(lambda s: s["state"] == "TRADING", "trading after the reset")
    runner.trade(1)
    assert runner.end() == 0
    assert cli(*engage, "--reason", "not today").exit_code == 0
    sent = len(runner.venue_orders())
    runner.start()
    runner.until(lambda s: s["state"] == "HALTED", "latch at the start")
    runner.beats()
    assert len(runner.venue_orders()) == sent
    shown = cli("kill-switch", "status", "--state-dir", str(runner.state_dir)).output
    assert shown.startswith("engaged: not today")
    for line in ("engaged by bob: the feed lies", "reset by ada: the feed is right"):
        assert line in shown
    assert "not cancelled: 0 orders" in shown


def test_the_command_line_tells_when_no_runner_lives_there(tmp_path: Path) -> None:
    """A typing error must not look like an engaged kill switch."""
    for folder in (tmp_path / "typo", tmp_path):
        for words in (("engage", "--reason", "x"), ("reset", "--by", "a", "--reason", "b"),
                      ("status",)):  # fmt: skip
            done = cli("kill-switch", *words, "--state-dir", str(folder))
            assert done.exit_code == 1
            assert "no runner has used this directory" in done.output
    assert list(tmp_path.iterdir()) == []


def test_the_operators_word_reduce_reaches_the_process(make: Make) -> None:
    runner = make().start()
    runner.trade(20)
    runner.command("trading", "reduce uid-1 the loss is near")
    status = runner.until(lambda s: s["state"] == "REDUCING", "reducing")
    assert status["reduce"] == {"token": "uid-1", "reason": "the loss is near"}
    assert (status["trading_state"], status["halt"]["complete"]) == ("REDUCING", False)
    assert runner.get("/readyz")[0] == 503
    assert runner.get("/healthz")[0] == 200
    assert runner.metrics()['tradepulse_trading_state{state="REDUCING"}'] == 1
    # What was on its way, or rested and could still grow a position, is gone soon.
    runner.beats(5)
    before = {s: abs(q) for s, q in runner.venue_positions().items()}
    runner.beats(10)
    held = {s: abs(q) for s, q in runner.venue_positions().items()}
    assert all(held[symbol] <= before[symbol] for symbol in held)
    runner.command("trading", "")
    runner.until(lambda s: s["state"] == "TRADING", "trading")
    runner.trade(1)
    runner.halt()
    runner.assert_agrees()


def test_a_halt_ordered_while_nobody_ran_comes_before_the_first_order(make: Make) -> None:
    runner = make()
    runner.command("trading", "halt early before the start")
    runner.start()
    runner.until(lambda s: s["halt"]["complete"], "halt")
    runner.beats()
    assert runner.venue_orders() == {}


def test_a_second_process_on_the_same_state_is_refused(make: Make) -> None:
    runner, other = make().start(), make()
    other.config["state_dir"] = str(runner.state_dir)
    other.start(wait=False)
    assert other.process is not None
    assert other.process.wait(20) == 1
    assert "another process works on this state directory" in other.log.read_text()
    found = cli("state", "prepare", "--state-dir", str(runner.state_dir), "--backup", "b1")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["ok"] is False
    runner.trade(1)


def test_cold_start_sets_the_state_aside_and_sends_nothing_old(make: Make) -> None:
    runner = make().start()
    runner.until(lambda s: s["open_orders"] >= 2, "resting orders")
    runner.kill()
    before = set(runner.venue_orders())
    runner.config["cold_start"] = True
    runner.command("trading", "halt cold look first")
    runner.start()
    status = runner.until(lambda s: s["halt"]["complete"], "halt")
    assert set(runner.venue_orders()) == before
    assert runner.venue_open() == 0
    shown = {s: Decimal(q) for s, q in status["positions"]["paper"].items() if Decimal(q)}
    assert shown == runner.venue_positions()
    aside = list((runner.state_dir / "incidents").glob("cold-start-paper-*/paper_journal.*"))
    assert aside


def test_a_restored_old_state_ends_with_the_venues_positions(make: Make) -> None:
    runner = make().start()
    runner.trade(10)
    assert runner.end() == 0
    prepare = ("state", "prepare", "--state-dir", str(runner.state_dir))
    made = cli(*prepare, "--backup", "uid-1")
    assert json.loads(made.stdout)["ok"], made
    old = Decimal(runner.venue("SELECT count(*) FROM trades")[0][0])
    runner.start().trade(30)
    epoch = runner.status()["writer_epoch"]
    runner.kill()
    assert runner.venue("SELECT count(*) FROM trades")[0][0] > old
    back = json.loads(cli(*prepare, "--restore", "uid-1").stdout)
    assert back["ok"]
    assert back["restore"]["files"] > 0
    runner.start().trade(5)
    assert runner.status()["writer_epoch"] > epoch
    runner.halt()
    held = {s: Decimal(q) for s, q in runner.book()["positions"].items() if Decimal(q)}
    assert held == runner.venue_positions()
    assert runner.venue_open() == 0
    runner.venue_orders()


def test_the_first_scrape_has_every_series_of_the_contract(make: Make) -> None:
    runner = make()
    runner.command("trading", "halt t before anything")
    found = runner.start().metrics()
    zero = [
        'live_loop_orders_submitted_total{venue="paper"}',
        'tradepulse_order_outcomes_total{outcome="ok",venue="paper"}',
        'tradepulse_order_outcomes_total{outcome="error",venue="paper"}',
        'tradepulse_order_latency_seconds_bucket{le="0.5",venue="paper"}',
        'tradepulse_order_latency_seconds_bucket{le="+Inf",venue="paper"}',
        'tradepulse_order_latency_seconds_count{venue="paper"}',
    ]
    assert {name: found[name] for name in zero} == dict.fromkeys(zero, 0.0)
    assert "live_loop_heartbeat" in found
    assert 'live_loop_position_snapshot_timestamp{venue="paper"}' in found
    info = [name for name in found if name.startswith("tradepulse_runner_info{")]
    assert len(info) == 1
    assert 'version="1.2.3"' in info[0]
    eventually(lambda: abs(runner.metrics()["live_loop_heartbeat"] - time.time()) < 2)


def test_each_defect_shows_in_its_metrics(make: Make) -> None:
    bad = {kind: make() for kind in KINDS}
    for kind, runner in bad.items():
        runner.program = "tradepulse_demo"
        defect = runner.folder / "defect.json"
        defect.write_text(json.dumps({"kind": kind, "after": 6}))
        runner.environ = {
            "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("demo", "runner")),
            "TRADEPULSE_DEFECT_FILE": str(defect),
        }
        runner.start()
    eventually(lambda: _error_share(bad["errors"].metrics()) > 0.02, what="errors")
    eventually(lambda: _p95(bad["latency"].metrics()) > 0.5, what="latency")
    eventually(lambda: not _answers(bad["freeze"]), what="a frozen process")
    assert not _answers(bad["freeze"])


def _error_share(found: dict[str, float]) -> float:
    name = 'tradepulse_order_outcomes_total{{outcome="{}",venue="paper"}}'
    good, bad = found[name.format("ok")], found[name.format("error")]
    return bad / (good + bad) if good + bad >= 10 else 0.0


def _p95(found: dict[str, float]) -> float:
    """Lower edge of the bucket that holds the 95th percentile."""
    name = 'tradepulse_order_latency_seconds_bucket{{le="{}",venue="paper"}}'
    count = found[name.format("+Inf")]
    edges = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0"]
    below = [float(edge) for edge in edges if found[name.format(edge)] < 0.95 * count]
    return max(below, default=0.0) + 0.001 if count >= 10 else 0.0


def _answers(runner: RunnerProcess) -> bool:
    try:
        runner.metrics(within=1.0)
    except OSError:
        return False
    return True
