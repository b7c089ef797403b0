# make demo   try it: sets everything up, then runs the demo
# make test   check it: sets everything up, then runs the linters and the tests
#
# Both need only Python 3.11+, make and, on Debian or Ubuntu, apt.
# The work of setting up is in tools/setup.sh.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:

PY    := .venv/bin/python
STAMP := .venv/.installed

# Which Python makes .venv; empty: the first of python3, python3.13, ... that is new enough.
PYTHON ?=
# More arguments: make demo DEMO_ARGS="--help", make test PYTEST_ARGS="-k slide"
DEMO_ARGS   ?=
PYTEST_ARGS ?=
# Where benchmarks run the network: make bench DEVICE=cuda
DEVICE      ?=
# How often make soak-cycles goes round, and for how long at most, s.
CYCLES         ?= 500
CYCLES_SECONDS ?= 14400

.PHONY: help demo test bench reliability soak soak-cycles fuzz lint setup system sample-data wheel wheelhouse \
  clean distclean

help:  ## list the targets (the default)
	@echo "Usage: make TARGET"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' Makefile

demo: system $(STAMP)  ## run the demo; results in demo_output/
	.venv/bin/mclstexp demo --out demo_output $(DEMO_ARGS)

test: system lint  ## run the linters, then the tests
	sh tools/tests.sh $(PY) $(PYTEST_ARGS)

bench: system $(STAMP)  ## time it, beside peers that are installed, and hold ratios against those on record
	MCLSTEXP_BENCH_DEVICE=$(DEVICE) env -u PYTHONDONTWRITEBYTECODE \
	  sh tools/setup.sh display $(PY) -m pytest tests/benchmarks -o python_files="bench_*.py" \
	  --benchmark-json=benchmarks.json --benchmark-columns=min,median,rounds --benchmark-sort=name $(PYTEST_ARGS)
	$(PY) -m tests.benchmarks.ratios benchmarks.json

reliability: $(STAMP)  ## run all bad inputs, and write the table of docs/reliability.md
	$(PY) -m tests.reliability.report

# Goes on where it stopped: make soak SOAK_ARGS="--minutes 30"
SOAK_ARGS ?=
soak: $(STAMP)  ## kill and break everything that is written, a thousand times; goes on where it stopped
	nice -n 15 $(PY) -W ignore -m tests.writing.soak $(SOAK_ARGS)
	HYPOTHESIS_PROFILE=soak $(PY) -m pytest -q tests/writing/test_inverse.py tests/reliability/test_any_bytes.py

soak-cycles: system $(STAMP)  ## open, predict, cancel and close CYCLES (500) times, for CYCLES_SECONDS at most
	sh tools/setup.sh display $(PY) -m tests.reliability.cycles $(CYCLES) $(CYCLES_SECONDS)

fuzz: $(STAMP)  ## fuzz the readers, FUZZ_SECONDS each (needs the extra fuzz)
	sh tools/fuzz.sh $(PY)

lint: $(STAMP)  ## run ruff, import-linter and mypy only
	$(PY) -m ruff check .
	$(PY) .venv/bin/lint-imports
	$(PY) -m mypy

setup: system $(STAMP)  ## only set up: system libraries and .venv

system:
	@sh tools/setup.sh system

# Installs again only when pyproject.toml has changed, or the checkout was moved.
$(STAMP): pyproject.toml
	@PYTHON='$(PYTHON)' sh tools/setup.sh venv

ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

# The training sections are made beside the slide, and are not shipped. About 40 minutes on two cores.
TRAINING := build/synthetic_training
sample-data: $(STAMP)  ## make sample_data/ again: the slide, and the bundle by training
	$(PY) -m napari_mclstexp.training.synthetic sample_data --training $(TRAINING)
	.venv/bin/mclstexp train $(foreach n,1 2 3,$(TRAINING)/synthetic_train_$(n).h5ad) \
	  --out sample_data/demo_bundle --overwrite --epochs 16 --genes 60 --patch-px 64 --top-k 50 \
	  --licence BSD-3-Clause

wheel: $(STAMP)  ## build the wheel into dist/
	rm -rf dist
	$(PY) -m build --wheel

wheelhouse: wheel  ## the wheel and all it needs into wheelhouse/, to install offline
	sh tools/wheelhouse.sh

clean:  ## remove what the targets made, but not .venv
	rm -rf build dist demo_output wheelhouse
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -path ./.venv -prune -o -path ./.git -prune -o -type d -name __pycache__ -exec rm -rf {} +

distclean: clean  ## remove .venv too
	rm -rf .venv
