# Every command of this project. `make help` lists them.

PORT ?= 8080
DESK_HOME ?= .desk
# Passed on to the command, as in: make test ARGS="-k offers -x"
ARGS ?=

BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal
# The suite runs once more on a throw-away cluster of these server programs.
DEBIAN_POSTGRES := $(wildcard /usr/lib/postgresql/1[5678]/bin/postgres)
# What pytest says when ARGS choose tests that need no database; the first run has judged those.
NONE_CHOSEN := 5
# Tests start many processes, which are to find the program compiled whatever the caller's environment says of that.
unexport PYTHONDONTWRITEBYTECODE
# Each run writes its results where JUNIT, a folder, says.
RESULTS = $(if $(JUNIT),--junitxml=$(JUNIT)/$(1).xml)
SET_UP := sh scripts/setup.sh

# Asked while this file is read: later, make would still believe in a stamp that has just been removed.
ifneq ($(filter-out help lock clean,$(MAKECMDGOALS)),)
ASKED := $(shell $(SET_UP) forget-broken)
endif

.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help demo test check fuzz bench docs psql lock clean

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/ready-runtime ## Run a desk with demo data here (PORT=8080 DESK_HOME=.desk)
	@DESK_HOME="$(DESK_HOME)" exec $(BIN)/python -m otcdesk demo --port "$(PORT)" $(ARGS)

test: .venv/ready-dev ## Run all tests, on Debian's PostgreSQL too if it is here (ARGS="-k words -x" goes to pytest)
	@$(SET_UP) browser
	@$(SET_UP) npm
	$(PYTEST) $(call RESULTS,embedded) tests $(ARGS)
ifneq ($(DEBIAN_POSTGRES),)
	$(PYTEST) --postgres debian $(call RESULTS,debian) tests $(ARGS) || [ $$? -eq $(NONE_CHOSEN) ]
endif

check: .venv/ready-dev ## Check format, lint, types, direction of imports, freshness of the documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m otcdesk docs --check
	$(BIN)/python scripts/screenshots.py --check

fuzz: .venv/ready-dev ## Run the random tests and the kills for long, with seeds printed
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n 2 --dist worksteal tests/properties tests/simulation tests/crash \
		tests/storage/test_verify.py $(ARGS)

bench: .venv/ready-runtime ## Measure this machine's speed against pgbench on the same server
	$(BIN)/python -m otcdesk bench $(ARGS)

docs: .venv/ready-dev ## Write the generated parts of the documents anew, and take the pictures of the console
	@$(SET_UP) browser
	$(BIN)/python -m otcdesk docs $(ARGS)
	$(BIN)/python scripts/screenshots.py

psql: .venv/ready-runtime ## Open psql on the database of DESK_HOME
	@DESK_HOME="$(DESK_HOME)" exec $(BIN)/python -m otcdesk psql $(ARGS)

lock: ## Resolve the dependencies anew into both lock files (needs uv)
	uv pip compile $(LOCK_OPTIONS) --group build pyproject.toml -o requirements.lock
	uv pip compile $(LOCK_OPTIONS) --group build --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## Remove what can be made again: .venv and caches, never a DESK_HOME
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build dist otcdesk.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One interpreter's answer for all: the locks name no host, no index and no folder of the machine that made them.
LOCK_OPTIONS := --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header

# The stamps stand beside the environment's own files, so that removing .venv removes them.
.venv/ready-runtime: requirements.lock pyproject.toml scripts/setup.sh
	@$(SET_UP) runtime

.venv/ready-dev: requirements-dev.lock requirements.lock pyproject.toml scripts/setup.sh
	@$(SET_UP) dev
