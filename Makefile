# The commands of this repository. Each is a line or two; what they do is in tools/*.sh.
#
#   make up ARGS="--port 6000"      arguments for `rabbitry up`
#   make test APT=no                never install system packages
#   make test WORKERS=6             spread the tests over six processes, not over three
#   make soak SEEDS=100000          more simulated failures
#   make fuzz SECONDS=3600          more bytes that nobody should send

PYTHON ?= python3
SEEDS ?= 20000
SECONDS ?= 60
APT ?= yes
ARGS ?=
PYTEST = .venv/bin/python -m pytest -rs
# What only computes is spread over all cores.
SPREAD = -n auto --dist worksteal
export PYTHON APT
# Debian keeps haproxy and rabbitmq-server where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: help up test test-fast soak fuzz bench clean

help:  ## say what there is (this list)
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r target text; \
	do printf 'make %-10s %s\n' "$$target" "$$text"; done

up:  ## install into .venv and run the whole system until Ctrl-C
	@bash tools/bootstrap.sh && exec .venv/bin/rabbitry up $(ARGS)

test:  ## install what the tests need and run every check and test
	@bash tools/bootstrap.sh test && bash tools/install_test_programs.sh && exec bash tools/test.sh

test-fast:  ## the checks and tests that need no processes, in under a minute
	@bash tools/bootstrap.sh test && .venv/bin/ruff check && $(PYTEST) $(SPREAD) -m "not processes and not slow" --seeds 50

soak:  ## the simulation with SEEDS seeds
	@bash tools/bootstrap.sh test && exec $(PYTEST) $(SPREAD) tests/simulation --seeds $(SEEDS)

fuzz:  ## SECONDS of coverage-guided fuzzing of all that a peer can send
	@bash tools/bootstrap.sh test && exec .venv/bin/python tests/fuzz/run_atheris.py --seconds $(SECONDS)

bench:  ## throughput beside RabbitMQ, the balancer beside HAProxy, as ratios
	@bash tools/bootstrap.sh test && bash tools/install_test_programs.sh && exec .venv/bin/python -m bench.run $(ARGS)

clean:  ## remove .venv and everything else that was made here
	@rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache
	@find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
