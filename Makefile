# Everything sets itself up: `make demo` and `make test` need Python 3.11 or later and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help install demo test lint bench clean
help:            ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 12

install: $(READY) ## Install Leanboard and its development tools into .venv

# One install shared by all targets; made again only when what it depends on changes.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Leanboard needs Python 3.11 or later, set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[demo,onnx]' --group dev
	touch $(READY)

demo: $(READY)   ## Run sweeps/demo.yaml on real pretrained weights to a leaderboard
	$(BIN)/leanboard run sweeps/demo.yaml

test: lint       ## Lint, type check, import check, and all tests
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder tests/faults tests/integration tests/unit

lint: $(READY)   ## ruff, mypy and the import-direction check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(READY)  ## Print the speed ratios of docs/performance.md (set LEANBOARD_GLUE and LEANBOARD_CORPUS)
	$(BIN)/python -m tests.bench

clean:           ## Remove everything that was made, .venv and runs included
	rm -rf $(VENV) runs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
