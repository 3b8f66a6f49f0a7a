"""What a runner's process tells of its event bus and its database, for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.operator.cutovers import NOW, TRADING
from tradepulse_operator.controllers.observed.data_services import (
    BusView,
    DatabaseView,
    PartitionView,
    ReplicaView,
)
from tradepulse_operator.controllers.observed.views import ProcessView

ORDERS, FILLS = "tradepulse.execution.orders", "tradepulse.execution.fills"
BUS_SPEC = {
    "bootstrapServers": ["kafka:9093"],
    "securityProtocol": "SSL",
    "tlsSecret": "bus",
    "readers": ["recorder", "settlement"],
}
DATABASE_SPEC = {"hosts": ["db-a:5432", "db-b:5432"], "user": "runner", "tlsSecret": "db"}
BUS = BusView(
    at=NOW - 5,
    partitions=(
        PartitionView(FILLS, 0, 40, {"settlement": 38}),
        PartitionView(ORDERS, 0, 120, {"recorder": 120, "settlement": 118}),
        PartitionView(ORDERS, 1, 7),
    ),
)
DATABASE = DatabaseView(
    at=NOW - 5,
    primary="db-a:5432",
    system="7412",
    timeline=2,
    lsn="0/16B3748",
    audit_rows=500,
    replicas=(ReplicaView("db-b:5432", 0, 0.5),),
)


def bus(*partitions: PartitionView, **changes: Any) -> BusView:
    """`BUS` with these partitions instead of its own of the same name; without those that have
    no end (-1)."""
    new = {(one.topic, one.partition): one for one in partitions}
    all_of_them = {(one.topic, one.partition): one for one in BUS.partitions} | new
    kept = tuple(one for _, one in sorted(all_of_them.items()) if one.end >= 0)
    return replace(BUS, **{"partitions": kept, **changes})


def telling(bus: BusView | None = BUS, database: DatabaseView | None = DATABASE) -> ProcessView:
    """A process that trades and tells this."""
    return replace(TRADING, bus=bus, database=database)
