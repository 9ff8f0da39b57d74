# Two commands on a fresh machine: `make demo` and `make test`. Both make .venv and install into it first.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
STAMP := $(VENV)/.installed
# Extras that are installed. "dev" has the extras that tests use; the demo alone needs none (EXTRAS=). "compare" needs a C++
# compiler, and lets tests compare with packages that need one.
EXTRAS ?= dev
PIP_OPTIONS ?=
# Without bytecode, which takes pip a minute: Python compiles what it imports.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check $(PIP_OPTIONS)
# Processes that tests run in; each takes up to 2 GB. Three keep two cores busy, since many tests wait for other processes.
TESTERS ?= 3
PYTEST_OPTIONS ?=

.PHONY: demo test test-fast test-newest coverage lint format docs reference wheel wheels constraints clean

# constraints.txt has the exact version of every package; `pip install .` takes the ranges of pyproject.toml.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("firstsight needs Python 3.11 or newer; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

demo: $(STAMP)
	$(BIN)/firstsight index sample_media/catalogue.csv --db demo-db
	$(BIN)/firstsight search "red running shoes" --db demo-db -k 5 --html demo-text.html
	$(BIN)/firstsight search --image sample_media/queries/guitar.jpg --db demo-db -k 5 --html demo-picture.html
	$(BIN)/firstsight search --video sample_media/queries/tea-time.mp4 --db demo-db -k 5 --html demo-video.html
	@echo
	@echo "The pictures are on these pages; open them in a browser:"
	@for page in text picture video; do echo "  file://$(CURDIR)/demo-$$page.html"; done

test: $(STAMP) lint
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal -rfEs $(PYTEST_OPTIONS)

# For daily work: what each package does, without kills, browsers, exported graphs and processes. CI runs `make test`.
test-fast: $(STAMP)
	$(BIN)/python -m pytest -m "not slow" -n $(TESTERS) --dist worksteal -rfEs $(PYTEST_OPTIONS)

# Names of the dependencies with an upper bound.
BOUNDED = import re, tomllib; print(*(re.match(r"[\w.-]+", one)[0] for one in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if "<" in one))

# The suite with the newest release of every dependency, past the upper bounds of pyproject.toml: tells which bounds can rise.
test-newest: VENV = .venv-newest
test-newest:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --upgrade --upgrade-strategy eager -e '.[$(EXTRAS)]'
	$(PIP_INSTALL) --upgrade $$($(BIN)/python -c '$(BOUNDED)')
	$(BIN)/python -m pip list --disable-pip-version-check
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal -rfEs $(PYTEST_OPTIONS)

# The suite with a count of the lines and branches that it runs, also in the processes that tests start.
# COVERAGE_TESTS=tests/storage measures a part.
COVERAGE_TESTS ?= tests
coverage: $(STAMP)
	$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(COVERAGE_TESTS) -n $(TESTERS) --dist worksteal -rfEs $(PYTEST_OPTIONS); \
		failed=$$?; \
		$(BIN)/coverage combine --quiet && $(BIN)/coverage html --quiet && $(BIN)/coverage report && \
		echo "The lines are on this page: file://$(CURDIR)/build/coverage/html/index.html" && exit $$failed

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/check_english.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The documentation site, in build/site; it can be read from disk.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The site is on this page; open it in a browser: file://$(CURDIR)/build/site/index.html"

# Write docs/reference/cli.md again, after a change of a command, an option or a help text.
reference: $(STAMP)
	$(BIN)/python -m scripts.write_cli_reference

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

# Ask the package index whether every package has a wheel for each Python: nobody needs a compiler.
# PyAV has wheels for macOS 14 and newer.
wheels: $(STAMP)
	@for platform in x86_64-unknown-linux-gnu aarch64-apple-darwin; do for python in 3.11 3.12 3.13 3.14; do \
		echo "wheels for Python $$python, $$platform"; \
		MACOSX_DEPLOYMENT_TARGET=14.0 $(BIN)/uv pip compile --quiet --only-binary :all: --extra all --extra dev \
			--constraints constraints.txt --no-header --no-annotate \
			--python-version $$python --python-platform $$platform pyproject.toml >/dev/null || exit 1; \
	done; done

# Write constraints.txt again, with the newest versions that the ranges of pyproject.toml allow.
constraints: $(STAMP)
	$(BIN)/uv pip compile --quiet --universal --upgrade --no-annotate --extra all --extra dev --extra compare --python-version 3.11 \
		--custom-compile-command "make constraints" --output-file constraints.txt pyproject.toml

clean:
	rm -rf $(VENV) .venv-newest build dist *.egg-info demo-db demo-*.html examples-db embeddings.html
