"""A receiver of audit records that can be told to fail."""
