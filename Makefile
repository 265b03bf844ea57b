# Passerelle: the few commands anybody needs. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help demo test test-long bench check lint types clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml requirements/constraints.txt
	@echo "== Making $(VENV) and installing Passerelle (once; about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Passerelle needs Python 3.11 or later: make PYTHON=python3.11 ..."; exit 2; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt -e '.[official,postgres,test]'
	@touch $(STAMP)

demo: $(STAMP) ## the main job on your machine: gateway, simulators, documents, counts
	@echo "== Running the demonstration: nothing leaves this machine"
	@$(BIN)/passerelle demo

test: $(STAMP) ## lint, types, layers and every test but the long ones
	@scripts/test

test-long: $(STAMP) ## the long tests too: crash loops, thousands of documents
	@scripts/test --long

bench: $(STAMP) ## timings, as ratios in one run, into build/bench.json
	@$(BIN)/python -m pytest tests/benchmarks -q -n0 -p no:randomly

clean: ## remove what the commands above made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
