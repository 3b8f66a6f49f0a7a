"""Pods that check, rehearse or drill a release, apart from the runner's own."""
