# One entry point for people and for CI. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOCK   := requirements/dev.txt

$(VENV)/.ready: $(LOCK) pyproject.toml
	@echo "==> Python environment ($(LOCK))"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes $(LOCK) requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.ready ## Make the Python environment from the lock file

.PHONY: lint
lint: setup ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy operator runner tests
	$(BIN)/lint-imports

.PHONY: crds
crds: setup ## Generate crds/*.yaml from the models
	$(BIN)/python -m tradepulse_operator.api.schema crds

.PHONY: cluster-up cluster-down cluster-status
cluster-up: setup ## Start the real cluster (kind)
	$(BIN)/python -m tests.e2e.cluster up
cluster-down: setup ## Remove the cluster and everything that it left
	$(BIN)/python -m tests.e2e.cluster down
cluster-status: setup ## Say whether the cluster is healthy
	$(BIN)/python -m tests.e2e.cluster status
