"""The kill-switch drill: the real loop, limits and latch, rehearsed on paper venues.

It trades the configured symbols under the configured limits in a temporary state directory,
engages the switch, and checks the effect: from the venue's side, on the disk, after a restart
and after a rollback. Nothing real is touched: no credentials, no ports, no order leaves the
process. It can't measure how fast a real venue cancels.
"""

from __future__ import annotations

import asyncio
import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_DOWN
from functools import partial
from pathlib import Path
from typing import Any

from tradepulse_runner.config.runner import (
    GuardConfig,
    KillSwitchConfig,
    RunnerConfig,
    VenueConfig,
    parse_model,
)
from tradepulse_runner.domain import Order, OrderRef, Side, VenueOrder
from tradepulse_runner.errors import OutcomeUnknown, RiskRejected, StateError
from tradepulse_runner.killswitch import KillSwitch
from tradepulse_runner.live.killreport import read_report
from tradepulse_runner.live.loop import LiveExecutionLoop
from tradepulse_runner.live.loop_config import LiveLoopConfig
from tradepulse_runner.live.phase import Phase
from tradepulse_runner.risk.manager import RiskLimits, RiskManager
from tradepulse_runner.state.backup import Backups
from tradepulse_runner.venues.paper import PaperConnector, PaperOptions

