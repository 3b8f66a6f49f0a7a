"""The named moments at which a runner is killed: what it announces to ``step``.

A name says what is about to happen. ``<status>.append`` and ``<kind>.append`` are records about
to be handed to the journal.
"""

from __future__ import annotations

#: An order leaves and is answered; it is cancelled; it fills.
ORDERS = (
    "queued.append",
    "submit.queued",
    "intent.append",
    "intent.fsync",
    "intent.durable",
    "gate.again",
    "request.send",
    "request.answered",
    "open.append",
    "rejected.append",
    "closing.append",
    "fill.append",
    "cursor.append",
    "cancel.send",
    "cancel.answered",
)
#: The book is written to disk and its journal begun anew.
FILES = (
    "snapshot.open",
    "snapshot.write",
    "snapshot.fsync",
    "snapshot.rotate",
    "snapshot.rename",
    "snapshot.fsync-dir",
    "journal.create",
    "journal.magic",
    "journal.drop",
)
#: A runner starts on what another one left. Killed there, after one that was killed before.
STARTS = (
    "epoch.open",
    "epoch.write",
    "epoch.fsync",
    "epoch.rotate",
    "epoch.rename",
    "epoch.fsync-dir",
    "unknown.append",
    "expired.append",
    "reconcile.open_orders",
    "reconcile.fetch",
    "reconcile.trades",
    "reconcile.positions",
)
#: The kill switch is engaged.
LATCH = ("latch.open", "latch.write", "latch.fsync", "latch.rename", "latch.fsync-dir")

POINTS = ORDERS + FILES + STARTS + LATCH
#: The dozen that a long campaign is about: one of each kind.
CORE = (
    "intent.append",
    "intent.durable",
    "request.send",
    "request.answered",
    "open.append",
    "closing.append",
    "fill.append",
    "cancel.send",
    "cancel.answered",
    "snapshot.rename",
    "epoch.rename",
    "reconcile.fetch",
)

#: Not moments but other harm, done while no runner lives or to the machine under it.
DAMAGE = (
    "journal torn",
    "journal zeroed",
    "snapshot torn",
    "snapshot zeroed",
    "snapshot emptied",
    "epoch torn",
    "disk full",
    "fsync fails",
    "clock ahead",
    "clock back",
)
