# make demo   set up and see a learned optimizer race tuned classical ones (embedded data, no download)
# make test   set up and run every check that CI runs
# make soak   the slow tests too
# make reproduce   the paper's tables into docs/reproduction.md (ONLY=table2: one of them); says how long it takes
# make docs   build/site: the documentation as a site; needs no network
# make wheel  dist/: a wheel with the compiled CPU kernel, for machines without a compiler, and the source archive
# make soak-kill MINUTES=15   kill, stop, hang up and restart runs at random, and compare what they end with

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DB ?= results/rnnprop.db
MINUTES ?= 15

.PHONY: demo test check format soak soak-kill reproduce docs wheel clean

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

reproduce: $(VENV)/.installed
	$(BIN)/python docs/reproduce.py --db $(DB) $(if $(ONLY),--only $(ONLY))

docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/site/index.html (the search alone needs a server: $(BIN)/python -m http.server --directory build/site)"

# Tagged by what the kernels need: auditwheel reads it from them. Elsewhere than on Linux the built tag is right.
wheel: $(VENV)/.installed-dev
	rm -rf build dist
	$(BIN)/python -m build -C--build-option=--with-kernels --outdir build/dist
	mkdir -p dist && cp build/dist/*.tar.gz dist
	if [ "$$(uname)" = Linux ]; then PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --wheel-dir dist build/dist/*.whl; \
	else cp build/dist/*.whl dist; fi

soak-kill: $(VENV)/.installed-dev
	PYTHONPATH=. $(BIN)/python tests/faults/soak_kill.py --minutes $(MINUTES)

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
