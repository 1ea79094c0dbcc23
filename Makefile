# The two commands most people need: `make demo` and `make test`. Each makes its own environment.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help setup demo serve viewer tables test check lint fuzz clean bench bench-check

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## the environment in .venv, with the deeppneumonia command and everything the tests need

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "found Python %d.%d, 3.11 or newer is needed: make setup PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup  ## diagnose three phantom patients, or your own: make demo STUDY=path
	$(BIN)/python examples/demo.py $(if $(STUDY),--study '$(STUDY)')

tables: setup  ## every table of benchmarks/RESULTS.md again, from the stored answers
	$(BIN)/python benchmarks/tables.py

VIEWER := src/deeppneumonia/server/viewer
viewer:  ## the viewer of three planes for the pages; needs Node, and once a network
	cd $(VIEWER) && npm ci --no-audit --no-fund --fetch-retries=0 && npm run build

$(VIEWER)/../static/niivue.js: $(VIEWER)/package-lock.json
	@if command -v npm >/dev/null; then $(MAKE) viewer >/dev/null 2>&1 \
	|| echo "The viewer of three planes could not be built: the pages show slices without it."; \
	else echo "Node is not here: the pages show slices, without the viewer of three planes."; fi

serve: setup $(VIEWER)/../static/niivue.js  ## the online server on this machine, pages and REST
	$(BIN)/deeppneumonia serve

check: setup  ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check  ## every check and every test
	$(BIN)/python -m pytest -n 2 --dist loadscope

$(VENV)/.bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bench]'
	touch $@

SPEED := benchmarks/results/one_study.json
BENCH := $(BIN)/python benchmarks/one_study.py --rounds 3
bench: $(VENV)/.bench  ## seconds for one study, beside other ways of doing the same
	$(BENCH)

bench-check: $(VENV)/.bench  ## the same, failing when a ratio is a fifth worse than the stored one
	$(BENCH) --check $(SPEED)

FUZZ_S ?= 60
fuzz: setup  ## look for files that break the readers, for FUZZ_S seconds; a finding becomes a test
	$(BIN)/python -W ignore fuzz/fuzz_readers.py -timeout=0 -max_total_time=$(FUZZ_S)

clean:  ## remove the environment and everything made
	rm -rf $(VENV) demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
