# Every target sets up what it needs: `make demo` or `make test` alone is enough on a machine with Python and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help env demo test lint format bench clean

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEMO := demo-output
ZOO := checkpoints_zoo

help:
	@echo "make env     set up .venv (reused while pyproject.toml, constraints.txt and Python stay the same)"
	@echo "make demo    align, merge and compare the checkpoints in $(ZOO)/; results in $(DEMO)/"
	@echo "make test    run the tests (make test ARGS='-m slow' for the slow ones)"
	@echo "make lint    ruff and pyright"
	@echo "make format  let ruff rewrite what it can"
	@echo "make bench   run every script in benchmarks/ (make bench ARGS=--quick for a minute or two)"

# The first line of the stamp says for which Python and folder the environment was made, the second from which inputs.
# The stamp is written last: an interrupted set-up leaves none, and the next one starts from an empty environment.
env:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	    { echo "weightspace needs Python 3.11 to 3.13; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@base="$$($(PYTHON) -c 'import sys; print(sys.version.split()[0], sys.base_prefix)') $(CURDIR)"; \
	inputs="$$(cat pyproject.toml constraints.txt | $(PYTHON) -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')"; \
	stamp="$$(printf '%s\n%s' "$$base" "$$inputs")"; \
	if [ -f $(STAMP) ] && [ -x $(BIN)/python ] && [ "$$(cat $(STAMP))" = "$$stamp" ]; then exit 0; fi; \
	if [ -f $(STAMP) ] && [ -x $(BIN)/python ] && [ "$$(head -n 1 $(STAMP))" = "$$base" ]; then \
	    echo "Updating .venv"; rm -f $(STAMP); \
	else \
	    echo "Setting up .venv (some minutes, several GB with torch)"; rm -f $(STAMP); $(PYTHON) -m venv --clear .venv; \
	fi; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt; \
	printf '%s\n' "$$stamp" > $(STAMP)

# The main job on checkpoints that were trained independently: derive the symmetries, align, merge, show the barrier.
demo: env
	@mkdir -p $(DEMO)
	@for net in mlp cnn; do \
	    a=$(ZOO)/digits_$${net}_0.safetensors; b=$(ZOO)/digits_$${net}_1.safetensors; arch=$(ZOO)/models.py:digits_$${net}; \
	    echo; echo "== $$a and $$b =="; \
	    $(BIN)/wsp spec $$arch --verify --picture $(DEMO)/$${net}_groups.svg; \
	    $(BIN)/wsp diff $$a $$b --arch $$arch -o $(DEMO)/$${net}_diff.png; \
	    $(BIN)/wsp align $$a $$b --arch $$arch -o $(DEMO)/$${net}_1_aligned.safetensors; \
	    $(BIN)/wsp merge $$a $$b --arch $$arch --data $(ZOO)/digits -o $(DEMO)/$${net}_merged.safetensors; \
	    $(BIN)/wsp barrier $$a $$b --arch $$arch --data $(ZOO)/digits -o $(DEMO)/$${net}_barrier.png; \
	done
	@echo; echo "Pictures: $(DEMO)/mlp_barrier.png $(DEMO)/cnn_barrier.png $(DEMO)/mlp_diff.png $(DEMO)/cnn_diff.png $(DEMO)/mlp_groups.svg $(DEMO)/cnn_groups.svg"

# Two processes with one thread each: faster here than one process with two threads.
test: env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(ARGS)

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: env
	@for script in benchmarks/*.py; do \
	    echo "== $$script =="; OMP_NUM_THREADS=1 $(BIN)/python "$$script" $(ARGS); \
	done

clean:
	rm -rf .venv $(DEMO) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
