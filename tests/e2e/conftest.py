"""Fixtures of the end-to-end tests."""

from tests.support.e2e.fixtures import cluster, namespace

__all__ = ["cluster", "namespace"]
