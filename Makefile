# Two commands on a fresh machine: `make demo` and `make test`. Both make .venv and install into it first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP_OPTIONS ?=
# What is installed beside the package itself.
EXTRAS ?= dev
# Processes that tests run in; each takes up to 2 GB.
TESTERS ?= 2

.PHONY: demo test lint format wheel clean

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("firstsight needs Python 3.11 or newer; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) -e '.[$(EXTRAS)]'
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
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal -rfEs

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist *.egg-info demo-db demo-*.html
