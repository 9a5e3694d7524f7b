.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# How long make fuzz looks
MINUTES ?= 10
# Extra arguments for pytest, e.g. make test ARGS="-k recorder -x"; ARGS="-n 0" runs all in one process
ARGS ?=
# Test processes: two for each core, since tests wait for real time more than they compute. Files are not split, since
# tests of a file share servers; they start in the order of their names, which puts the many short unit tests last, so
# that all processes end at about the same time.
JOBS ?= $(shell $(PYTHON) -c 'import os; print(min(8, 2 * (os.cpu_count() or 1)))')
PARALLEL := -n $(JOBS) --dist loadfile --no-loadscope-reorder

.PHONY: help venv demo serve test unit nightly lint format lock fuzz bench clean

help: ## Print these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

venv: $(VENV)/.ready ## Create the virtual environment with the locked dependencies

$(VENV)/.ready: requirements/main.txt requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "livereel needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: venv ## Record a generated live stream on command and show the files
	@$(BIN)/livereel demo

serve: venv ## Run the server with embedded defaults
	@$(BIN)/livereel serve

test: venv lint ## Lint, type-check and run the whole test suite
	$(BIN)/python -m pytest $(PARALLEL) --durations=40 $(ARGS)

unit: venv ## Run the unit tests only
	$(BIN)/python -m pytest tests/unit $(PARALLEL) $(ARGS)

nightly: venv ## Kill the server and its workers 200 times at random instants (KILL_RUNS, KILL_FIRST), then soak for 30 min
	KILL_RUNS=$${KILL_RUNS:-200} KILL_FIRST=$${KILL_FIRST:-1000} $(BIN)/python -m pytest -n 0 -s tests/faults/test_kills.py $(ARGS)
	LIVEREEL_SOAK_SECONDS=$${LIVEREEL_SOAK_SECONDS:-1800} $(BIN)/python -m pytest -n 0 -s tests/faults/test_soak.py

lint: venv ## Lint, format check, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: venv ## Format the code and apply safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## Renew the locked dependencies (needs uv)
	UV_PYTHON_DOWNLOADS=never uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header requirements/main.in -o requirements/main.txt
	UV_PYTHON_DOWNLOADS=never uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header -c requirements/main.txt requirements/dev.in -o requirements/dev.txt

fuzz: venv ## Look for inputs that break a parser, for MINUTES (atheris: x86-64 Linux)
	$(BIN)/python -m tests.fuzz.campaign --minutes $(MINUTES)

bench: venv ## Measure ingest against nginx-rtmp (needs nginx with libnginx-mod-rtmp and a C compiler)
	$(BIN)/python -m bench.ingest

clean: ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
