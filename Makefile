# `make quickstart` and `make test` do their own set-up; all they need is make and Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help install quickstart test test-slow test-minimal lint types layers unit browser format schema benchmarks fuzz clean

help:            ## what there is to make
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## */\t/' | expand -t 16

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"speechgmm needs Python 3.11 or newer; $(PYTHON) is {sys.version.split()[0]}: try make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.package: .venv/.python pyproject.toml
	$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/.dev: .venv/.package
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

install: .venv/.package  ## the package and its command, in .venv

quickstart: .venv/.package  ## a whole experiment on embedded voices: results/quickstart/report.html
	$(BIN)/speechgmm run recipes/quickstart.yaml

test: lint types layers unit  ## everything that must hold before a commit

test-slow: .venv/.dev  ## the tests marked slow: whole experiments on real speech
	$(BIN)/pytest -m slow --numprocesses auto --dist loadfile

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev
	$(BIN)/mypy

layers: .venv/.dev
	$(BIN)/lint-imports

unit: .venv/.dev
	$(BIN)/pytest --numprocesses auto --dist loadfile

.venv-minimal/.dev: pyproject.toml tests/oldest.py
	$(PYTHON) -m venv --clear .venv-minimal
	$(PYTHON) tests/oldest.py > .venv-minimal/constraints.txt
	.venv-minimal/bin/pip install --quiet --constraint .venv-minimal/constraints.txt --editable '.[dev]'
	@touch $@

test-minimal: .venv-minimal/.dev  ## the tests with the oldest versions that are allowed; warnings are theirs
	.venv-minimal/bin/pytest --numprocesses auto --dist loadfile -W default

browser:         ## a Chromium for the tests that look at the report, by apt if that can be; they are skipped without
	@for name in chromium chromium-browser google-chrome chrome; do command -v $$name && exit 0; done; \
	sudo=; test "$$(id -u)" = 0 || sudo="sudo -n"; \
	{ $$sudo apt-get update -qq && $$sudo apt-get install -qq -y --no-install-recommends chromium; } || \
	echo "no Chromium, and apt cannot install it: nobody looks at the report"

format: .venv/.dev  ## put the source into its one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: .venv/.package  ## what follows from the docstrings: recipes/recipe.schema.json and the keys in docs/recipes.md
	$(BIN)/python docs/make_recipes.py

.venv/.torch: .venv/.dev  # its build for the processor alone, 0.8 GB on disk; the one for cards takes several
	$(BIN)/pip install --quiet 'torch==2.13.0+cpu'
	@touch $@

.venv/.benchmarks: .venv/.dev
	$(BIN)/pip install --quiet --editable '.[benchmarks]'
	@touch $@

benchmarks: .venv/.benchmarks  ## speed against other packages, as ratios in one run
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/em.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/sweep.py
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python benchmarks/scale.py --hours 16

.venv/.fuzz: .venv/.dev
	$(BIN)/pip install --quiet --editable '.[fuzz]'
	@touch $@

fuzz: .venv/.fuzz  ## 10,000 inputs for every reader, and a table of what they found
	$(BIN)/python tests/fuzz/run.py

clean:           ## remove what make made; results stay
	rm -rf .venv .venv-minimal .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
