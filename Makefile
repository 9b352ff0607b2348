# make train | test | lint | docs | images | bench | results: each makes the environment it needs, once.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: train test lint docs images bench results clean
CONFIGS := $(notdir $(basename $(wildcard configs/*.flags)))
SEEDS := 0 1 2

train: $(VENV)/.installed
	$(BIN)/python train.py --model=cnn $(ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# the site of docs/, with the API reference from the docstrings, into site/
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# the pictures of the README and of docs/, from the shipped weights, the results and commands
images: $(VENV)/.installed
	cp zoo/weights/cnn_mnist/curves.png zoo/weights/cnn_mnist/confusion.png results/results.png docs/images/
	$(BIN)/python -m benchmarks.explanations --out=docs/images

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.compare --out=benchmarks $(ARGS)

# every recipe of configs/ with three seeds: what is finished is not trained again. The log of the
# runs is kept; LiteRT has no int8 for the loops of an LSTM
results: $(VENV)/.installed-test
	for seed in $(SEEDS); do for config in $(CONFIGS); do \
	  case $$config in lstm_*) int8=;; *) int8=,litert_int8;; esac; \
	  $(BIN)/python train.py --flagfile=configs/$$config.flags --seed=$$seed \
	    --run_dir=runs/$$config-$$seed --export_formats=saved_model,litert,onnx$$int8 \
	    $(ARGS) || exit; \
	  mkdir -p results/runs/$$config-$$seed && \
	  cp runs/$$config-$$seed/metrics.json results/runs/$$config-$$seed/ || exit; done; done
	$(BIN)/zoo results --update --out=results results/runs/*

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "TensorFlow 2.21 needs Python 3.10 to 3.13, but $(PYTHON) is $$($(PYTHON) -V 2>&1 || echo not there): give another, as in 'make $(MAKECMDGOALS) PYTHON=python3.12'" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --upgrade pip

$(VENV)/.installed: setup.cfg | $(BIN)/python
	@echo "installing into $(VENV), once: about a minute and 3 GB"
	@$(BIN)/python -m pip install -qq --editable .
	@touch $@

$(VENV)/.installed-test: setup.cfg | $(BIN)/python
	@echo "installing into $(VENV), once: about a minute and 3 GB"
	@$(BIN)/python -m pip install -qq --editable '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: setup.cfg | $(BIN)/python
	@echo "installing into $(VENV), once: about a minute and 3 GB"
	@$(BIN)/python -m pip install -qq --editable '.[docs]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: setup.cfg | $(BIN)/python
	@echo "installing into $(VENV), once: about a minute and 4 GB"
	@$(BIN)/python -m pip install -qq --editable '.[bench]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) *.egg-info site
