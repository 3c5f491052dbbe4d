# `make` alone prints what there is. Every target sets up what it needs by itself.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
TREES := ringmaster tests
# What a landing needs in a minute: every rule, contract and method, and the way through the whole of it once.
GATE_TESTS := tests/unit tests/contract tests/integration/rpc tests/integration/test_supervisor.py \
    tests/integration/test_rpc_server.py
# Two workers on two cores; a file stays on one worker, so its fixtures are made once. tests/conftest.py says which
# come first: xdist would leave files of one long test to the end, and a worker without work beside them.
PYTEST := $(BIN)/python -m pytest -q -n $(or $(JOBS),2) --dist=loadfile --no-loadscope-reorder
TARGET ?=
AGENT ?=
export TARGET AGENT

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: ## make .venv from requirements.lock; quick when nothing changed
	@bin/setup

.PHONY: setup-agents
setup-agents: ## install Claude Code and Codex for the tests that drive them (640 MB, into .agents)
	@bin/setup-agents

.PHONY: check check-ruff check-format check-async check-types check-layers check-units
check: setup ## lint, format, async rules, strict types, the layer rule, what systemd says of the units
	@$(MAKE) -k -j2 --output-sync=target check-types check-async check-ruff check-format check-layers check-units

check-ruff:
	@$(BIN)/ruff check --quiet --output-format=concise $(TREES) && echo "ruff: fine"

check-format:
	@$(BIN)/ruff format --quiet --check $(TREES) && echo "format: fine"

check-async:
	@$(BIN)/python bin/check-async $(TREES)

check-types:
	@$(BIN)/python -m mypy --no-error-summary --cache-dir $(BIN)/../.cache/mypy && echo "mypy: fine"

check-layers:
	@out=$$($(BIN)/lint-imports 2>&1) && echo "layers: fine" || { echo "$$out"; exit 1; }

check-units:
	@$(BIN)/python bin/check-units

.PHONY: format
format: setup ## rewrite the sources as ruff would have them
	@$(BIN)/ruff check --quiet --fix $(TREES) || true
	@$(BIN)/ruff format --quiet $(TREES)

.PHONY: gate
gate: check ## check and the fast tests, at most 60 s: what landing on this repository needs
	@$(PYTEST) -m "not slow and not storm" $(GATE_TESTS)

.PHONY: test
test: check ## check and the whole suite; AGENTS=0 without real agents; names what it leaves out
	@bin/setup-agents --optional
	@$(PYTEST) -m "not storm"

.PHONY: sim
sim: setup ## simulate the queue: SEEDS=1000, or SEED=7 again (KEEP=0-5,8: these steps of it), or MUTANTS=1
	@$(BIN)/python -m tests.sim $(if $(SEED),--seed=$(SEED)) $(if $(KEEP),--keep=$(KEEP)) \
	    $(if $(SEEDS),--seeds=$(SEEDS)) $(if $(FIRST),--first=$(FIRST)) $(if $(MUTANTS),--mutants)

.PHONY: walk
walk: setup ## walk the feed at random: SEEDS=1000, or SEED=7 again (KEEP=0,5,8: these steps of it), or FAULTS=1
	@$(BIN)/python -m tests.integration.feed $(if $(SEED),--seed=$(SEED)) $(if $(KEEP),--keep=$(KEEP)) \
	    $(if $(SEEDS),--seeds=$(SEEDS)) $(if $(FIRST),--first=$(FIRST)) $(if $(FAULTS),--faults)

.PHONY: storm
storm: setup ## kill and reload the daemon over and over under working agents; an hour and a half
	@bin/setup-bench
	@$(BIN)/python -m pytest -q --timeout=3600 tests/storm
	@$(BIN)/python -m pytest -q --timeout=300 -m storm tests/e2e

.PHONY: test-system
test-system: setup ## boot a real systemd in a container and run the daemon under it (needs root and systemd-container)
	@$(BIN)/python -m pytest -q -rs --timeout=300 tests/system

.PHONY: test-browser
test-browser: setup ## drive the page in Chromium (found, or installed where allowed); names what it leaves out
	@bin/setup-browser
	@$(BIN)/python -m pytest -q --timeout=120 tests/browser

.PHONY: screenshots
screenshots: setup ## photograph page and terminal in a real run, into docs/pictures
	@bin/setup-browser
	@$(BIN)/python -m tests.browser.screenshots

.PHONY: bench
bench: setup ## measure, beside a yardstick of the same run
	@bin/setup-bench
	@$(BIN)/python -m tests.bench

.PHONY: selfhost selfhost-stop
selfhost: setup ## Ringmaster improves itself; TARGET=main for this checkout, AGENT=claude for Claude Code
	@bin/selfhost

selfhost-stop: ## take the self-host daemon down
	@bin/selfhost stop

.PHONY: wheel
wheel: setup ## build the wheel into dist/; install it with pip or pipx
	@$(BIN)/python -m hatchling build -t wheel

.PHONY: lock
lock: ## write requirements.lock anew from pyproject.toml (needs uv)
	@command -v $(or $(UV),uv) >/dev/null || { echo "make lock needs uv: pip install uv, or UV=path"; exit 1; }
	@$(or $(UV),uv) pip compile --quiet pyproject.toml --group dev --output-file requirements.lock $(LOCK_FLAGS)

LOCK_FLAGS := --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-build

.PHONY: clean
clean: ## remove .venv, caches and build results; never a state directory
	@rm -rf .venv .agents .bench .browser .setup.lock .setup.log .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
