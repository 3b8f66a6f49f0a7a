"""Every public CamelCase word that says why: of conditions, Events, rollbacks and ended cutovers.

A program that watches this API compares these words, so they live here alone, each with where it
appears and what it means; `docs/reference.md` is generated from them. Besides them a reason may be
the name of the phase that the object is in.
"""

from __future__ import annotations

from enum import StrEnum


class Word(StrEnum):
    """A word of the API. `where`: the conditions or fields it appears in; `about`: what it means,
    as a sentence."""

    where: str
    about: str

    def __new__(cls, value: str, where: str, about: str) -> Word:
        word = str.__new__(cls, value)
        word._value_, word.where, word.about = value, where, about
        return word


class ConditionType(Word):
    """Conditions."""

    READY = (
        "Ready",
        "both",
        "The runner trades the release that it should; the cutover succeeded.",
    )
    RECONCILING = (
        "Reconciling",
        "both",
        "Something is under way that ends by itself. Present only while True.",
    )
    STALLED = "Stalled", "both", "A person has to decide. Present only while True."
    TRADING_ENABLED = "TradingEnabled", "TradingRunner", "Orders may leave the runner."
    KILL_SWITCH = "KillSwitch", "TradingRunner", "The kill switch is engaged."
    RELEASE_DRIFT = (
        "ReleaseDrift",
        "TradingRunner",
        "The active release is not the one that the spec asks for.",
    )
    MONITORED = "Monitored", "TradingRunner", "Prometheus can find the runner."
    IMAGE_MOVED = (
        "ImageMoved",
        "TradingRunner",
        "The tag of the active release names another image than when the release became active."
        " Present only while True.",
    )
    BACKUPS_STORED = (
        "BackupsStored",
        "TradingRunner",
        "The object store holds every backup and incident report. Only with an object store.",
    )
    AUDIT_STORED = (
        "AuditStored",
        "TradingRunner",
        "The database takes the audit trail. Only with a database.",
    )
    EVENTS_PUBLISHED = (
        "EventsPublished",
        "TradingRunner",
        "The brokers take every event. Only with an event bus.",
    )
    AUDIT_FORWARDED = (
        "AuditForwarded",
        "TradingRunner",
        "The SIEM takes the audit trail. Only with a SIEM.",
    )
    DRILL_CURRENT = (
        "DrillCurrent",
        "TradingRunner",
        "The last kill-switch drill passed and is recent enough. Only where drills are scheduled.",
    )
    DRAINED = (
        "Drained",
        "ReleaseCutover",
        "Whether a release had cancelled its orders and drained before it was ended. Only where one"
        " hadn't.",
    )
    STATE_RESTORED = (
        "StateRestored",
        "ReleaseCutover",
        "The order state that the previous release is back on was restored by this rollback;"
        " Unknown where that release is too old to prove it.",
    )
    STREAMS_INTACT = (
        "StreamsIntact",
        "ReleaseCutover",
        "Event bus and database lost nothing that the baseline has. Only at the end, with an event"
        " bus or a database.",
    )


