# make demo   set up and see a learned optimizer race tuned classical ones (embedded data, no download)
# make test   set up and run every check that CI runs
# make soak   the slow tests too
# make soak-kill MINUTES=15   kill, stop, hang up and restart runs at random, and compare what they end with

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DB ?= results/rnnprop.db
MINUTES ?= 15

.PHONY: demo test check format soak soak-kill clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/rnnprop --db $(DB) bench --spec bench_specs/quickstart.toml
	$(BIN)/rnnprop --db $(DB) report quickstart

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest -n auto -m 'not slow and not gpu'

soak: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

soak-kill: $(VENV)/.installed-dev
	PYTHONPATH=. $(BIN)/python tests/faults/soak_kill.py --minutes $(MINUTES)

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
