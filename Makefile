# One environment in .venv, made once and again when its inputs change.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install lab test demo lint format docs bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY) ## the environment in .venv, by the versions in constraints.txt

# torch comes first and pinned, so that pip takes the build its index offers for it before any open range is read.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "t4r-lab needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing into $(VENV) (some minutes the first time)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

lab: $(READY) ## JupyterLab on the front end
	$(BIN)/t4r-lab lab

test: $(READY) ## the whole suite, four tests side by side, fast ones first
	$(BIN)/python -m compileall -q -j 2 t4r_lab tests # once, for all the processes that tests start
	$(BIN)/python -m pytest -q -n 4 --dist loadscope --no-loadscope-reorder

demo: $(READY) ## prepare, train, evaluate, compare, recommend on built-in data, without a browser
	$(BIN)/t4r-lab demo

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## sort imports, mend what can be mended, format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs-ready ## the site in site/, strictly and offline (installs what it needs the first time)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

$(VENV)/.docs-ready: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	@touch $@

BEAUTY ?=
bench: $(READY) ## speed and memory beside other libraries (installs them the first time), half an hour
	$(BIN)/python benchmarks/train_vs_reference.py --features
	$(BIN)/python benchmarks/limit.py
	$(BIN)/python benchmarks/catalog.py
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/lab.py
	$(BIN)/python benchmarks/scale.py
	$(if $(BEAUTY),$(BIN)/python benchmarks/beauty.py $(BEAUTY))
	$(if $(BEAUTY),$(BIN)/python benchmarks/precision.py $(BEAUTY))
	$(if $(BEAUTY),$(BIN)/python benchmarks/ways.py $(BEAUTY))
	$(BIN)/python benchmarks/table.py

clean: ## remove environments and caches; mlruns/ is kept
	rm -rf $(VENV) benchmarks/.*-env build dist site .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
