# One command each; every target sets up what it needs. Paths are relative, so that a folder with spaces in its name will do.
#
#   make demo    the example notebook, headless, with each cell's output as it comes
#   make test    the whole suite            PYTEST="-k words -x" passes options on, JOBS=0 runs it in one process
#   make transparency   the promise in full: whole corpus, 10,000 generated programs, all planted faults, shipped notebooks
#   make lint    ruff                       make types   mypy --strict
#   make bench   the figures of README.md   make lab     JupyterLab in examples/
#   make js      the JupyterLab extension's types, style and tests; takes Node 20 or newer
#   make clean   all that the above have made

PYTHON ?= python3
VENV ?= .venv
PYTEST ?=
LAB ?=
# Tests wait more than they compute; files are dealt out whole, since their tests share notebooks and servers.
JOBS ?= 2

BIN := $(VENV)/bin
stamp = $(VENV)/.farcell-$(1)

# What the JupyterLab extension is built from: installing builds it.
EXTENSION := $(shell find labextension/src labextension/style labextension/schema -type f) \
	labextension/package.json labextension/yarn.lock labextension/rspack.config.js

.PHONY: demo test transparency lint types js bench lab clean
.DELETE_ON_ERROR:

demo: $(call stamp,demo)
	$(BIN)/python examples/run_notebook.py examples/first_light.ipynb

# Chromium is for tests/browser; who is not root is told there how to install it.
test: $(call stamp,test)
	@[ "$$(id -u)" != 0 ] || tools/need.sh "command -v chromium" chromium
	$(BIN)/python -m pytest -n $(JOBS) $(PYTEST)

transparency: $(call stamp,transparency)
	FARCELL_TRANSPARENCY=full $(BIN)/python -m pytest tests/transparency $(PYTEST)

lint: $(call stamp,dev)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(call stamp,dev)
	$(BIN)/mypy

js: $(call stamp,dev)
	cd labextension/checks && PATH="$(abspath $(BIN)):$$PATH" && export PATH && \
		jlpm install --immutable && jlpm types && jlpm lint && jlpm test

bench: $(call stamp,bench)
	$(BIN)/python benchmarks/run.py $(BENCH)

# Opens an example beside the sidebar of remote cells, whatever was open here before.
lab: $(call stamp,dev)
	JUPYTERLAB_WORKSPACES_DIR="$(abspath $(VENV))/workspaces" $(BIN)/jupyter lab workspaces import tools/examples.jupyterlab-workspace
	JUPYTERLAB_WORKSPACES_DIR="$(abspath $(VENV))/workspaces" $(BIN)/jupyter lab --notebook-dir=examples $(LAB)

clean:
	rm -rf jupyter_ext/farcell/labextension labextension/node_modules labextension/checks/node_modules
	rm -rf $(VENV) .venvs/python* build dist tests/browser/.artefacts .pytest_cache .mypy_cache .ruff_cache .hypothesis benchmarks/results

# Made anew only when what is to be installed has changed.
$(VENV)/.farcell-%: pyproject.toml tools/environment.py tools/labextension.py $(EXTENSION)
	$(PYTHON) tools/environment.py --python "$(or $(VERSION),any)" $(if $(CONSTRAINT),--constraint "$(CONSTRAINT)") $(VENV) $*
	@touch $@
