"""The process: kopf handlers, work queue, lease, probes, metrics, wiring."""
