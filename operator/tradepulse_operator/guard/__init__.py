"""SLO samples → verdict. Pure."""
