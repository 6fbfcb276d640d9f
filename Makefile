# `make demo` and `make test` are all that a fresh machine with Python >= 3.11, pip and venv needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test portability check dist clean

demo: $(VENV)/.installed
	HF_HUB_OFFLINE=1 $(BIN)/hub-distill demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest

# Saved models in other versions, e.g. OTHER='sentence-transformers==5.1.* transformers==4.57.*'
portability: $(VENV)/.installed
	rm -rf $(VENV)-other
	$(PYTHON) -m venv $(VENV)-other
	$(VENV)-other/bin/python -m pip install --quiet --constraint constraints.txt torch $(foreach it,$(OTHER),'$(it)')
	HUB_TOOLS_OTHER_PYTHON=$(CURDIR)/$(VENV)-other/bin/python $(BIN)/python -m pytest tests/test_portability.py

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/zizmor --offline --quiet .github/workflows

dist:
	PYTHON=$(PYTHON) scripts/build.sh
	PYTHON=$(PYTHON) scripts/check_wheel.sh dist/*.whl

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) demo-run
