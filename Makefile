# The two commands of a fresh clone: `make demo` and `make test`. Each installs what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test lint benchmarks clean

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,dev]'
	touch $@

demo: install
	$(BIN)/paretune search experiments/digits.yaml
	$(BIN)/paretune pick experiments/digits.yaml --max-drop 0.01 --minimize latency_ratio
	@echo
	@echo "Review it: $(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db"

test: install
	$(BIN)/python -m pytest -n 2

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv runs mlflow.db mlruns mlartifacts .mypy_cache .ruff_cache .pytest_cache
