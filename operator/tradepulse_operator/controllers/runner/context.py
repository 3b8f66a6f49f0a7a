"""The input of every decision about a runner, derived once from the observed state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.phases import current, final
from tradepulse_operator.api.release import Release
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.api.runner_status import TradingRunnerStatus
from tradepulse_operator.common.names import API_VERSION, CONFIG_FILE, pvc_name
from tradepulse_operator.common.objects import Manifest, Ref
from tradepulse_operator.controllers.observed.views import PodView, RunnerObserved
from tradepulse_operator.controllers.step import WriteStatus
from tradepulse_operator.resources.config.heartbeat import require_heartbeat_interval
from tradepulse_operator.resources.config.release import Rendered, render_release, short_hash
from tradepulse_operator.resources.config.render import ConfigError
from tradepulse_operator.resources.cutover import cutover_name
from tradepulse_operator.resources.desired_run import DesiredRun
from tradepulse_operator.resources.runner.stateful_set import copies

from .desired_run import desired_run


@dataclass(frozen=True)
class RunnerContext:
    """The observed state of a runner, with what follows from it.

    `wanted`: the release of the spec, or `problem`: why it can't be rendered. `cutover`: the
    claimed one, if it exists. `run`: the desired run; None before the first start.
    `configs`: hash → text of every configuration in use whose text is available.
    """

    observed: RunnerObserved
    wanted: Rendered | None = None
    problem: ConfigError | None = None
    cutover: ReleaseCutover | None = None
    run: DesiredRun | None = None
    configs: Mapping[str, str] = field(default_factory=dict)

    @property
    def runner(self) -> TradingRunner:
        """The runner itself."""
        return self.observed.runner

    @property
    def status(self) -> TradingRunnerStatus:
        """Its status as it is persisted."""
        return self.observed.runner.status

    @property
    def pod(self) -> PodView | None:
        """Its pod."""
        return self.observed.pod

    @property
    def deleting(self) -> bool:
        """Whether the runner is being deleted."""
        return self.runner.metadata.deletion_timestamp is not None

    @property
    def drifted(self) -> bool:
        """Whether the spec asks for another release than the active one."""
        wanted, active = self.wanted, self.status.active_release
        return wanted is not None and active is not None and wanted.release.id != active.id

    @property
    def cutting_over(self) -> bool:
        """Whether a claimed cutover is in progress."""
        return self.cutover is not None and not final(self.cutover.status)

    @property
    def halted(self) -> bool:
        """Whether a cutover ended Halted and waits for a person."""
        return self.cutover is not None and current(self.cutover.status).kill_switch

    @property
    def own_pod(self) -> PodView | None:
        """Its pod, when it is of the desired release and isn't being deleted."""
        pod, run = self.pod, self.run
        if pod is None or run is None or pod.deleting or pod.release != run.release.id:
            return None
        return pod

    def child(self, api_version: str, kind: str, name: str) -> Manifest | None:
        """A live child."""
        return self.observed.children.get(
            Ref(api_version, kind, self.runner.metadata.namespace, name)
        )

    @property
    def stateful_set(self) -> Manifest | None:
        """The live StatefulSet."""
        return self.child("apps/v1", "StatefulSet", self.runner.metadata.name)

    @property
    def claim(self) -> Manifest | None:
        """The live claim of the order state."""
        return self.child("v1", "PersistentVolumeClaim", pvc_name(self.runner.metadata.name))

    def named(self, name: str) -> ReleaseCutover | None:
        """The cutover of that name, if it is the runner's."""
        return next((item for item in self.cutovers if item.metadata.name == name), None)

    @property
    def cutovers(self) -> tuple[ReleaseCutover, ...]:
        """The runner's cutovers, oldest first."""
        mine = (c for c in self.observed.cutovers if c.spec.runner == self.runner.metadata.name)
        return tuple(sorted(mine, key=lambda c: (c.metadata.creation_timestamp, c.metadata.name)))

    @property
    def stamp(self) -> str | None:
        """Name of the automatic cutover to the release of the spec."""
        return cutover_name(self.runner, self.wanted.release) if self.wanted else None

    def write(self, status: TradingRunnerStatus) -> WriteStatus | None:
        """The request that persists `status`; None when it is unchanged."""
        if status == self.status:
            return None
        meta = self.runner.metadata
        return WriteStatus(runner_ref(self.runner), meta.resource_version, status.wire())


def runner_ref(runner: TradingRunner) -> Ref:
    """Reference of a runner."""
    meta = runner.metadata
    return Ref(API_VERSION, TradingRunner.KIND, meta.namespace, meta.name)


def build_context(observed: RunnerObserved) -> RunnerContext:
    """The context of `observed`."""
    wanted, problem = None, None
    try:
        wanted = _wanted(observed.runner, observed.user_config)
    except ConfigError as error:
        problem = error
    view = orders_of(observed)
    used = view.status.active_release, view.run.release if view.run else None
    return replace(view, wanted=wanted, problem=problem, configs=_configs(observed, wanted, used))


def orders_of(observed: RunnerObserved) -> RunnerContext:
    """The context for orders to the pod, without anything that a release reports or consists of."""
    runner = observed.runner
    cutover = (
        RunnerContext(observed).named(runner.status.cutover) if runner.status.cutover else None
    )
    active = runner.status.active_release
    run = desired_run(runner, active, cutover) if active else None
    return RunnerContext(observed, cutover=cutover, run=run)


def _wanted(runner: TradingRunner, user_config: str | None) -> Rendered:
    spec = runner.spec
    rendered = render_release(runner, spec.release, user_config)
    guardrails, scrape = spec.cutover.template.guardrails, spec.monitoring.scrape_interval
    path = "spec.cutover.template.guardrails"
    require_heartbeat_interval(rendered, spec.release.config, guardrails, scrape, path)
    return rendered


def _configs(
    observed: RunnerObserved, wanted: Rendered | None, used: tuple[Release | None, ...]
) -> dict[str, str]:
    """Texts of the configurations in use. A text counts only when its hash is the right one."""
    known = {short_hash(text): text for text in _texts(observed, wanted)}
    needed = {release.config_hash for release in used if release}
    return {config_hash: known[config_hash] for config_hash in needed if config_hash in known}


def _texts(observed: RunnerObserved, wanted: Rendered | None) -> Iterator[str]:
    if wanted:
        yield wanted.text
    for ref, live in observed.children.items():
        if ref.kind == "StatefulSet":
            yield from copies(live).values()
        text = (live.get("data") or {}).get(CONFIG_FILE) if ref.kind == "ConfigMap" else None
        if isinstance(text, str):
            yield text
