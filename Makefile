# make demo, make test, make lint: each does its own set-up on a clean Debian machine. make clean removes what they made.
.PHONY: demo test lint ruff mypy import-linter clean tools
.DEFAULT_GOAL := demo

PYTHON ?= $(shell for p in python3.11 python3.12 python3; do $$p -c '' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
INSTALLED := $(VENV)/.installed
DEBIAN := gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
# what pyproject.toml's package-dir maps into nnc_tvm; the checkers read it from one tree, as an installation has it
OUTER := schedules targets relay_passes tuning_logs
TREE := build/tree

demo: $(INSTALLED) tools
	@$(VENV)/bin/python examples/digits/demo.py

test: $(INSTALLED) tools
	@echo "running the tests"
	@$(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile

lint: ruff mypy import-linter

ruff: $(INSTALLED)
	@echo "ruff: style"
	@$(VENV)/bin/ruff check --quiet --output-format concise .

mypy: $(TREE)
	@echo "mypy: types"
	@cd $(TREE) && ../../$(VENV)/bin/mypy --config-file ../../pyproject.toml --no-error-summary -p nnc_tvm

import-linter: $(TREE)
	@echo "import-linter: the direction of imports"
	@cd $(TREE) && ../../$(VENV)/bin/lint-imports ../../pyproject.toml --no-cache --no-logo

.PHONY: $(TREE)
$(TREE): $(INSTALLED)
	@rm -rf $@ && mkdir -p $@ && cp -rs $(CURDIR)/nnc_tvm $@/ && cp -rs $(addprefix $(CURDIR)/,$(OUTER)) $@/nnc_tvm/

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "nnc-tvm needs Python 3.11 or 3.12; please install: python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 11) <= v < (3, 13) or sys.exit(f"nnc-tvm needs Python 3.11 or 3.12; $(PYTHON) is {v.major}.{v.minor}: name another by PYTHON=")'
	@$(PYTHON) -c 'import ensurepip' 2> /dev/null || $(call install,python3-venv)
	@echo "installing nnc-tvm into $(VENV) (a few minutes the first time)"
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

tools:
	@{ command -v gcc && command -v aarch64-linux-gnu-gcc && command -v qemu-aarch64 && test -e /usr/aarch64-linux-gnu/include/stdio.h; } > /dev/null \
	  || $(call install,$(DEBIAN))

# Debian packages: installed as root, named otherwise
install = { test "$$(id -u)" = 0 && command -v apt-get > /dev/null || { echo "please install: $(1)" >&2; exit 1; }; \
  echo "installing $(1)"; apt-get update -qq && DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get install -y -qq --no-install-recommends $(1) > /dev/null; }

clean:
	@rm -rf $(VENV) build packages .pytest_cache .mypy_cache .ruff_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
