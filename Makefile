# `make up` and `make test` need Python 3.11, a PyPI client and nothing else: no root, no Docker, no server.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: up down test check lint bench lock proto
up: $(VENV)/.runtime
	$(BIN)/tandem up

down:
	$(BIN)/tandem down

test: $(VENV)/.dev
	$(BIN)/pytest

check: lint test

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev
	$(BIN)/python -m bench

lock:
	echo uv==0.13.9 | uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate - -o requirements-uv.lock
	uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.lock
	uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

proto: $(VENV)/.dev
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. serving/proto/*.proto

# uv installs the locked set in seconds where pip takes minutes; it comes as a wheel, by hash like the rest.
$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-uv.lock

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install -q --require-hashes -r requirements.lock
	$(BIN)/uv pip install -q --no-deps -e .
	touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install -q --require-hashes -r requirements-dev.lock
	$(BIN)/uv pip install -q --no-deps -e .
	touch $@ $(VENV)/.runtime
