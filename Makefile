# Everything runs in a virtual environment in .venv; nothing is installed outside the checkout.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# What pip is given for torch, which only the tests of Hugging Face models need. Without CUDA's gigabytes:
# make test TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
TORCH  ?= torch==2.13.0
BUILD  := setup.py pyproject.toml qeil_ros/_kernels.pyx $(wildcard qeil_ros/csrc/*.*)

.DEFAULT_GOAL := help
.PHONY: help demo test lint check bench fuzz wheel clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.installed ## Install, then play the shipped recording through the whole graph
	$(BIN)/qeil demo

test: lint check ## Install the test tools, then run the linters and every test

lint: $(VENV)/.installed-dev ## ruff, mypy and the import contract
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# What needs no graph of processes runs beside what does: nearly half the time on two cores.
GRAPHS = test/test_bench_failover.py test/test_bench_impair.py test/test_bench_impair_kernel.py \
         test/test_docs.py test/test_package.py
APART = test/cli test/codec test/models test/planning test/platform test/safety \
        $(filter-out $(GRAPHS),$(wildcard test/test_*.py))
REST = $(addprefix --ignore=,$(APART))

check: $(VENV)/.installed-dev ## The tests alone; make check ARGS="test/codec -x" for some of them
ifneq ($(ARGS),)
	$(BIN)/python -m pytest $(ARGS)
else
	@mkdir -p build; \
	$(BIN)/python -m pytest -q $(APART) > build/test-apart.log 2>&1 & apart=$$!; \
	status=0; $(BIN)/python -m pytest $(REST) || status=$$?; \
	wait $$apart || status=$$?; \
	echo "side by side with these:"; cat build/test-apart.log; exit $$status
endif

bench: $(VENV)/.installed-dev ## Run every benchmark in full and record the results in bench/results
	$(BIN)/python -m bench

fuzz: $(VENV)/.installed-dev ## Hostile input under AddressSanitizer; make fuzz ARGS="stream --inputs 10000000"
	$(BIN)/python -m tools.fuzz $(ARGS)

wheel: $(VENV)/.installed-dev ## Build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## Remove what was built, the virtual environment too
	rm -rf $(VENV) build dist *.egg-info qeil_ros/_kernels.c qeil_ros/_kernels*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "qeil_ros needs Python 3.10 or newer, $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Python's venv module is missing. Debian, Ubuntu: sudo apt install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.installed: $(BIN)/python $(BUILD)
	@echo "Installing into $(VENV) (about a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python $(BUILD)
	@echo "Installing the test tools into $(VENV), torch among them (some minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,torch]'
	@touch $@ $(VENV)/.installed
