# On a fresh machine with Python 3.11, 3.12 or 3.13 and make: `make demo`. Every step is done once; nothing is repeated.

ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done)
endif
BIN := .venv/bin
LISTS := infra/requirements
INSTALLED := .venv/.installed

.PHONY: demo test faults check install lock audit-dependencies clean

demo: install  ## starts everything, talks to the model, and shows that it learned
	@$(BIN)/nextstate demo

check: test

test: install  ## what CI runs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -m "not long" --numprocesses 2 --dist loadfile --no-loadscope-reorder

faults: install  ## kills, outages, poison: hours, in parts that resume
	@$(BIN)/nextstate faults

install: $(INSTALLED)

$(INSTALLED): $(BIN)/uv $(LISTS)/laptop.txt pyproject.toml
	@echo "Installing the packages (5.6 GB, most of it PyTorch: some minutes on a first run)"
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --no-deps --compile-bytecode \
	  -r $(LISTS)/laptop.txt
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --quiet -e .
	@touch $@

$(BIN)/uv: $(LISTS)/uv.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || { \
	  echo "nextstate needs Python 3.11, 3.12 or 3.13: install one, or name it with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) has no ensurepip: install its venv package (Debian and Ubuntu: python3-venv)" >&2; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LISTS)/uv.txt
	@touch $@

lock: $(BIN)/uv  ## solves runtime.in again, for every platform, into laptop.txt
	cd $(LISTS) && ../../$(BIN)/uv pip compile runtime.in --override overrides.txt --python-version 3.11 --universal \
	  --generate-hashes --no-header --no-annotate --quiet -o laptop.txt

audit-dependencies: $(BIN)/uv  ## asks PyPI's advisories about every pinned package; fails where it gets no answer, too
	$(BIN)/uv tool run pip-audit==2.10.1 --strict --disable-pip --require-hashes --requirement $(LISTS)/laptop.txt

clean:  ## keeps .nextstate: it holds your log and checkpoints
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
