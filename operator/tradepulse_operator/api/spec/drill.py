"""Drills of the kill switch: when they are due, and what the last one found."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from tradepulse_operator.api.base import Model, Rule, matches, required, rule
from tradepulse_operator.api.units import Duration, Instant, Message, ObjectName, Text, seconds

_NUMBERS = (
    "[0-5]?[0-9]",
    "([01]?[0-9]|2[0-3])",
    # Up to 28: every month has those, so no drill is left out for want of a 31st.
    "(0?[1-9]|1[0-9]|2[0-8])",
    "(0?[1-9]|1[0-2])",
    "[0-7]",
)


def _field(number: str) -> str:
    term = rf"(\*|{number}(-{number})?)(/[1-9][0-9]?)?"
    return f"{term}(,{term})*"


SCHEDULE_PATTERN = f"^{' '.join(map(_field, _NUMBERS))}$"
_RANGE = "[0-9]{1,2}-[0-9]{1,2}"


def _ranges_rise(schedule: str) -> bool:
    ranges = [span.split("-") for span in re.findall(_RANGE, schedule)]
    return all(int(first) <= int(last) for first, last in ranges)


#: A cron expression that comes due again and again, whatever it says.
Schedule = Annotated[
    str,
    Field(max_length=64),
    matches(
        SCHEDULE_PATTERN,
        "not a schedule: write minute, hour, day of month (1 to 28), month and day of week in"
        " numbers, e.g. '0 6 * * 1' for Mondays at 06:00 UTC",
    ),
    Rule(
        f"self.findAll('{_RANGE}').all(r, int(r.split('-')[0]) <= int(r.split('-')[1]))",
        "a range of the schedule must rise: write the smaller number first, e.g. 1-5",
        holds=_ranges_rise,
    ),
]

_ONCE_A_DAY = "^[0-9]+ [0-9]+ "


class DrillTarget(StrEnum):
    """What a drill engages the kill switch of."""

    REHEARSAL = "Rehearsal"
    LIVE = "Live"


AlertmanagerUrl = Annotated[
    str,
    Field(max_length=512),
    matches(
        # Without an @: what stands before one is a password.
        r"^https?://[!-?A-~]+$",
        "not a URL without a user: write e.g. http://alertmanager-operated.monitoring:9093",
    ),
]
#: Seconds that a page may be given to arrive.
_SOONEST, _LATEST = 5, 600


class DrillAlert(Model):
    """Where the alert of a live drill has to arrive."""

    cel = (
        rule(
            f"duration(self.within) >= duration('{_SOONEST}s')"
            f" && duration(self.within) <= duration('{_LATEST}s')",
            "within must be 5s to 10m: trading stands still for as long as the page is awaited",
            ".within",
            holds=lambda it: _SOONEST <= seconds(it.within) <= _LATEST,
        ),
    )

    alertmanager: AlertmanagerUrl = Field(
        description="URL of the Alertmanager that the Prometheus of the runner alerts.",
        json_schema_extra=required("write e.g. http://alertmanager-operated.monitoring:9093"),
    )
    receiver: Annotated[
        str,
        Field(max_length=128),
        matches(r"^[!-~]+$", "not the name of a receiver: write it as in Alertmanager's routes"),
    ] = Field(
        description="Name of the receiver that the alert must be routed to.",
        json_schema_extra=required("name the receiver of Alertmanager that pages people"),
    )
    integration: Annotated[
        str,
        Field(max_length=32),
        matches(r"^[a-z][a-z0-9]*$", "not an integration: write e.g. pagerduty, opsgenie, webhook"),
    ] = Field(
        default="pagerduty",
        description="Integration of that receiver whose notifications Alertmanager counts.",
    )
    within: Duration = Field(
        default="2m", description="Seconds from the order to the delivered page, 5s to 10m."
    )


class KillSwitchDrill(Model):
    """When the kill switch is drilled. A drill that was missed is made up for, once."""

    cel = (
        rule(
            f"self.target == 'Rehearsal' || self.schedule.matches('{_ONCE_A_DAY}')",
            "schedule must name one minute and one hour with target Live, which stops trading until"
            " a person resets the kill switch: write e.g. '0 6 * * 1'",
            ".schedule",
            holds=lambda it: (
                it.target is DrillTarget.REHEARSAL or bool(re.match(_ONCE_A_DAY, it.schedule))
            ),
            needs=["schedule"],
        ),
        rule(
            "self.target == 'Live' || !has(self.alert)",
            "alert belongs to target Live, as a rehearsal has no network and fires no alert: set"
            " target to Live or remove alert",
            ".alert",
            holds=lambda it: it.target is DrillTarget.LIVE or it.alert is None,
        ),
    )

    schedule: Schedule = Field(
        description="When, as a cron expression in UTC, e.g. '0 6 * * 1' for Mondays at 06:00.",
        json_schema_extra=required("say when, e.g. '0 6 * * 1' for Mondays at 06:00 UTC"),
    )
    target: DrillTarget = Field(
        default=DrillTarget.REHEARSAL,
        description="Rehearsal drills the active release on paper, in a pod of its own. Live"
        " engages the kill switch of the running process, which a person has to reset.",
    )
    suspend: bool = Field(
        default=False,
        description="Start no drill; those that come due meanwhile are not made up for.",
    )
    max_age: Duration | None = Field(
        default=None,
        description="How old the last drill that passed may become before DrillCurrent is False;"
        " when left out, only its result counts.",
    )
    alert: DrillAlert | None = Field(
        default=None,
        description="Verify that the alert of a live drill is delivered; not checked when left out,"
        " which the report says.",
    )


class DrillResult(StrEnum):
    """How a drill ended."""

    PASSED = "Passed"
    FAILED = "Failed"


class LastDrill(Model):
    """The drill that ended last."""

    at: Instant = Field(description="When it ended, RFC 3339.")
    scheduled_for: Instant = Field(description="When it came due, RFC 3339.")
    target: DrillTarget = Field(description="What it engaged the kill switch of.")
    result: DrillResult = Field(description="How it ended.")
    release: Text = Field(description="Id of the release that was drilled.")
    report: ObjectName | None = Field(
        default=None, description="ConfigMap with its report; none when it couldn't be filed."
    )
    message: Message = Field(default="", description="What was found, for a person.")
    passed_at: Instant | None = Field(
        default=None, description="When the last drill that passed ended, RFC 3339."
    )


class RunningDrill(Model):
    """A drill that is under way."""

    scheduled_for: Instant = Field(description="When it came due, RFC 3339.")
    started_at: Instant = Field(description="When it was started, RFC 3339.")
    target: DrillTarget = Field(description="What it engages the kill switch of.")
    release: Text = Field(description="Id of the release that is drilled.")
    engaged_at: Instant | None = Field(
        default=None, description="When the process said that its kill switch is engaged, RFC 3339."
    )
    cancelled_at: Instant | None = Field(
        default=None, description="When nothing was left at the venues, RFC 3339."
    )
    closed_at: Instant | None = Field(
        default=None, description="When every connector was closed to new orders, RFC 3339."
    )
    shown_at: Instant | None = Field(
        default=None, description="When Prometheus had the metric of it, RFC 3339."
    )
    alerted_at: Instant | None = Field(
        default=None, description="When Alertmanager had routed the alert, RFC 3339."
    )
    delivered_at: Instant | None = Field(
        default=None, description="When the receiver had taken a notification, RFC 3339."
    )
    taken_before: int | None = Field(
        default=None,
        ge=0,
        description="Notifications that the receiver had taken before the order; none when"
        " Alertmanager did not tell.",
    )


class DrillStatus(Model):
    """Where the schedule stands."""

    schedule: Text = Field(description="The schedule that this speaks of.")
    since: Instant = Field(description="Since when it counts, RFC 3339.")
    next: Instant = Field(description="When the next drill is due, RFC 3339.")
    running: RunningDrill | None = Field(default=None, description="The drill under way.")
