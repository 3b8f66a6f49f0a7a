"""The observed state of the cluster, read live before every decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tradepulse_operator.api.cutover import ReleaseCutover
from tradepulse_operator.api.runner import TradingRunner
from tradepulse_operator.common.objects import Manifest, Ref
from tradepulse_operator.guard.samples import Recording

from .data_services import BusView, DatabaseView


@dataclass(frozen=True)
class PodView:
    """The runner's pod, as far as decisions need it."""

    uid: str
    release: str
    annotations: Mapping[str, str]
    phase: str
    ready: bool
    deleting: bool
    image_id: str | None = None
    #: Exit code and termination message of the state container, once it ended.
    init_exit: int | None = None
    init_message: str = ""
    restarts: int = 0
    #: Why the pod can't proceed, e.g. ImagePullBackOff; empty when it can.
    waiting: str = ""


@dataclass(frozen=True)
class DrillPodView:
    """The pod of a kill-switch drill. `exit_code`: None until its process ended."""

    name: str
    uid: str
    phase: str
    deleting: bool = False
    exit_code: int | None = None
    message: str = ""
    waiting: str = ""


@dataclass(frozen=True)
class MetricView:
    """What Prometheus has of the kill switch's metric. `engaged_at`: unix seconds of the newest
    sample that says engaged; None while none does. `problem`: why Prometheus has no answer."""

    engaged_at: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class AlertView:
    """What Alertmanager has of the kill switch's alert, and what its receiver took.

    `receivers`: where the active alert is routed; empty while there is none. `taken`, `refused`:
    notifications since Alertmanager started. `problem`: why Alertmanager has no answer.
    """

    receivers: tuple[str, ...] = ()
    silenced: bool = False
    taken: int = 0
    refused: int = 0
    problem: str = ""


@dataclass(frozen=True)
class ProcessView:
    """The state that the runner's process reports at its status endpoint."""

    state: str
    halt_token: str = ""
    halt_complete: bool = False
    kill_switch: bool = False
    kill_switch_reason: str = ""
    open_orders: int = 0
    unknown_orders: int = 0
    #: Venues that take new orders; None when that release doesn't report them.
    open_venues: tuple[str, ...] | None = None
    writer_epoch: int | None = None
    #: Why its backups aren't all in the object store; "" when they are, None when it has none.
    store_problem: str | None = None
    #: Why the database lacks records; "": it takes them, None: not reported, or there is none.
    database_problem: str | None = None
    #: Why the brokers lack events; "": they take them, None: not reported, or there is no bus.
    bus_problem: str | None = None
    #: Why the audit trail isn't forwarded; "" when it is, None when it has no SIEM.
    siem_problem: str | None = None
    #: What it sees of its event bus and its database; None where it reports nothing of them.
    bus: BusView | None = None
    database: DatabaseView | None = None
    #: Free space on its state volume, and size of a backup, bytes; None when not reported.
    free_bytes: int | None = None
    backup_bytes: int | None = None
    #: Orders that were answered or given up since it started, and those of them that failed.
    orders: int = 0
    failed_orders: int = 0
    #: 95th percentile of their latency in its own guard's window; None while it isn't known.
    p95_milliseconds: float | None = None
    #: (venue, symbol, quantity) of each position other than zero, sorted.
    positions: tuple[tuple[str, str, str], ...] = ()
    #: Of its newest snapshot of the order book.
    snapshot_generation: int = 0
    snapshot_sha256: str = ""


@dataclass(frozen=True)
class AuxiliaryPodView:
    """A pod, not the runner's own, that checks or rehearses a release. Times: unix seconds."""

    uid: str
    ready: bool = False
    deleting: bool = False
    image_id: str | None = None
    #: Why it can't proceed, in words; empty when it can.
    waiting: str = ""
    created_at: float = 0.0
    #: Whether it won't run again; the exit code is None where something else than the process's
    #: own end was the reason, which `message` then names.
    ended: bool = False
    exit_code: int | None = None
    message: str = ""
    ended_at: float | None = None


@dataclass(frozen=True)
class RunnerObserved:
    """A TradingRunner and everything that its reconciliation depends on. `now`: unix seconds."""

    runner: TradingRunner
    now: float
    cutovers: tuple[ReleaseCutover, ...] = ()
    #: Names of others that this operator can't parse; the claimed one never is among them.
    unread_cutovers: frozenset[str] = frozenset()
    #: Live children by reference; a child that doesn't exist is absent.
    children: Mapping[Ref, Manifest] = field(default_factory=dict)
    pod: PodView | None = None
    #: IP at which its process can be queried; "" while it doesn't run.
    address: str = ""
    process: ProcessView | None = None
    #: `runner.yaml` of the ConfigMap that spec.release.config names; None when it doesn't exist.
    user_config: str | None = None
    #: Pods of drills; listed only where drills are scheduled, or one is under way.
    drills: tuple[DrillPodView, ...] = ()
    #: Of a live drill: the metric, None where no Prometheus is known; the alert, None when it isn't
    #: required.
    metric: MetricView | None = None
    alert: AlertView | None = None
    #: Kinds that this API server has no definition of, e.g. ServiceMonitor: such children are
    #: skipped, as applying one would fail for ever.
    unserved: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CutoverObserved:
    """A ReleaseCutover and everything that its reconciliation depends on. `now`: unix seconds."""

    cutover: ReleaseCutover
    now: float
    runner: TradingRunner | None = None
    #: Why the runner, which exists, can't be parsed; "" when it can.
    runner_problem: str = ""
    pod: PodView | None = None
    process: ProcessView | None = None
    #: Live state claim, StatefulSet and target configuration, where they exist.
    pvc: Manifest | None = None
    stateful_set: Manifest | None = None
    target_config: Manifest | None = None
    user_config: str | None = None
    #: Samples of the release that is judged; None in phases that judge nothing.
    recording: Recording | None = None
    #: Pods that check and rehearse the target, where they exist, and what the rehearsal reports.
    check: AuxiliaryPodView | None = None
    rehearsal: AuxiliaryPodView | None = None
    rehearsal_process: ProcessView | None = None
    #: Stage of the filed report: "", "evidence" or "final"; and its newest hash.
    report: str = ""
    report_head: str = ""
    #: Random text, new in each reconciliation and unknown to anyone before it.
    nonce: str = ""
