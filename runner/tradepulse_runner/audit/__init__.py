"""The audit trail and its signatures."""
