"""The observed state that decisions are based on."""
