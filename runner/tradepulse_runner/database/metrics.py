"""Metrics of the database, registered only where one is configured."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class DatabaseMetrics:
    """Created at 0, so that a scrape before the first event can be told from a gap."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge(
            "tradepulse_database_up",
            "1 while connected to a database that accepts audit records.",
            registry=registry,
        )
        self.rows = Counter(
            "tradepulse_database_rows_written",
            "Rows committed to a table.",
            ["table"],
            registry=registry,
        )
        self.failures = Counter(
            "tradepulse_database_failures",
            "Database connections that failed or were lost.",
            registry=registry,
        )
        self.depth = Gauge(
            "tradepulse_database_spool_records",
            "Audit records in the spool that are not in the database yet.",
            registry=registry,
        )
        self.bytes = Gauge(
            "tradepulse_database_spool_bytes",
            "Size of the spool on the state volume, with the records kept for a failover.",
            registry=registry,
        )
        self.lag = Gauge(
            "tradepulse_database_lag_seconds",
            "Age of the oldest audit record that is not in the database; 0: it has all.",
            registry=registry,
        )
        self.behind = Gauge(
            "tradepulse_database_spool_behind",
            "1 while the spool accepts no records (full, or its disk fails); the"
            " journals are ahead of it.",
            registry=registry,
        )
        self.missed = Gauge(
            "tradepulse_database_records_missed",
            "Audit records lost to the database: in neither journals nor spool; the"
            " trail names the gaps.",
            registry=registry,
        )
        self.replica_lag = Gauge(
            "tradepulse_database_replica_lag_bytes",
            "WAL that a replica has not replayed; no series while that is unknown.",
            ["host"],
            registry=registry,
        )
        for table in ("audit_records", "snapshots"):
            self.rows.labels(table)
