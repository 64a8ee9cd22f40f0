# `make up` and `make test` need Python 3.11 or later and nothing else; what they install goes into .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help up down test lint bench chaos eval install install-dev

VENV := .venv
PYTHON := $(VENV)/bin/python
# Twice quiet: errors alone are shown.
PIP := $(PYTHON) -m pip --quiet --quiet --disable-pip-version-check --no-input

help: ## say what there is
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

up: install ## run everything here, in the foreground; PORT=8000, BIND=127.0.0.1, DATA_DIR=.data
	@exec $(PYTHON) -m ragsite.launch

down: ## stop what `make up` runs
	@if [ -x $(PYTHON) ]; then exec $(PYTHON) manage.py down; else echo "Nothing runs here."; fi

test: install-dev ## run the tests; ARGS= goes to pytest
	@exec $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

# No server is asked: the checks of `check --deploy` and the drift check read code and settings alone.
lint: export DATABASE_URL = postgresql://ragsite@127.0.0.1:1/ragsite
lint: export REDIS_URL = redis://127.0.0.1:1/0
lint: export SECRET_KEY = $(shell od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
lint: export ENCRYPTION_KEY = $(shell head -c32 /dev/urandom | base64 | tr '+/' '-_')
lint: export ALLOWED_HOSTS = ragsite.example
lint: export LOG_LEVEL = ERROR
lint: install-dev ## style, types, import order, missing migrations, settings for production
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(PYTHON) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(PYTHON) manage.py check --deploy --fail-level WARNING

bench: install-dev ## measure, side by side with what we compare against
	@exec $(PYTHON) -m tests.bench $(ARGS)

chaos: install-dev ## load it, break it, and see that it keeps its word
	@exec $(PYTHON) -m tests.chaos $(ARGS)

eval: install ## measure retrieval on questions with known sources
	@exec $(PYTHON) manage.py evaluate $(ARGS)

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

# The stamp is written last, so that an environment that was broken off is completed.
$(VENV)/.made:
	@for python in python3.11 python3 python3.14 python3.13 python3.12; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$("$$python" --version)"; \
	    "$$python" -m venv $(VENV) && touch $@; exit; \
	  fi; \
	done; \
	echo "ragsite needs Python 3.11 or later, and finds none on PATH" >&2; exit 1

$(VENV)/.installed: requirements.txt requirements-embedded.txt $(VENV)/.made
	@echo "Installing packages; the first time takes a minute or two"
	@$(PIP) install -r requirements.txt
	@$(PIP) install --no-deps -r requirements-embedded.txt
	@touch $@

# The .pth file lets a bare `pytest` in the environment import the packages of this folder.
$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@$(PIP) install -r requirements-dev.txt
	@pwd > "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/ragsite.pth"
	@touch $@
