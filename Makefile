# The commands of a checkout. `make setup` prepares .venv/; the rest needs nothing else.

PYTHON ?= python3
ALPHA := .venv/bin/alpha

.DEFAULT_GOAL := help
.PHONY: help setup run test check bench

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

setup: ## make .venv/ with everything to run, test and check
	@$(PYTHON) scripts/make_env.py dev

# Ctrl-C is a way to end this: the trap lets the shell wait for the last checkpoint.
run: ## train a first small model on Python's own sources; again: go on
	@$(PYTHON) scripts/make_env.py
	@trap : INT; $(ALPHA) train --domain python --run first --resume auto $(ARGS) \
		|| test $$? -eq 130

test: setup ## run the tests
	@.venv/bin/python -m pytest $(ARGS)

check: setup ## formatting, lint, types and the direction of imports
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

bench: ## measure this engine beside its peers
	@$(PYTHON) scripts/make_env.py dev bench
	@for name in train decode tokenizer scaling; do $(ALPHA) bench $$name || exit; done
