"""PostgreSQL: a primary and a streaming replica, client certificates only, WAL archived."""
