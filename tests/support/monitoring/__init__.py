"""Prometheus for the test cluster, configured by ServiceMonitors alone, as in production."""
