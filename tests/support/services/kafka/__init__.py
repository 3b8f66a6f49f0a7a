"""Kafka: three real brokers in KRaft mode, with TLS, SCRAM and ACLs."""
