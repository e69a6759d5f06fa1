# Everything lives in .venv; `make score` on a machine with Python and nothing else installs what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help score test lint bench fuzz soak audit samples clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

score: .venv/installed  ## install, score the sample predictions, print the table, write scores.csv
	$(BIN)/relight-eval score sample_images/prediction sample_images/target

test: .venv/installed-dev  ## install what the tests need and run them all
	$(BIN)/python -m pytest -n auto

lint: .venv/installed-dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed  ## measure time and memory against the bars, forty minutes, write bench.json
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m tests.benchmarks.bench --json bench.json

fuzz: .venv/installed-dev  ## feed 40,000 broken files to the reader, two minutes, write fuzz.json
	$(BIN)/python -m tests.fuzz.fuzz --json fuzz.json

soak: .venv/installed-dev  ## kill 50 runs and go on with them, then the long form of the property tests
	$(BIN)/python -m tests.soak.soak --json soak.json
	RELIGHT_EVAL_SOAK=1 $(BIN)/python -m pytest -n auto tests/properties

audit: .venv/installed  ## ask PyPI for known vulnerabilities of what is installed (needs a network)
	$(BIN)/python -m pip freeze --exclude-editable > .venv/audited.txt
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv/audit/bin/pip-audit --strict --no-deps --disable-pip -r .venv/audited.txt

samples: .venv/installed  ## render sample_images/ again (needs Mitsuba, takes minutes)
	$(BIN)/python -m pip install --quiet -e '.[samples]'
	$(BIN)/python sample_images/render.py

clean:  ## remove .venv and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "relight-eval needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@
