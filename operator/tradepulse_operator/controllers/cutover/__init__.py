"""The ReleaseCutover's reconciler."""