class RunnerReason(Word):
    """Reasons of a TradingRunner."""

    NOT_UNDERSTOOD = (
        "NotUnderstood",
        "Stalled",
        "The runner, or its claimed cutover, can't be parsed: a field has a value that this"
        " operator doesn't know. Orders to stop are delivered all the same.",
    )
    STATE_LOST = (
        "StateLost",
        "Stalled, Ready",
        "The volume of the order state is gone although the runner had started.",
    )
    CONFIG_LOST = (
        "ConfigLost",
        "Stalled, Ready",
        "The configuration of a release in use is gone and can't be rendered again.",
    )
    NAME_TAKEN = (
        "NameTaken",
        "Stalled, Ready",
        "An object of another owner has the name of one that the runner needs.",
    )
    RELEASE_REJECTED = (
        "ReleaseRejected",
        "Stalled, Ready, ReleaseDrift",
        "The spec asks for a release that was rolled back.",
    )
    CUTOVER_HALTED = (
        "CutoverHalted",
        "Stalled, Ready, ReleaseDrift",
        "The runner's cutover could neither finish nor be rolled back.",
    )
    KILL_SWITCH = "KillSwitch", "TradingEnabled", "The kill switch is engaged."
    ENGAGED = "Engaged", "KillSwitch", "The operator has asked the process to engage it."
    LATCHED = (
        "Latched",
        "KillSwitch",
        "The process has it engaged, on disk; only a named person resets it there.",
    )
    RELEASED = "Released", "KillSwitch", "It is not engaged."
    NOT_STARTED = "NotStarted", "ReleaseDrift", "No release has been active yet."
    AS_WANTED = "AsWanted", "ReleaseDrift", "The active release is the one of the spec."
    CUTOVER_PENDING = "CutoverPending", "ReleaseDrift", "A cutover is about to start."
    MANUAL = (
        "Manual",
        "ReleaseDrift",
        "spec.cutover.mode is Manual: a person has to create a ReleaseCutover.",
    )
    MOVED_BY_HAND = (
        "MovedByHand",
        "ReleaseDrift",
        "A cutover that a person created moved away from the release of the spec.",
    )
    CUTOVER_ENDED = (
        "CutoverEnded",
        "ReleaseDrift",
        "The automatic cutover to the release of the spec ended without getting there.",
    )
    SERVICE_MONITOR = "ServiceMonitor", "Monitored", "A ServiceMonitor makes Prometheus scrape it."
    SERVICE_MONITOR_MISSING = (
        "ServiceMonitorMissing",
        "Monitored",
        "The cluster has no kind ServiceMonitor.",
    )
    IMAGE_CHANGED = "ImageChanged", "ImageMoved", "The image has another digest than it had."
    STORED = "Stored", "BackupsStored, AuditStored", "Everything is stored."
    PUBLISHED = "Published", "EventsPublished", "The brokers take every event."
    FORWARDED = "Forwarded", "AuditForwarded", "The SIEM takes every record."
    BEHIND = (
        "Behind",
        "BackupsStored, AuditStored, EventsPublished, AuditForwarded",
        "The service lacks something; the message is the runner's own.",
    )
    STATUS_UNAVAILABLE = (
        "StatusUnavailable",
        "BackupsStored, AuditStored, EventsPublished, AuditForwarded",
        "The runner's status has not been read yet.",
    )
    DRILL_PASSED = "DrillPassed", "DrillCurrent, Events", "The last kill-switch drill passed."
    DRILL_FAILED = "DrillFailed", "DrillCurrent, Events", "The last kill-switch drill failed."
    DRILL_TOO_OLD = "DrillTooOld", "DrillCurrent", "No drill passed within killSwitchDrill.maxAge."
    NO_DRILL_YET = "NoDrillYet", "DrillCurrent", "No drill has come due yet."