#: Seconds that any one step may take before its check fails.
PATIENCE = 20.0
#: Seconds that placing the orders may take when the throttle is tight.
PLACING = 30.0
#: Seconds in which nothing may be sent after the switch was engaged.
QUIET_PERIOD = 1.0
#: Orders whose cancels the venue leaves unanswered in the second round.
UNANSWERED = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One condition that must be met."""

    name: str
    passed: bool
    detail: str


@dataclass(slots=True)
class Result:
    """The outcome of a drill. ``measures``: name → milliseconds, or a count."""

    checks: list[Check] = field(default_factory=list)
    measures: dict[str, float] = field(default_factory=dict)
    started: float = 0.0
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)


class Rehearsal(PaperConnector):
    """A paper venue that records when it cancelled each order, and can leave cancels unanswered.
    Times are
    ``time.perf_counter`` seconds."""

    def __init__(self, venue: VenueConfig, options: PaperOptions, directory: Path) -> None:
        super().__init__(venue, options, directory, clock=time.time)
        self.connected = False
        self.cancelled: dict[str, float] = {}
        self.unanswered: set[str] = set()

    async def connect(self) -> None:
        await super().connect()
        self.connected = True

    async def disconnect(self) -> None:
        await super().disconnect()
        self.connected = False

    async def cancel_order(self, ref: OrderRef) -> VenueOrder:
        if ref.client_id in self.unanswered:
            raise OutcomeUnknown("the rehearsal leaves this cancel unanswered")
        answer = await super().cancel_order(ref)
        self.cancelled.setdefault(ref.client_id, time.perf_counter())
        return answer


async def drill(config: RunnerConfig, *, orders: int = 100) -> Result:
    """Run a drill with up to ``orders`` resting orders. Raises nothing for what goes wrong in it:
    that is a failed check."""
    began, result = time.perf_counter(), Result(started=time.time())
    with tempfile.TemporaryDirectory(prefix="kill-switch-drill-") as folder:
        rehearsal = _Drill(config, Path(folder), orders, result)
        try:
            await rehearsal.run()
        except Exception as error:
            result.checks.append(Check("the drill ran to its end", False, f"{error!r}"))
        finally:
            await rehearsal.stop()
    result.seconds = time.perf_counter() - began
    return result


class _Drill:
    def __init__(self, config: RunnerConfig, folder: Path, orders: int, result: Result) -> None:
        self._config, self._folder, self._wanted, self._result = config, folder, orders, result
        self._loop: LiveExecutionLoop | None = None
        self._venues: list[Rehearsal] = []
        self._turn = 0

    async def run(self) -> None:
        await self._first_round()
        await self._after_a_restart()
        await self._after_a_rollback()
        await self._only_a_named_person_resets()
        await self._second_round()

    async def stop(self) -> None:
        if self._loop is not None:
            await self._loop.shutdown()
            self._loop = None

    # -- the runner that is rehearsed ----------------------------------------------------------

    async def _start(self) -> LiveExecutionLoop:
        self._venues = [_rehearse(venue, self._folder) for venue in self._config.venues]
        self._loop = LiveExecutionLoop(
            {venue.name: venue for venue in self._venues},
            RiskManager(RiskLimits.from_config(self._config.risk), clock=time.time),
            config=dataclasses.replace(
                LiveLoopConfig.of(self._config),
                state_dir=self._folder,
                control_dir=None,
                credentials={},
                kill_switch=KillSwitchConfig(),
                guard=GuardConfig(),  # alerts only: nothing but the drill stops this loop
            ),
        )
        await self._loop.start()
        return self._loop

    async def _place(self, loop: LiveExecutionLoop, count: int) -> int:
        """Orders that rest, as fast as the throttle lets them leave; how many rest."""
        limits, end = self._config.risk, time.monotonic() + PLACING
        asked = 0
        while (resting := self._at_the_venues()) < count and time.monotonic() < end:
            if loop.state.refusal:
                break
            for _ in range(min(count - resting, limits.max_orders_per_interval)):
                self._submit(loop)
                asked += 1
            await _until(lambda: not loop.in_flight, limits.interval_seconds)
            await asyncio.sleep(min(limits.interval_seconds, max(0.0, end - time.monotonic())))
        return resting

    def _submit(self, loop: LiveExecutionLoop) -> bool:
        """One small order away from the market, each at a price of its own."""
        self._turn += 1
        places = [(venue, symbol) for venue in self._venues for symbol in sorted(venue.symbols)]
        venue, symbol = places[self._turn % len(places)]
        side = Side.BUY if self._turn // len(places) % 2 else Side.SELL
        quote, steps = venue.quote(symbol), venue.instrument(symbol)
        if quote is None:
            return False
        away = self._config.risk.price_collar / 2 * quote.mid - self._turn % 50 * steps.tick
        ticks = ((quote.mid - side.sign * away) / steps.tick).to_integral_value(ROUND_DOWN)
        order = Order(symbol, side, steps.lot, price=ticks * steps.tick, algo="kill-switch-drill")
        try:
            loop.submit_order(venue.name, order)
        except RiskRejected:
            return False
        return True

    def _at_the_venues(self) -> int:
        return sum(len(venue.exchange.open_orders()) for venue in self._venues)

    def _accepted(self) -> int:
        return sum(venue.exchange.order_count() for venue in self._venues)

    def _check(self, name: str, passed: object, detail: str = "") -> bool:
        self._result.checks.append(Check(name, bool(passed), detail))
        return bool(passed)

    # -- the parts of the drill ----------------------------------------------------------------

    async def _first_round(self) -> None:
        loop = await self._start()
        self._check("it trades before the drill", await _until(_in(loop, Phase.TRADING)))
        resting = await self._place(loop, self._wanted)
        self._check("orders rest at the venue", resting > 0, f"{resting} of {self._wanted}")
        for session in loop.sessions.values():
            await session.oms.save()
        Backups(self._folder, clock=time.time).make("before")
        for _ in range(5):
            self._submit(loop)  # still queued when the switch is engaged
        began = time.perf_counter()
        await loop.engage_kill_switch("drill: first round")
        latched = time.perf_counter()
        sent = loop.counts["submitted"]
        on_disk = KillSwitch(self._folder, clock=time.time)
        self._check("the latch is on disk when engaging returns", on_disk.engaged, on_disk.reason)
        self._check("the metric of the kill switch moves", self._shown(loop) == 1.0)
        self._check("an order is refused from then on", not self._submit(loop))
        done = await _until(lambda: loop.all_cancelled)
        ended = time.perf_counter()
        left = self._at_the_venues()
        self._check("every order is cancelled at the venue", done and left == 0, f"{left} left")
        cancels = [at for venue in self._venues for at in venue.cancelled.values()]
        self._check(
            "the latch was on disk before the first cancel",
            min(cancels, default=0.0) > latched,
            f"{len(cancels)} cancels",
        )
        await self._check_nothing_sent(loop, sent)
        self._measure(resting, began, latched, ended)

    async def _check_nothing_sent(self, loop: LiveExecutionLoop, sent: int) -> None:
        accepted = self._accepted()
        await asyncio.sleep(QUIET_PERIOD)
        more, new = loop.counts["submitted"] - sent, self._accepted() - accepted
        self._check(
            "nothing is sent afterwards", more == 0 and new == 0, f"{more} sent, {new} arrived"
        )

    @staticmethod
    def _shown(loop: LiveExecutionLoop) -> float | None:
        """The metric's value, as in a scrape."""
        return loop.metrics.registry.get_sample_value("tradepulse_kill_switch_engaged")

    def _measure(self, resting: int, began: float, latched: float, ended: float) -> None:
        times = sorted((at - began) * 1e3 for v in self._venues for at in v.cancelled.values())
        self._result.measures |= {
            "orders resting": resting,
            "engage to latch on disk, ms": (latched - began) * 1e3,
            "engage to everything settled, ms": (ended - began) * 1e3,
        }
        if len(times) > 1:
            parts = statistics.quantiles(times, n=100, method="inclusive")
            self._result.measures |= {
                "engage to first cancel, ms": times[0],
                "engage to cancel, median, ms": parts[49],
                "engage to cancel, p99, ms": parts[98],
                "engage to last cancel, ms": times[-1],
            }

    async def _after_a_restart(self) -> None:
        await self.stop()
        open_ones = [venue.name for venue in self._venues if venue.connected]
        self._check("every connector is disconnected", not open_ones, ", ".join(open_ones))
        await self._stays_latched("a restart")

    async def _after_a_rollback(self) -> None:
        await self.stop()
        Backups(self._folder, clock=time.time).restore("before")
        await self._stays_latched("a rollback to a state from before")

    async def _stays_latched(self, what: str) -> None:
        loop = await self._start()
        halted = await _until(_in(loop, Phase.HALTED))
        self._check(f"{what} leaves it latched", halted and loop.kill_switch[0], loop.phase()[1])
        accepted = self._accepted()
        refused = not self._submit(loop)
        await asyncio.sleep(QUIET_PERIOD)
        quiet = self._accepted() == accepted and loop.counts["submitted"] == 0
        self._check(f"nothing is sent after {what}", refused and quiet)

    async def _only_a_named_person_resets(self) -> None:
        assert self._loop is not None
        for name, words in (
            ("a reset without a name is refused", {"by": " ", "reason": "drill"}),
            ("a reset without a reason is refused", {"by": "drill", "reason": " "}),
        ):
            refused = _refuses(partial(self._latch().reset, **words))
            self._check(name, refused and self._latch().engaged)
        began = time.perf_counter()
        self._latch().reset(by="kill-switch drill", reason="first round is over")
        trading = await _until(_in(self._loop, Phase.TRADING))
        self._result.measures["reset to trading, ms"] = (time.perf_counter() - began) * 1e3
        self._check("a reset by name and reason lets it trade again", trading)

    async def _second_round(self) -> None:
        """Engaged by another process this time, and the venue leaves some cancels unanswered."""
        loop = self._loop
        assert loop is not None
        resting = await self._place(loop, 2 * UNANSWERED)
        ids = [o.client_id for v in self._venues for o in v.exchange.open_orders()][:UNANSWERED]
        for venue in self._venues:
            venue.unanswered = set(ids)
        began = time.perf_counter()
        self._latch().engage("drill: second round", by="kill-switch drill")
        noticed = await _until(lambda: loop.kill_switch[0])
        self._result.measures["engaged by another process to noticed, ms"] = (
            time.perf_counter() - began
        ) * 1e3
        self._check("a latch engaged by another process is noticed", noticed)
        listed = await _until(lambda: self._listed() == set(ids))
        self._check(
            "what can't be cancelled is listed, and nothing else",
            ids and listed and self._at_the_venues() == len(ids),
            f"{len(ids)} of {resting} left unanswered, {len(self._listed())} listed",
        )
        for venue in self._venues:
            venue.unanswered = set()
        done = await _until(lambda: loop.all_cancelled and not self._listed())
        self._check("they are cancelled once the venue answers", done)
        events = [(e["event"], bool(e["by"]), bool(e["reason"])) for e in self._latch().history]
        wanted = [("engaged", False, True), ("reset", True, True), ("engaged", True, True)]
        self._check("the record names who did what, and why", events == wanted, str(events))

    def _latch(self) -> KillSwitch:
        """As another process would open it."""
        return KillSwitch(self._folder, clock=time.time)

    def _listed(self) -> set[str]:
        report: dict[str, Any] = read_report(self._folder) or {}
        return {entry["order"] for entry in report.get("uncancelled", [])}


def _rehearse(venue: VenueConfig, folder: Path) -> Rehearsal:
    """The paper venue in place of a configured one, of the same name and symbols."""
    given = venue.options if venue.connector == "paper" else {}
    options = parse_model(PaperOptions, given, source="drill", prefix=f"venues.{venue.name}")
    return Rehearsal(venue, options.model_copy(update={"prices": "random"}), folder / "paper")


def _in(loop: LiveExecutionLoop, phase: Phase) -> Callable[[], bool]:
    return lambda: loop.phase()[0] is phase


def _refuses(reset: Callable[[], None]) -> bool:
    try:
        reset()
    except (ValueError, StateError):
        return True
    return False


async def _until(condition: Callable[[], object], seconds: float | None = None) -> bool:
    """Whether ``condition`` came true within ``seconds``, by default ``PATIENCE``."""
    end = time.monotonic() + (PATIENCE if seconds is None else seconds)
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.002)
    return True
