"""Forwards the audit trail to a SIEM.

``audit.jsonl`` itself is the spool: the last acknowledged position is saved durably, the rest is
sent in order until it is acknowledged. Nothing waits for it, least of all the kill switch.
"""
