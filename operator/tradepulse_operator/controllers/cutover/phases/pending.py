"""Wait to be claimed by the runner; then record the source and the target."""

from __future__ import annotations

from tradepulse_operator.api.cutover_status import CutoverPhase
from tradepulse_operator.api.release import Release
from tradepulse_operator.controllers.checklist.data_services import require_served
from tradepulse_operator.controllers.cutover.phases.ends import aborted_before_switch, end_failed
from tradepulse_operator.controllers.cutover.status import POLL, enter_phase, wait_with_message
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.controllers.step import Apply, Step
from tradepulse_operator.resources.config.heartbeat import require_heartbeat_interval
from tradepulse_operator.resources.config.release import Rendered, render_release
from tradepulse_operator.resources.config.render import ConfigError
from tradepulse_operator.resources.runner.config_map import config_map


def pending(observed: CutoverObserved) -> Step:
    """Wait to be claimed by the runner; then record the source and the target."""
    name, runner = observed.cutover.spec.runner, observed.runner
    if observed.cutover.spec.abort:
        return aborted_before_switch(observed)
    if runner is None:
        return wait_with_message(
            observed, f"waits for TradingRunner {name}, which doesn't exist", 10 * POLL
        )
    if runner.status.cutover != observed.cutover.metadata.name:
        return wait_with_message(
            observed, f"waits until TradingRunner {name} is free for it", 10 * POLL
        )
    source = runner.status.active_release
    if source is None:
        return wait_with_message(
            observed, f"waits for the first release of TradingRunner {name}", 10 * POLL
        )
    try:
        spec = observed.cutover.spec.release or runner.spec.release
        rendered = render_release(runner, spec, observed.user_config)
        guardrails, scrape = (
            observed.cutover.spec.guardrails,
            runner.spec.monitoring.scrape_interval,
        )
        require_heartbeat_interval(rendered, spec.config, guardrails, scrape, "spec.guardrails")
        require_served(observed.cutover.spec.baseline, runner.spec)
    except ConfigError as error:
        return end_failed(observed, error.reason, str(error))
    return _prepared(observed, source, rendered)


def _prepared(observed: CutoverObserved, source: Release, rendered: Rendered) -> Step:
    status = observed.cutover.status
    if (status.source, status.target) != (source, rendered.release):
        message = f"stores the configuration of release {rendered.release.id}"
        return wait_with_message(observed, message, source=source, target=rendered.release)
    if observed.target_config is None and observed.runner is not None:
        return Apply(config_map(observed.runner, rendered.text))
    message = f"checks whether release {rendered.release.id} can replace {source.id}"
    return enter_phase(observed, CutoverPhase.PREFLIGHT, message)
