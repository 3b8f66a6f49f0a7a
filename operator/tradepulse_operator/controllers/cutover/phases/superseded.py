"""Whether the spec asks for another release by now than the one that a cutover was created for.

Only of a cutover that the operator created, and only while nothing was touched: the spec that it
came from has changed. A manual one stands for what its author asked for.
"""

from __future__ import annotations

from tradepulse_operator.api.reasons import CutoverReason
from tradepulse_operator.api.spec.cutover import CutoverMode
from tradepulse_operator.controllers.checklist.preconditions import Refusal
from tradepulse_operator.controllers.observed.views import CutoverObserved
from tradepulse_operator.resources.config.release import render_release
from tradepulse_operator.resources.config.render import ConfigError
from tradepulse_operator.resources.cutover import is_automatic


def superseded(observed: CutoverObserved) -> Refusal | None:
    """Why it has become pointless; None while it hasn't."""
    runner, target = observed.runner, observed.cutover.status.target
    if runner is None or target is None or not is_automatic(observed.cutover, runner):
        return None
    if runner.spec.cutover.mode is not CutoverMode.AUTOMATIC:
        return None
    wanted = runner.spec.release
    if wanted == observed.cutover.spec.release:
        try:
            release = render_release(runner, wanted, observed.user_config).release
        except ConfigError:
            return None  # The spec can't be rendered at present, so it asks for no other release.
        if release.id == target.id:
            return None
    return Refusal(
        CutoverReason.SUPERSEDED,
        f"spec.release or the configuration changed before release {target.id} was started:"
        " nothing was touched",
    )
