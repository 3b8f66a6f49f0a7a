"""The outcome of one reconciliation: one request to the API server, or a wait.

A reconciler returns exactly one step. The manager carries it out, then observes and decides anew,
so the process may die before or after any step and the next decision is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from tradepulse_operator.common.objects import Manifest, Ref


@dataclass(frozen=True)
class Apply:
    """Server-side apply of a child."""

    manifest: Manifest


@dataclass(frozen=True)
class Replace:
    """Replace a live child as a whole; the manifest's own resourceVersion guards it.

    For what an apply can't do: it keeps list elements that another field manager added.
    """

    manifest: Manifest


@dataclass(frozen=True)
class Delete:
    """Delete this very object (`uid` is a precondition), gracefully."""

    ref: Ref
    uid: str


@dataclass(frozen=True)
class Annotate:
    """Set annotations of an object that someone else made; None removes one. `uid` guards it."""

    ref: Ref
    uid: str
    annotations: dict[str, str | None]


@dataclass(frozen=True)
class SetFinalizers:
    """Replace the finalizers of a custom resource; `resource_version` guards it."""

    ref: Ref
    resource_version: str
    finalizers: tuple[str, ...]


@dataclass(frozen=True)
class WriteStatus:
    """Replace the status of a custom resource; `resource_version` guards it."""

    ref: Ref
    resource_version: str
    status: Manifest


@dataclass(frozen=True)
class FileReport:
    """Collect the evidence of a cutover and apply its report. `final`: with the outcome."""

    ref: Ref
    final: bool


@dataclass(frozen=True)
class Wait:
    """Nothing to do now. Reconcile again after `seconds`, or on the next event when it is None."""

    reason: str
    seconds: float | None = None


Step = Apply | Replace | Delete | Annotate | SetFinalizers | WriteStatus | FileReport | Wait


@dataclass(frozen=True)
class Event:
    """A Kubernetes Event about a custom resource.

    `key` names the transition: the same transition always yields the same key, so that an event
    is created once however often it is asked for.
    """

    key: str
    type: str
    reason: str
    message: str
    at: str
