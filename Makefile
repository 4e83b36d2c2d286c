# A fresh machine needs Python 3.11 or newer, pip and make; everything else is set up here.
#   make train [ARGS="scheduler=fcfs trainer.max_epochs=5"]   train with the defaults, or with overrides
#   make test  [ARGS="-k floors"]                             the test suite but for what is marked slow, or a part
#   make test-slow                                            what is marked slow: the model zoo, hostile inputs, whole runs
#   make test-oldest, make test-newest                        both with the lowest and highest releases of every
#                                                             dependency, by constraints/, in environments of their own
#   make test-lightning   what builds on Lightning, with `import lightning` for `import pytorch_lightning`
#   make docs             the documentation, into build/docs; a warning is an error
#   make lint, make types, make clean

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
WORKERS := 2

.DEFAULT_GOAL := help
.PHONY: help train test test-slow test-lightning test-oldest test-newest lint types docs clean

help:
	@sed -n 's/^#   //p' Makefile

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)

# Stamps: what is installed is installed again only when pyproject.toml changes.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[export,serve]'
	touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/.installed $(VENV)/.installed-test

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@ $(VENV)/.installed

train: $(VENV)/.installed
	$(BIN)/cloudedge train $(ARGS)

# A thread for each worker: test networks are small, and threads that share a core wait for each other. Slow tests differ in
# length, so a worker without any takes some of the other one.
test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m "not slow" $(ARGS)

test-slow: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m slow $(ARGS)

test-oldest test-newest: test-%: $(VENV)-%/.installed-test
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(VENV)-$*/bin/python -m pytest -n $(WORKERS) $(ARGS)

$(VENV)-%/.installed-test: constraints/%.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --editable '.[test]' --constraint $<
	touch $@

test-lightning: $(VENV)/.installed-test
	CLOUDEDGE_LIGHTNING=lightning OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 \
	  $(BIN)/python -m pytest -n $(WORKERS) -m "not slow" tests/training tests/data tests/commands/test_train.py $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

docs: $(VENV)/.installed-docs
	$(BIN)/sphinx-build -W --keep-going --quiet docs build/docs $(ARGS)
	@echo build/docs/index.html

clean:
	rm -rf $(VENV) $(VENV)-oldest $(VENV)-newest build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
