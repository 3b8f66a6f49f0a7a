"""The event bus: publishes ticks, bars, signals, orders and fills to Kafka.

No order, halt or kill switch waits for it. Events are appended to an outbox on the state volume
(``outbox``) and published to the brokers from there (``publisher``).
"""
