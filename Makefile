# `make quickstart` and `make test` set themselves up; they need make and Python 3.11 or newer, nothing else.
PYTHON ?= python3
BIN := .venv/bin
# Which tests `make unit` and `make test-minimal` run, e.g. TESTS="tests/gmm tests/features"; all of them if empty.
TESTS ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Without what Python has compiled before, every process of every target would compile the package and its tests again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install quickstart test test-slow test-minimal lint types layers unit browser format schema benchmarks fuzz pretrained clean

help:            ## list the targets
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

install: .venv/.package  ## install the package and its command into .venv

quickstart: .venv/.package  ## run an experiment on synthetic voices: results/quickstart/report.html
	$(BIN)/speechgmm run recipes/quickstart.yaml

test: lint types layers unit  ## run every check that a commit must pass

test-slow: .venv/.dev  ## run the tests marked slow: whole experiments on real speech
	$(BIN)/pytest -m slow --numprocesses auto --dist loadfile

lint: .venv/.dev         ## check style and format with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.dev        ## check types with mypy
	$(BIN)/mypy

layers: .venv/.dev       ## check which module imports which
	$(BIN)/lint-imports

unit: .venv/.dev         ## run the tests, or those in TESTS
	$(BIN)/pytest --numprocesses auto --dist loadfile $(TESTS)

.venv-minimal/.dev: pyproject.toml tests/oldest.py
	$(PYTHON) -m venv --clear .venv-minimal
	$(PYTHON) tests/oldest.py > .venv-minimal/constraints.txt
	.venv-minimal/bin/pip install --quiet --constraint .venv-minimal/constraints.txt --editable '.[dev]'
	@touch $@

# Old packages print deprecation warnings of their own, so warnings are not errors here.
test-minimal: .venv-minimal/.dev  ## run the tests, or those in TESTS, with the oldest dependencies allowed
	.venv-minimal/bin/pytest --numprocesses auto --dist loadfile -W default $(TESTS)

browser:         ## install Chromium with apt if possible; without a browser the tests that view the report are skipped
	@for name in chromium chromium-browser google-chrome chrome; do command -v $$name && exit 0; done; \
	sudo=; test "$$(id -u)" = 0 || sudo="sudo -n"; \
	{ $$sudo apt-get update -qq && $$sudo apt-get install -qq -y --no-install-recommends chromium; } || \
	echo "No Chromium found, and apt cannot install it: the browser tests of the report are skipped"

format: .venv/.dev  ## fix style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: .venv/.package  ## rewrite what is generated from docstrings: recipes/recipe.schema.json, keys in docs/recipes.md
	$(BIN)/python docs/make_recipes.py

.venv/.torch: .venv/.dev  # PyTorch's build for processors, 0.8 GB on disk; the build for graphics cards takes several
	$(BIN)/pip install --quiet 'torch==2.13.0+cpu'
	@touch $@

.venv/.benchmarks: .venv/.dev
	$(BIN)/pip install --quiet --editable '.[benchmarks]'
	@touch $@

benchmarks: .venv/.benchmarks  ## measure speed against other packages, as ratios within one run
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/audio_formats.py
	$(BIN)/python benchmarks/em.py
	$(BIN)/python benchmarks/subspace.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/sweep.py
	$(BIN)/python benchmarks/metrics.py
	$(BIN)/python benchmarks/scale.py --hours 16

pretrained: .venv/.dev   ## train the models that come with the package again; needs $SPEECHGMM_DATA
	$(BIN)/python benchmarks/pretrained.py build speech16k --workers 2

.venv/.fuzz: .venv/.dev
	$(BIN)/pip install --quiet --editable '.[fuzz]'
	@touch $@

fuzz: .venv/.fuzz  ## try 10,000 broken inputs on every reader and print a table of the failures
	$(BIN)/python tests/fuzz/run.py

clean:           ## remove environments and caches; results stay
	rm -rf .venv .venv-minimal .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
