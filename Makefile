# Every target makes the virtual environment itself, once; `make help` lists the targets.

# The Python of the environment; empty: python3 where it is 3.9 to 3.12, else python3.12 … python3.9.
PYTHON ?=
VENV ?= .venv
# The device of the image: cpu or gpu.
DEVICE ?= cpu
# The image that the image is made from; a release names one by its digest.
BASE ?= debian:bookworm-slim
# How long `make fuzz` runs, and what decides its inputs.
SECONDS ?= 120
SEED ?= 1
# Where `make wheel` puts what it builds.
DIST ?= dist
# Processes that share the tests out by files; 0: none besides pytest's own, as a debugger needs it.
JOBS ?= 2
# More options for pytest, for example ARGS='-k early_stopping -x'.
ARGS ?=

C_FILES := $(wildcard object2vec/compiled/src/*.[ch] tests/sanitized/*.c)
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
VERSION_OF := -c 'import sys; print(sys.version_info[:2])' 2>&1

# Tests start hundreds of processes, each of which would otherwise compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

USUAL := not full and not image and not install

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-fast test-operators test-full test-install wheel sanitize fuzz soak image \
    test-image docs lock lint types format clean FORCE

help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## The virtual environment .venv, with the package, its serving parts and test tools

demo: $(STAMP) ## Train on MovieLens 100K and show the result (with the setup under three minutes)
	$(BIN)/object2vec demo

test: lint types ## Lint, types and all tests of the usual tier
	$(PYTEST) $(ARGS)

test-fast: $(STAMP) ## The tests that are not marked slow (under two minutes)
	$(PYTEST) -m "not slow and $(USUAL)" $(ARGS)

test-operators: export OBJECT2VEC_COMPILED = 0
test-operators: $(STAMP) ## These, and slow ones that compute, by MXNet's operators alone, without the compiled part
	$(PYTEST) -m "(not slow or both_ways) and $(USUAL)" $(ARGS)

test-full: lint types ## Everything but the container images: the long grids too
	$(PYTEST) -m "not image and not install" $(ARGS)

test-install: $(STAMP) ## The wheel and the sdist, installed and used with each Python at hand
	$(PYTEST) -m install tests/test_install.py $(ARGS)

wheel: $(STAMP) ## The wheel for this platform and every Python, and the sdist, in DIST=dist
	requirements/wheel.sh $(BIN)/python $(DIST)

sanitize: $(STAMP) ## The C part under AddressSanitizer and UndefinedBehaviorSanitizer (one minute)
	PYTHON=$(BIN)/python .ci/sanitize $(ARGS)

fuzz: $(STAMP) ## Wrong input of every kind, with a fixed seed, for SECONDS=120
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS) --seed $(SEED) $(ARGS)

soak: $(STAMP) ## 100,000 requests to a server whose workers are killed, each answer checked
	$(BIN)/python -m tests.soak $(ARGS)

image: ## The container image object2vec; DEVICE=gpu makes object2vec:gpu
	DOCKER_BUILDKIT=1 docker build -f container/Dockerfile \
	    --build-arg DEVICE=$(DEVICE) --build-arg BASE=$(BASE) \
	    -t object2vec$(if $(filter gpu,$(DEVICE)),:gpu) .

test-image: $(STAMP) ## Build the image and drive it with a Docker engine (under eight minutes)
	.ci/image

# Not with --quiet: warnings that are not shown do not count as errors.
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(DOCS_STAMP) ## The site of docs/, its links checked, in site/ (half a minute)
	$(BIN)/mkdocs build --strict
	@echo "The site is in site/. With its search: $(BIN)/python -m http.server --directory site"

lock: ## The hashes of all that the image takes from PyPI, written anew
	requirements/lock.sh

lint: $(STAMP) ## Style and layout of the code (ruff, clang-format)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)

types: $(STAMP) ## Types (mypy)
	$(BIN)/mypy

format: $(STAMP) ## Put the code into its layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_FILES)

clean: ## Remove the environment and everything that was generated
	rm -rf $(VENV) build dist site *.egg-info object2vec/compiled/*.so .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A PYTHON= that differs from the one in the environment asks for a new environment.
ifneq ($(PYTHON),)
ifneq ($(shell $(PYTHON) $(VERSION_OF)),$(shell $(BIN)/python $(VERSION_OF)))
$(STAMP): FORCE
endif
endif

$(STAMP): setup.py object2vec/version.py $(wildcard object2vec/compiled/src/*.[ch] requirements/venv.sh)
	requirements/venv.sh $(VENV) $(PYTHON)
	@touch $(STAMP)

# The package is there, so that pip adds what the extra names and builds nothing.
$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile 'object2vec[docs]'
	@touch $(DOCS_STAMP)
