# Quantum Trader. `make run` shows it, `make test` proves it, `make bench` measures it.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
JOBS   ?= 2
VENUE  ?= paper

.PHONY: run test test-all bench check docs clean

# Replay the bundled recording (BTC ETH EOS LTC XRP, two years) under the policy in OBSERVE, and end with the report.
# It leaves its state and journal in build/last-run, where the next `make run` starts anew. `make run VENUE=local` sends the
# orders through the Binance adapter to the local venue, over loopback.
run: $(VENV)/.core
	rm -rf build/last-run
	$(BIN)/quantum-trader run --exit --state build/last-run --venue $(VENUE)

# Lint, types, import rules, then every quick test.
test: check
	$(BIN)/python -m pytest -n $(JOBS) -m "not long"

# Everything: the long ones too, and many more examples of every property.
test-all: check
	$(BIN)/python -m pytest -n $(JOBS) --hypothesis-profile=thorough

# A table on the screen and build/bench.json; `make bench ONLY=name` for one.
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py $(if $(ONLY),--only $(ONLY))

check: $(VENV)/.dev
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo

# Remake the parts of the documentation that come from the code.
docs: $(VENV)/.dev
	$(BIN)/python tools/make_cli_reference.py
	$(BIN)/python tools/make_decisions_index.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/*.egg-info

# The environment, made once for each pyproject.toml and constraints.txt: the core to run, the rest to develop.
$(VENV)/.core: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) install --constraint constraints.txt --editable ".[dev]"
	touch $@
