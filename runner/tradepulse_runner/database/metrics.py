"""Series of the database; there only where one is configured."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class DatabaseMetrics:
    """Created at 0, so that a scrape before the first event can be told from a gap."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge(
            "tradepulse_database_up",
            "1 while there is a connection to a database that takes our records.",
            registry=registry,
        )
        self.rows = Counter(
            "tradepulse_database_rows_written",
            "Rows committed.",
            ["table"],
            registry=registry,
        )
        self.failures = Counter(
            "tradepulse_database_failures", "Connections that failed or ended.", registry=registry
        )
        self.depth = Gauge(
            "tradepulse_database_spool_records",
            "Audit records that the database doesn't have yet.",
            registry=registry,
        )
        self.bytes = Gauge(
            "tradepulse_database_spool_bytes",
            "What the spool takes on the state volume, with what is kept for a failover.",
            registry=registry,
        )
        self.lag = Gauge(
            "tradepulse_database_lag_seconds",
            "How long the database has lacked an audit record; 0 when it lacks none.",
            registry=registry,
        )
        self.behind = Gauge(
            "tradepulse_database_spool_behind",
            "1 while the spool takes nothing (full, or its disk fails) and the journals are ahead.",
            registry=registry,
        )
        self.missed = Gauge(
            "tradepulse_database_records_missed",
            "Audit records that neither journals nor spool hold any more; gaps are in the trail.",
            registry=registry,
        )
        self.replica_lag = Gauge(
            "tradepulse_database_replica_lag_bytes",
            "WAL that a replica hasn't replayed, by host; none while it can't be told.",
            ["host"],
            registry=registry,
        )
        for table in ("audit_records", "snapshots"):
            self.rows.labels(table)
