"""Argo CD beside a cluster: the controller that syncs and heals, built from its Go module."""