class CutoverReason(Word):
    """Reasons of a ReleaseCutover."""

    RUNNER_GONE = "RunnerGone", "Failed, Halted", "The TradingRunner was deleted."
    RUNNER_DELETED = "RunnerDeleted", "Failed", "The TradingRunner is being deleted."
    SUSPENDED = "Suspended", "Failed", "The runner is suspended."
    NOTHING_TO_DO = "NothingToDo", "Failed", "The target is the active release already."
    ACTIVE_RELEASE_CHANGED = (
        "ActiveReleaseChanged",
        "Failed",
        "Another release has become active since the cutover was made.",
    )
    SUPERSEDED = (
        "Superseded",
        "Failed",
        "The spec asks for another release by now; only of an automatic cutover.",
    )
    CHECK_FAILED = (
        "CheckFailed",
        "Failed",
        "An item of the checklist failed in a way that can't come right by itself.",
    )
    ABORTED = "Aborted", "Failed, RollingBack", "A person set spec.abort."
    PAUSED = "Paused", "Reconciling", "The runner is suspended; the cutover goes on with it."
    WATCHING = "Watching", "Reconciling", "The guard watches and has found nothing wrong."
    NOT_UNDERSTOOD = (
        "NotUnderstood",
        "Reconciling",
        "The cutover's runner can't be parsed: nothing but an abort is decided.",
    )
    HALT_DEADLINE_PASSED = (
        "HaltDeadlinePassed",
        "Drained",
        "haltDeadline passed before the release had drained; it was ended by SIGTERM.",
    )
    BACKUP_FAILED = (
        "BackupFailed",
        "RollingBack",
        "The order state could not be backed up before the switch.",
    )
    CRASHED = "Crashed", "RollingBack", "The new release crashed while it started."
    NOT_READY = "NotReady", "RollingBack", "The new release was not ready within switchDeadline."
    IMAGE_CHANGED = (
        "ImageChanged",
        "RollingBack, Halted",
        "The node runs another digest of the image than the one that was checked or backed up.",
    )
    INCONCLUSIVE = (
        "Inconclusive",
        "RollingBack",
        "The guard had no evidence for switchDeadline, and onInconclusive is Rollback.",
    )
    UNKNOWN = "Unknown", "RollingBack", "The status records a rollback without its reason."
    FROZEN = "Frozen", "Halted", "The state is kept as it is, as rollback.state Freeze asks."
    PROVEN = "Proven", "StateRestored", "The restore named this rollback's own nonce."
    UNPROVEN = (
        "Unproven",
        "StateRestored",
        "The previous release doesn't know of nonces: a mark that the new release left may"
        " have been taken for a restore.",
    )
    NOT_RESTORED = (
        "NotRestored",
        "Halted",
        "The previous release started on another state than the one that was backed up.",
    )
    NOT_VERIFIED = (
        "NotVerified",
        "Halted",
        "The rollback was not verified within rollback.deadline.",
    )
    COMPARED = "Compared", "StreamsIntact", "Nothing that the baseline has is missing."
    STREAMS_DIFFER = (
        "StreamsDiffer",
        "StreamsIntact",
        "Something that the baseline has is missing; status.streams lists it.",
    )
    NOT_COMPARED = "NotCompared", "StreamsIntact", "They could not be compared."


class GuardReason(Word):
    """Reasons of the guard's verdicts."""

    ERROR_RATE_ABOVE_LIMIT = (
        "ErrorRateAboveLimit",
        "breach",
        "More order requests fail than errorRate, or the baseline, allows.",
    )
    LATENCY_ABOVE_LIMIT = (
        "LatencyAboveLimit",
        "breach",
        "The order latency is above p95Latency, or above what the baseline allows.",
    )
    ABOVE_MAX = "AboveMax", "breach", "The value of a custom guardrail is above its max."
    BELOW_MIN = "BelowMin", "breach", "The value of a custom guardrail is below its min."
    RUNNER_SILENT = (
        "RunnerSilent",
        "gap",
        "Prometheus scrapes, and the runner has shown no heartbeat for metricGap.",
    )
    LOOP_FROZEN = (
        "LoopFrozen",
        "gap",
        "The runner is scraped, and its heartbeat has stood still for metricGap.",
    )
    PROMETHEUS_DOWN = (
        "PrometheusDown",
        "unknown",
        "Prometheus gives no answer, or has scraped nothing lately.",
    )
    AWAITING_FIRST_SAMPLE = (
        "AwaitingFirstSample",
        "unknown",
        "The release has not been scraped yet.",
    )
    MISSING_SERIES = "MissingSeries", "unknown", "A metric that is judged has no series."
    STALE_SERIES = "StaleSeries", "unknown", "A metric that is judged has no fresh sample."
    NO_DATA = "NoData", "unknown", "The query of a custom guardrail yields nothing fresh."
    TWO_SERIES = "TwoSeries", "unknown", "Two series report one quantity at the same time."
    NOT_A_NUMBER = "NotANumber", "unknown", "A sample is NaN."
    INFINITE = "Infinite", "unknown", "A sample is infinite."
    NEGATIVE_COUNTER = "NegativeCounter", "unknown", "A counter is below 0."
    MALFORMED_BUCKETS = (
        "MalformedBuckets",
        "unknown",
        "The buckets of the latency histogram don't agree with each other.",
    )
    BUCKETS_TOO_COARSE = (
        "BucketsTooCoarse",
        "unknown",
        "The latency histogram has no bucket as large as the limit.",
    )
    INSUFFICIENT_REQUESTS = (
        "InsufficientRequests",
        "unknown",
        "The window holds fewer order requests than minRequests.",
    )
    QUIET = (
        "Quiet",
        "ok",
        "Too few order requests to judge, which a release that was good before is allowed.",
    )
    WITHIN_LIMITS = "WithinLimits", "ok", "The guardrail is kept."


