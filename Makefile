# Two commands do all: `make demo` and `make test`. Each sets up .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench contract notebooks docs site docs-links dist clean

demo: $(VENV)/ready
	$(BIN)/bitesize demo $(if $(TASK),--task $(TASK))

test: $(VENV)/ready-dev
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist worksteal

# Everything else that must hold: lint, types, layers without circles, docstrings, the shape and the language of the code.
check: $(VENV)/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --quiet tests/test_docstrings.py tests/test_structure.py tests/test_language.py

# The memory contract: all cases under cgroups and rlimits, and one table; see tests/contract.
contract: $(VENV)/ready-dev
	$(BIN)/python -m tests.contract

# Executes the notebooks of examples/ and writes their outputs again; needs the frameworks, in .venv.
notebooks: $(VENV)/ready-dev
	$(BIN)/python -m tests.examples.executing examples/*.ipynb

# Compares loaders, each in a process of its own; sets up an environment with all of them by itself.
bench: .venv-bench/ready
	.venv-bench/bin/python -m bench $(BENCH)

.venv-bench/ready: pyproject.toml bench/requirements.txt bench/requirements-optional.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r bench/requirements-alone.txt
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r bench/requirements-optional.txt || \
		echo "FFCV cannot be built here (see bench/requirements-optional.txt): its lines are skipped"
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

# The wheel and the sdist of a release in dist/: built, checked, and installed outside of this folder; see CONTRIBUTING.md.
dist: .venv-dist/ready
	rm -rf dist build/from-tree
	.venv-dist/bin/python -m build --outdir dist .
	.venv-dist/bin/python -m build --wheel --outdir build/from-tree .
	.venv-dist/bin/twine check --strict dist/*.whl dist/*.tar.gz
	.venv-dist/bin/cffconvert --validate
	.venv-dist/bin/python tests/programs/check_dist.py dist build/from-tree

.venv-dist/ready:
	test -x .venv-dist/bin/python || $(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet --disable-pip-version-check "build>=1.2" "twine>=6.1" "cffconvert>=2.0"
	touch $@

# The documentation as a site, in docs/_build/html: every warning is an error, also of links within it.
site: .venv-docs/ready
	.venv-docs/bin/python -m sphinx -W --keep-going -n -E --quiet -b html docs docs/_build/html

# The site, and every block of code of the documentation runs, as in `make test`.
docs: site $(VENV)/ready-dev
	$(BIN)/python -m pytest --quiet tests/test_docs.py
	@echo "docs/_build/html/index.html"

# Links to other sites, which needs a network.
docs-links: .venv-docs/ready
	.venv-docs/bin/python -m sphinx --quiet -b linkcheck docs docs/_build/links

.venv-docs/ready: pyproject.toml
	test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	touch $@

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[keras]"
	touch $@

$(VENV)/ready-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[keras,dev]"
	touch $@ $(VENV)/ready

clean:
	rm -rf $(VENV) .venv-bench .venv-dist .venv-docs .venv-lowest .venv-mlflow .venv-newest docs/_build docs/reference/api bench/data-cache bench/results build dist bitesize-demo runs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
