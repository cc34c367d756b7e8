# One word for each wish. What they do lies in Python; here is only the order.
.PHONY: demo test check bench servers reliability install clean

python = .venv/bin/python
pip = .venv/bin/pip --quiet --disable-pip-version-check

demo: .venv/base
	@.venv/bin/otel-workflow demo

test: check
	$(python) -m tests.servers ensure-jaeger
	$(python) -m pytest

check: install
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy --strict otel_workflow
	.venv/bin/lint-imports
	@# pyright looks for packages where the first python on PATH does.
	PATH="$(CURDIR)/.venv/bin:$$PATH" $(python) -m tests.architecture.type_completeness

bench: install
	$(python) -m benchmarks

# Jaeger, Prometheus and the Collector from source, about ten minutes once, then cached.
servers: install
	$(python) -m tests.servers build

# The tests that docs/reliability.md names, the slow ones too (some ten minutes), and the page from how they ended.
reliability: install
	-$(python) -m tests.reliability --names | OW_TEST_SLOW=1 OW_TEST_512_MIB=1 xargs $(python) -m pytest -q --results .reliability.json
	$(python) -m tests.reliability .reliability.json

install: .venv/dev

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: a second call finds them and does nothing.
.venv/base: requirements/base.txt pyproject.toml
	@echo "making .venv (once)"
	@for python in python3 python3.14 python3.13 python3.12 python3.11 none; do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; done; \
	 test "$$python" != none || { echo "no Python 3.11 or newer on PATH; install one" >&2; exit 1; }; \
	 "$$python" -m venv .venv
	@$(pip) install --require-hashes -r requirements/base.txt
	@$(pip) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: requirements/dev.txt .venv/base
	@$(pip) install --require-hashes -r requirements/dev.txt
	@touch $@
