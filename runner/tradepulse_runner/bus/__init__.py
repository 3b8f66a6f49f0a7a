"""The event bus: what happens here, told to others over Kafka, beside the trading.

Nothing of it is waited for by an order, by a halt or by the kill switch. Events go into an outbox
on the state volume first (``outbox``), from there to the brokers (``publisher``).
"""
