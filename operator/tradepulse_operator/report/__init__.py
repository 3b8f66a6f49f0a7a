"""The incident report: evidence → one ConfigMap. Pure."""
