# make run : set everything up and run the main job on the demo dataset
# make test: set everything up and run the tests
.DEFAULT_GOAL := help
.PHONY: help setup run test test-fmriprep lint docs clean
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
FMRIPREP := .venv-fmriprep
export OMP_NUM_THREADS ?= 1

help:
	@echo "make run    set everything up and run the main job on the demo dataset"
	@echo "make test   set everything up and run the tests"
	@echo "make test-fmriprep  test the command of fMRIPrep against fMRIPrep (1 GB more)"
	@echo "make lint   ruff, import contracts, spelling"
	@echo "make docs   build the documentation into docs/_build/html"
	@echo "make clean  remove .venv and out"

$(STAMP): setup.cfg constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "brainfm needs Python 3.11, 3.12 or 3.13 (antspyx has no wheels for newer ones); try make PYTHON=python3.12"; exit 1; }
	@echo "Installing brainfm and what it needs into .venv: 2.5 GB, some minutes, once"
	@$(PYTHON) -m venv .venv > /dev/null \
	  || { $(PYTHON) -m venv --clear --without-pip .venv && $(PYTHON) -m pip --python $(BIN)/python install pip; } \
	  || { echo "No virtual environment could be made; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --upgrade --quiet pip
	$(BIN)/python -m pip install -c constraints.txt torch==2.13.0 -e '.[test,docs]'
	@touch $@

setup: $(STAMP)

run: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m brainfm.demo out/demo

test: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadfile

$(FMRIPREP)/.installed: Makefile
	$(PYTHON) -m venv $(FMRIPREP)
	$(FMRIPREP)/bin/python -m pip install --quiet fmriprep==25.2.7
	@touch $@

test-fmriprep: $(STAMP) $(FMRIPREP)/.installed
	PATH="$(CURDIR)/$(BIN):$$PATH" BRAINFM_FMRIPREP="$(CURDIR)/$(FMRIPREP)/bin" \
	  $(BIN)/python -m pytest tests/fmriprep

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell brainfm tests docs README.md CHANGES.md CONTRIBUTING.md

docs: $(STAMP)
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

clean:
	rm -rf .venv $(FMRIPREP) out docs/_build docs/auto_examples docs/reference/generated
