# Every target sets up what it needs: a virtual environment in .venv with the versions of constraints.txt.

SHELL := /bin/bash
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$name; break; }; done)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.henasy-ready
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# The oldest that is supported: its stubs run with every later grpcio and protobuf.
STUBS_TOOLS := grpcio-tools==1.80.0
STUBS ?= protos/generated

.PHONY: setup demo test lint types stubs gpu-check

setup: $(READY)

# torch first: from its own index, where the build without CUDA is. On a machine with CUDA:
#   make setup TORCH_INDEX=https://pypi.org/simple
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "henasy needs Python 3.11 or newer; set PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt --extra-index-url $(TORCH_INDEX) torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[cpu,chat,egovlp,train,lora,dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# In an environment of its own: this generator refuses the protobuf of constraints.txt.
stubs:
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" && \
	"$$folder/bin/python" -m pip install --quiet --disable-pip-version-check $(STUBS_TOOLS) && \
	"$$folder/bin/python" protos/generate.py "$(STUBS)"

gpu-check: $(READY)
	$(BIN)/python benchmarks/gpu_check.py
