"""Forwards the audit trail to a SIEM, beside everything else.

``audit.jsonl`` itself is the spool: what was acknowledged is remembered durably, the rest is sent
again and again, in order. Nothing waits for it, least of all the kill switch.
"""
