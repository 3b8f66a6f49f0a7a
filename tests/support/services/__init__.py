"""Real servers that a runner in production form speaks to: Kafka, PostgreSQL, S3, Alertmanager."""