class ConfigReason(Word):
    """Reasons of a configuration that can't be used."""

    INVALID_NAME = (
        "InvalidName",
        "Stalled, Ready, ReleaseDrift; Failed",
        "metadata.name can't name a Service.",
    )
    INVALID_CONFIG = (
        "InvalidConfig",
        "Stalled, Ready, ReleaseDrift; Failed",
        "A setting is not valid, in the spec or in the ConfigMap of spec.release.config.",
    )
    CONFIG_MAP_MISSING = (
        "ConfigMapMissing",
        "Stalled, Ready, ReleaseDrift; Failed",
        "The ConfigMap of spec.release.config doesn't exist or lacks its key.",
    )
    CONFIG_CLASH = (
        "ConfigClash",
        "Stalled, Ready, ReleaseDrift; Failed",
        "The ConfigMap of spec.release.config sets what the TradingRunner sets.",
    )
    INVALID_POLICY = (
        "InvalidPolicy",
        "Failed",
        "The cutover's baseline asks for a service that the runner doesn't have.",
    )


class PodReason(Word):
    """Reasons of the kubelet for a container that can't start, passed on as they are."""

    CRASH_LOOP_BACK_OFF = (
        "CrashLoopBackOff",
        "Ready, RollingBack",
        "The container ends again and again; the kubelet waits before the next start.",
    )
    CREATE_CONTAINER_CONFIG_ERROR = (
        "CreateContainerConfigError",
        "Ready, RollingBack",
        "A Secret or ConfigMap that the container needs can't be used.",
    )
    CREATE_CONTAINER_ERROR = (
        "CreateContainerError",
        "Ready, RollingBack",
        "The container runtime could not create the container.",
    )
    ERR_IMAGE_NEVER_PULL = (
        "ErrImageNeverPull",
        "Ready, RollingBack",
        "The image is not on the node and may not be pulled.",
    )
    ERR_IMAGE_PULL = "ErrImagePull", "Ready, RollingBack", "The image could not be pulled."
    IMAGE_INSPECT_ERROR = (
        "ImageInspectError",
        "Ready, RollingBack",
        "The image on the node could not be inspected.",
    )
    IMAGE_PULL_BACK_OFF = (
        "ImagePullBackOff",
        "Ready, RollingBack",
        "The image could not be pulled; the kubelet waits before the next try.",
    )
    INVALID_IMAGE_NAME = (
        "InvalidImageName",
        "Ready, RollingBack",
        "The name of the image can't be parsed.",
    )
    RUN_CONTAINER_ERROR = (
        "RunContainerError",
        "Ready, RollingBack",
        "The container runtime could not start the container.",
    )


#: All of them, in the order of the reference.
REASONS: tuple[type[Word], ...] = (
    RunnerReason,
    CutoverReason,
    GuardReason,
    ConfigReason,
    PodReason,
)
