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
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.ready ## Make the Python environment from the lock file

.PHONY: lint
lint: setup ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy operator runner demo tests
	$(BIN)/lint-imports

.PHONY: crds check-crds
# Operator and runner share no code: each describes its own metrics, and one page is made of both.
METRICS = { $(BIN)/python -m tradepulse_operator.manager.metrics_description; \
	$(BIN)/python -m tradepulse_runner.cli.metrics_description; }
crds: setup ## Generate crds/, docs/reference.md and docs/metrics.md from the code
	$(BIN)/python -m tradepulse_operator.codegen.crd crds
	$(BIN)/python -m tradepulse_operator.codegen.reference docs
	$(METRICS) | $(BIN)/python -m tradepulse_operator.codegen.metrics docs
check-crds: setup ## Fail when they differ from it
	$(BIN)/python -m tradepulse_operator.codegen.crd crds --check
	$(BIN)/python -m tradepulse_operator.codegen.reference docs --check
	$(METRICS) | $(BIN)/python -m tradepulse_operator.codegen.metrics docs --check

.PHONY: openapi check-openapi
openapi: setup ## Generate docs/admin-openapi.json from the admin routes
	$(BIN)/python -m tradepulse_runner.admin.openapi docs/admin-openapi.json
check-openapi: setup ## Fail when it differs from them
	$(BIN)/python -m tradepulse_runner.admin.openapi docs/admin-openapi.json --check

.PHONY: promote check-configs
ENVIRONMENTS = dev staging production
PROMOTE = $(BIN)/tradepulse-operator promote --validator "$(BIN)/tradepulse-runner config check --config"
promote: setup ## Validate, test and version the settings of an environment (ENV=dev, staging or production)
	$(if $(filter $(ENV),$(ENVIRONMENTS)),,$(error ENV=$(ENV): write one of $(ENVIRONMENTS)))
	$(BIN)/pytest -q tests/unit/operator/cli/test_promote.py tests/integration/promotion tests/unit/operator/resources/config/test_render.py \
		tests/unit/runner/config/test_config.py tests/unit/runner/test_config_check.py
	$(PROMOTE) configs/$(ENV)
check-configs: setup ## Fail when an environment asks for settings that aren't promoted
	for each in $(ENVIRONMENTS); do $(PROMOTE) --check configs/$$each; done

.PHONY: unit exploration contract integration support-test chaos e2e
WORKERS ?= 2
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist loadfile
unit: setup ## Unit tests: no process, no socket, no real second
	$(PYTEST) tests/unit
exploration: setup ## Every order of events around the real reconcilers, in small worlds
	$(PYTEST) tests/exploration
contract: setup ## What operator and runner must agree on
	$(PYTEST) tests/contract
integration: setup ## Against real services and processes on this machine: no cluster, no root
	# A cold machine builds the services inside the first tests that need them.
	$(PYTEST) tests/integration --timeout=1200
support-test: setup ## Tests of what the tests rest on: venues, cluster, images
	$(PYTEST) tests/support_tests
chaos: setup ## A short chaos campaign, and the campaign on planted defects
	$(PYTEST) tests/chaos
e2e: setup ## End-to-end tests on the real cluster, which is brought up when it isn't
	$(BIN)/pytest tests/e2e --timeout=900

.PHONY: test test-full
PARTS      = $(BIN)/python -m tests.support.parts
EVERY_TIME = lint check-crds check-configs unit exploration contract integration support-test chaos e2e
test: setup ## Everything but what takes hours; ends with what each part took and cost
	$(PARTS) $(EVERY_TIME)
test-full: setup ## All of it: also the deep exploration, the long chaos campaign and Argo CD
	$(PARTS) $(EVERY_TIME) exploration-deep chaos-runner e2e-gitops
.PHONY: exploration-deep e2e-gitops
exploration-deep: setup ## More wishes and faults at once than exploration: minutes
	EXPLORE=deep $(BIN)/pytest tests/exploration
e2e-gitops: setup ## Under a real Argo CD, on the same cluster; not part of test: compiles ten minutes once
	$(BIN)/pytest tests/gitops --timeout=1500

.PHONY: venue-up venue-check
venue-up: setup ## Binance and Coinbase on this machine, to trade against; prints urls and made-up keys
	$(BIN)/python -m tests.support.venues up
venue-check: setup ## Compare the venues' matching with another engine, 100,000 operations
	$(BIN)/python -m tests.support.venues.oracle --operations 100000

.PHONY: backing-up
backing-up: setup ## Kafka, PostgreSQL, S3, Alertmanager, OpenBao on this machine, to run against; tells how to connect
	$(BIN)/python -m tests.support.services up

.PHONY: demo bench
demo: setup ## A bad release rolls itself back, on a real cluster, while you watch
	$(BIN)/python -m tests.e2e.demo
bench: setup ## Measure rollbacks on the real cluster
	$(BIN)/python -m tests.bench.cutover
.PHONY: bench-verdict
bench-verdict: setup ## Measure how long a verdict takes while 1, 100 and 500 cutovers are guarded
	$(BIN)/python -m tests.bench.verdict $(ARGS)
.PHONY: bench-guard
bench-guard: setup ## Simulate cutovers: how often the guard is wrong, how fast it is right
	$(BIN)/python -m tests.bench.guard

.PHONY: chaos-runner bench-runner
SEEDS ?= 20
JOBS  ?= 2
chaos-runner: setup ## Kill the runner at every moment, at three venues (SEEDS, JOBS, ARGS)
	$(BIN)/python -m tests.chaos --seeds $(SEEDS) --jobs $(JOBS) $(ARGS)
bench-runner: setup ## Measure the runner against ccxt and python-binance
	$(BIN)/python -m tests.bench.runner $(ARGS)
.PHONY: bench-store
bench-store: setup ## Measure backups and their copies against a bare put
	$(BIN)/python -m tests.bench.objectstore $(ARGS)
.PHONY: bench-bus
bench-bus: setup ## Measure the event bus against a bare aiokafka loop, and what a broker's loss costs
	$(BIN)/python -m tests.bench.bus $(ARGS)

.PHONY: bench-database
bench-database: setup ## Measure the audit trail against a bare asyncpg, and a failover
	$(BIN)/python -m tests.bench.database $(ARGS)

.PHONY: cluster-up cluster-down cluster-status environment
cluster-up: setup ## Start the real cluster (kind)
	$(BIN)/python -m tests.support.cluster up
cluster-down: setup ## Remove the cluster and everything that it left
	$(BIN)/python -m tests.support.cluster down
cluster-status: setup ## Say whether the cluster is healthy
	$(BIN)/python -m tests.support.cluster status
environment: setup ## The cluster with images, Prometheus and the operator
	$(BIN)/python -m tests.support.e2e.environment

.PHONY: images
images: setup ## Build the images of operator, runner releases and monitoring
	$(BIN)/python -m tests.support.images build

.PHONY: lock
UV_LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock" $(UPGRADE)
lock: setup ## Lock the dependencies again (UPGRADE=--upgrade for newer ones)
	$(UV_LOCK) requirements/uv.in -o requirements/uv.txt
	$(UV_LOCK) pyproject.toml --extra dev -o requirements/dev.txt
	$(UV_LOCK) pyproject.toml --extra operator -c requirements/dev.txt -o requirements/operator.txt
	$(UV_LOCK) pyproject.toml --extra runner -c requirements/dev.txt -o requirements/runner.txt
