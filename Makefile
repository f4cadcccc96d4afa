# All targets set up what they need. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp
RUNPY := PYTHONUNBUFFERED=1 $(PY)
# Where bytecode may not be kept, every start of a program compiles all of its sources: 8 s instead of 3 s.
export PYTHONDONTWRITEBYTECODE :=
UNIT := not integration and not e2e and not slow
SERVED := integration or slow or e2e
# Only these files hold such tests (tests/conftest.py sees to it): each worker need not read the other eight thousand.
SERVED_IN = $(shell $(PY) -m e2e.testbed.served)
# Of the unit ring alone; what speaks with servers is covered by the ring of servers.
COVERED := 93
# Tests against servers wait as much as they work: more workers than a small machine has cores.
SERVERS ?= 5
PROVE ?= tests e2e/stories

.PHONY: help setup fmt lint unit test e2e prove demo run manifests verify bench bench-scale bench-soak bench-scaling bench-placement image kind clean

help:  ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  %-13s %s\n", $$1, $$2}'

setup: $(STAMP)  ## Make the virtual environment from the locked requirements

$(STAMP): requirements-dev.lock pyproject.toml
	@echo "setting up $(VENV) (about a minute the first time)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

fmt: setup  ## Format the code
	@$(PY) -m ruff check --fix --quiet . && $(PY) -m ruff format --quiet .

lint: setup  ## Lint, types, and the order of the rooms
	@$(PY) -m ruff check . && $(PY) -m ruff format --check --quiet . && $(PY) -m mypy && $(VENV)/bin/lint-imports --no-cache

unit: setup  ## The unit ring: seconds, no server
	@$(RUNPY) -m pytest -q -n 2 -m "$(UNIT)" tests

test: setup  ## Everything: lint, unit ring, slow tests, real API server, user stories
	@$(MAKE) --no-print-directory -j 2 --output-sync lint verify
	@$(RUNPY) -m pytest -q -n 2 -m "$(UNIT)" --cov --cov-report=term:skip-covered --cov-fail-under=$(COVERED) tests \
		| grep -v "^operator/"
	@$(RUNPY) -m e2e.testbed.cluster build --helm --controllers
	@$(RUNPY) -m e2e.testbed.prometheus
	@$(RUNPY) -m e2e.testbed.browser
	@$(RUNPY) -m pytest -q -n $(SERVERS) --dist loadfile --no-loadscope-reorder --reruns 1 -rR --durations=25 \
		-m "$(SERVED)" $(SERVED_IN) \
		|| { echo "== AGAIN: what failed above, alone and on control planes of its own"; \
		$(RUNPY) -m pytest -q -n 1 --dist loadfile --last-failed --last-failed-no-failures none --durations=5 \
			-m "$(SERVED)" $(SERVED_IN); }

e2e: setup  ## User stories on the local control plane (or on MFU_KUBECONFIG)
	@$(RUNPY) -m pytest -q -n $(SERVERS) --dist loadfile e2e/stories

# With no second chance, fewer at once.
prove: SERVERS := 4
prove: setup  ## What must hold many times, many times: some hours; writes benchmarks/results/prove.json
	@$(RUNPY) -m e2e.testbed.cluster build --helm
	@$(RUNPY) -m pytest -q -n $(SERVERS) --dist loadgroup -m prove --prove benchmarks/results/prove.json $(PROVE)

demo: setup  ## A whole simulated fleet with the operator; Ctrl-C ends it, DEMO_ONCE=1 prints and exits
	@$(RUNPY) -m e2e.demo

run: setup  ## The operator against your kubeconfig, writing nothing
	@$(VENV)/bin/mfu operator --dry-run

manifests: setup  ## Regenerate crds/, the chart's copy and the generated references
	@$(PY) -m tools.generate.manifests

verify: setup  ## Fail if a generated file is not current
	@$(PY) -m tools.generate.verify

bench: setup  ## Measure speed and memory; rewrites benchmarks/*.md
	@for each in $$(ls benchmarks/bench_*.py | grep -vE 'bench_(scaling|scale|soak|placement)\.py'); do each=$$(basename $$each .py); echo "== $$each"; \
		$(RUNPY) -m benchmarks.$$each || exit 1; done

bench-scale: setup  ## The operator at full scale on a real API server: half an hour of two cores; writes benchmarks/results/scale.json
	@$(RUNPY) -m benchmarks.bench_scale

bench-soak: setup  ## Whether the operator grows under half an hour of churn; writes benchmarks/results/soak.json
	@$(RUNPY) -m benchmarks.bench_soak

bench-placement: setup  ## Placement against the plain scheduler and Kueue on real controllers: over an hour of a quiet machine
	@$(RUNPY) -m e2e.testbed.cluster build --controllers
	@$(RUNPY) -m benchmarks.bench_placement

bench-scaling: setup  ## Replicas for a day of real requests against HPA, KEDA and WVA: about ten minutes
	@$(RUNPY) -m benchmarks.bench_scaling

image: setup  ## Build the container image (needs Docker; without it: python -m tools.image_root FOLDER)
	@docker build -t mfu:$$($(PY) -c 'import mfu; print(mfu.__version__)') .

kind: setup  ## A kind cluster for the stories (needs Docker and kind)
	@kind create cluster --name mfu && echo "MFU_KUBECONFIG=$$(mktemp)" && kind get kubeconfig --name mfu

clean:  ## Remove what was built in this checkout
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .demo .logs
