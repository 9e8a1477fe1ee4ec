# Quantum Trader. `make run` shows it, `make test` proves it, `make bench` measures it.
PYTHONS := 3.13 3.12 3.11
# The newest supported Python that starts. Being on the path is not enough: pyenv puts a python3.13 there that refuses to
# start unless a 3.13 is chosen.
PYTHON ?= $(shell for version in $(PYTHONS); do \
	python$$version -c '' 2>/dev/null && echo python$$version && exit; done; echo python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
JOBS   ?= 2
VENUE  ?= paper
MODEL  ?= trend
PILOT  ?= bundled
PORT   ?= 8000
ARGS   ?=

.PHONY: run test test-node test-all pythons bench check docs pictures web wheels clean

# Replay the bundled recording (BTC ETH EOS LTC XRP, two years) under the policy in OBSERVE, report, and compare with holding
# and with each profile enforced. The dashboard is served meanwhile on port PORT, or the next free one; in a terminal a browser
# opens it where there is a display, and it is served until Ctrl-C (`make run ARGS=--exit` ends with the comparison,
# ARGS=--no-browser opens none). It leaves its state and journal in build/last-run, where the next `make run` starts anew, and
# the comparison in build/compare.html. The set `trend` gives the signals; `make run MODEL=intraday-demo` takes the six intraday
# models, `make run VENUE=local` sends the orders through the Binance adapter to the local venue, over loopback. The trained pilot
# that comes with the program runs beside the signals in SHADOW; `make run PILOT=` leaves it out.
run: $(VENV)/.core
	rm -rf build/last-run
	mkdir -p build
	$(BIN)/quantum-trader run --state build/last-run --serve $(PORT) --compare build/compare.html --venue $(VENUE) \
	    --model $(MODEL) --pilot "$(PILOT)" $(ARGS)

# Lint, types, import rules, then every quick test. A file's tests stay in one process, so that what they share is made once.
test: check
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not long"

# What runs in Node.js: npm's ccxt on the local venue. Where node or npm is missing, a line names what is skipped.
test-node: $(VENV)/.dev
	$(BIN)/python -m pytest tests/clients/test_npm_ccxt.py

# Everything: the long ones too, and many more examples of every property; then the quick ones on the other Pythons.
test-all: check pythons build/quantstats build/stable-baselines3
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --hypothesis-profile=thorough
	@for version in $(OTHERS); do \
	    test -x build/python$$version/bin/python || continue; \
	    echo "Python $$version: the quick tests"; \
	    build/python$$version/bin/python -m pytest -n $(JOBS) --dist loadfile -m "not long" || exit 1; \
	done

# An environment in build/ for each supported Python of this machine but that of $(VENV). One that pyenv keeps is found
# too. Those that are not installed are named.
OTHERS = $(filter-out $(shell $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'),$(PYTHONS))
pythons: $(VENV)/.dev
	@for version in $(OTHERS); do \
	    found=; \
	    for one in python$$version "$$(pyenv prefix $$version 2>/dev/null)/bin/python"; do \
	        "$$one" -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' $$version 2>/dev/null \
	            && found=$$one && break; \
	    done; \
	    if [ -z "$$found" ]; then echo "Python $$version is not installed here: nothing is tested on it"; continue; fi; \
	    $(MAKE) --no-print-directory VENV=build/python$$version PYTHON="$$found" build/python$$version/.dev || exit 1; \
	done

# A table on the screen and build/bench.json; `make bench ONLY=name` for one.
bench: $(VENV)/.dev
	$(BIN)/python benchmarks/run.py $(if $(ONLY),--only $(ONLY))

check: $(VENV)/.dev
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo

# Remake the parts of the documentation that come from the code, then all of it as a site with search in build/site.
docs: $(VENV)/.dev
	$(BIN)/python tools/make_cli_reference.py
	$(BIN)/python tools/make_decisions_index.py
	$(BIN)/python tools/make_metric_reference.py
	$(BIN)/python tools/make_api_reference.py
	$(BIN)/python tools/make_site.py

# Take the pictures of the documentation again, of the run in build/last-run; needs Chromium.
pictures: $(VENV)/.dev
	$(BIN)/python tools/make_pictures.py

# Two wheels in dist/: the whole program, and quantum-trader-policy, its policy as a library that needs msgspec alone.
wheels: $(VENV)/.dev
	$(BIN)/python tools/make_wheels.py

# Build the dashboard from web/ into the package; needs Node.js, which running it does not.
web: web/node_modules/.made $(VENV)/.core
	$(BIN)/python tools/make_web_words.py
	cd web && npm run --silent build

web/node_modules/.made: web/package.json web/package-lock.json
	cd web && npm ci --no-audit --no-fund --silent
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache src/*.egg-info web/node_modules

# The environment, made once for each pyproject.toml and constraints.txt: the core and the dashboard to run, the rest to
# develop.
$(VENV)/.core: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv)' $(PYTHONS) \
	    || { echo "Quantum Trader runs on Python 3.11, 3.12 or 3.13, and $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	         echo "Install one of them, or name it: make PYTHON=/path/to/python3.13" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --constraint constraints.txt --editable ".[serve]"
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) install --constraint constraints.txt --editable ".[dev]"
	touch $@

# QuantStats in an environment of its own, for the test that compares figures with it.
build/quantstats: tests/quantstats.txt
	$(PYTHON) -m venv $@
	$@/bin/python -m pip --disable-pip-version-check --quiet install --requirement $<
	touch $@

# Stable-Baselines3 in an environment of its own, for the test that it takes the pilot's training market. Linux gets PyTorch
# with its CUDA libraries, some gigabytes.
build/stable-baselines3: tests/stable_baselines3.txt
	$(PYTHON) -m venv $@
	$@/bin/python -m pip --disable-pip-version-check --quiet install --requirement $<
	touch $@

# backtesting.py in an environment of its own, for `make bench ONLY=models`.
build/backtesting: benchmarks/backtesting.txt
	$(PYTHON) -m venv $@
	$@/bin/python -m pip --disable-pip-version-check --quiet install --requirement $<
	touch $@
