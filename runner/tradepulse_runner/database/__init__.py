"""PostgreSQL: the audit trail, OMS snapshots and the strategy's state, beside the trading.

Nothing of it is waited for by an order, by a halt or by the kill switch. What happens is put into a
spool on the state volume (``recorder``) and brought to the database from there (``writer``).
"""
