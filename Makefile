PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-mobly test test-slow check format docs lock image qa release-check bench chaos fuzz clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## virtual environment with everything, from the hash-checked pins

# The pins are the whole list. Left to resolve dependencies of its own, pip reaches for the newest release of whatever is
# asked for with an extra, and refuses it for want of a pin; `pip check` says if the list lacks something.
$(STAMP): requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip --disable-pip-version-check check
	@touch $@

# Who develops has everything already; who only tries it gets what the demo needs and no more.
DEMO_VENV := $(if $(wildcard $(STAMP)),$(VENV),.venv-demo)
DEMO_STAMP := $(DEMO_VENV)/.installed

demo: $(DEMO_STAMP) ## sandbox + sample Mobly leads + check + write + report
	$(DEMO_VENV)/bin/destination-marketo-programs demo

.venv-demo/.installed: requirements-demo.txt pyproject.toml
	@echo "Installing the connector and its sandbox into .venv-demo, once: about 370 MB, a minute or so."
	$(PYTHON) -m venv .venv-demo
	.venv-demo/bin/python -m pip install --disable-pip-version-check --no-deps --require-hashes -r requirements-demo.txt
	.venv-demo/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	.venv-demo/bin/python -m pip --disable-pip-version-check check
	@touch $@

demo-mobly: $(STAMP) ## Mobly's API, low-code source, connector and sandbox in one go
	$(BIN)/python examples/mobly/mobly_chain.py

test: $(STAMP) ## every test that needs nothing but Python (PYTEST_ARGS=--cov for coverage)
	$(BIN)/python -m pytest -n auto -m "not slow" $(PYTEST_ARGS)

# Two at a time wherever there are more cores: several of them load a machine on purpose, or wait for real time.
test-slow: $(STAMP) ## browser, docker, PyAirbyte and long chaos runs
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

check: $(STAMP) ## lint, format, types and prose
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tools/prose.py

format: $(STAMP) ## format the code and apply safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## renew the generated tables of the documentation
	$(BIN)/python tools/docs.py

lock: $(STAMP) ## renew the pins from pyproject.toml
	.ci/lock

image: $(STAMP) ## the docker image, with an engine of its own if none answers
	eval "$$(.ci/docker-engine start)" && .ci/image

qa: $(STAMP) ## Airbyte's own tools: standard tests and quality checks (900 MB)
	.ci/qa

release-check: $(STAMP) ## build wheel and image, and try both out
	.ci/release-check

BENCHMARKS := startup check links script calls throughput pace marketorestpython bulk report discover mobly memory
BENCH_VENV := .venv-marketorestpython

bench: $(STAMP) $(BENCH_VENV)/.installed ## every benchmark, one after the other (20 minutes; benchmarks/README.md)
	@for name in $(BENCHMARKS); do $(BIN)/python benchmarks/bench_$$name.py || exit 1; done

$(BENCH_VENV)/.installed:
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check marketorestpython==0.5.25
	@touch $@

chaos: $(STAMP) ## random faults, CHAOS_SEEDS of them (200) from CHAOS_FIRST_SEED on (0); kills, KILL_ROUNDS of them (50)
	$(BIN)/python -m pytest integration_tests/test_chaos.py integration_tests/test_kill.py integration_tests/test_restarts.py

fuzz: $(STAMP) ## property tests with ever new inputs, until one fails; FUZZ_ROUNDS bounds it
	@round=0; while [ -z "$(FUZZ_ROUNDS)" ] || [ $$round -lt "$(FUZZ_ROUNDS)" ]; do \
		round=$$((round + 1)); seed=$$(date +%N); echo "Round $$round, seed $$seed"; \
		$(BIN)/python -m pytest -q -n auto -m hypothesis --hypothesis-seed=$$seed unit_tests || exit 1; \
	done

clean: ## remove the virtual environment and what runs left behind
	rm -rf $(VENV) .venv-demo demo-output .pytest_cache .mypy_cache .ruff_cache .hypothesis
