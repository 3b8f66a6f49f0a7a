"""PostgreSQL: the audit trail, OMS snapshots and the strategy's state.

No order, halt or kill switch waits for it. Records are appended to a spool on the state volume
(``recorder``) and inserted into the database from there (``writer``).
"""
