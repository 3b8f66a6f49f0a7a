"""A real, throw-away Kubernetes cluster for the demo and the end-to-end tests."""
