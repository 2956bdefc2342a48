# From nothing but make and Python >= 3.11: `make lab` opens the book, `make test` runs every check.
#   PYTHON=python3.12   the interpreter for a new environment (default: the first that fits)
#   VENV=.venv          where the environment lives (a path without spaces)
#   PORT=8888           the port of JupyterLab (default: a free one)
#   PLATFORMS="python-3.13 no-home"   what `make platforms` looks at (default: all)
#   PEERS=1             `make benchmark` installs other tools into .venv-peers and asks them too (WRITE=1: data/peers.csv)

VENV := .venv
JOBS := 2
PYTEST_ARGS :=
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help lab test check format figures scores mutants prove-red measure benchmark platforms lock clean

# What `make check` runs, and `make test` before its tests; lines of one shell that set status.
CHECK = status=0; \
	$(RUN) -m ruff check --quiet . || status=1; \
	$(RUN) -m ruff format --quiet --check . || { echo 'ruff: run `make format`'; status=1; }; \
	$(RUN) -m codespell_lib . || status=1; \
	$(RUN) tools/notebooks.py --check || status=1;

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

lab: $(READY) ## open the book in JupyterLab (PORT=8888 to choose the port)
	@$(RUN) tools/lab.py $(if $(PORT),--port $(PORT))

test: $(READY) ## run everything: style, tests, doctests, all notebooks, the browser
	@$(CHECK) \
	$(RUN) -m pytest -n $(JOBS) --dist loadfile --nbval --nbval-current-env --nbval-cell-timeout=600 \
	    --nbval-sanitize-with tests/nbval_sanitize.cfg tests bottlenecks notebooks $(PYTEST_ARGS) || exit 1; \
	if [ $$status = 1 ]; then echo 'make test: the tests passed, but `make check` found the faults above' >&2; exit 1; fi

check: $(READY) ## look at style, spelling and the notebooks' stored form
	@$(CHECK) exit $$status

format: $(READY) ## bring code and notebooks into the house's form
	@$(RUN) -m ruff check --quiet --fix .; $(RUN) -m ruff format --quiet . && $(RUN) tools/notebooks.py

figures: $(READY) ## draw every figure and its table into figures/
	@$(RUN) -m bottlenecks figures

scores: $(READY) ## predict the whole corpus again: the errors that every page prints (two minutes)
	@$(RUN) tools/scores.py

mutants: $(READY) ## which small faults in laws and models the tests would notice (MODULES='models.ops ...'; half an hour)
	@$(RUN) tools/mutants.py $(MODULES)

prove-red: $(READY) ## plant two wrong formulas in a copy: do tests by hand and budgets notice? (two minutes)
	@$(RUN) tools/mutants.py --prove-red

measure: $(READY) ## measure this machine, for the pages that compare it with the book's
	@$(RUN) -m bottlenecks measure

benchmark: $(READY) ## time sliders and imports, as ratios within one run (PEERS=1: and other tools)
	@$(RUN) tools/benchmark.py
	@$(if $(PEERS),$(RUN) tools/peers.py $(if $(WRITE),--write))

platforms: $(READY) ## a fast part of the tests on other Pythons, oldest packages, bare and odd machines
	@$(RUN) tools/platforms.py $(PLATFORMS)

lock: $(READY) ## solve requirements.lock again (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --extra cluster \
	    --group pyproject.toml:build --group pyproject.toml:test --generate-hashes \
	    --no-header --no-annotate pyproject.toml -o requirements.lock

clean: ## remove the environment and every cache
	rm -rf .venv .venv-* build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} + -o -name .ipynb_checkpoints -prune -exec rm -rf {} +

# An interrupted installation is simply done again, and two at once take turns.
$(READY): requirements.lock pyproject.toml
	@old=''; bare=''; python=''; \
	for p in $(if $(PYTHON),'$(PYTHON)',python3.13 python3.12 python3.11 python3); do \
	    "$$p" -c '' >/dev/null 2>&1 || continue; \
	    "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || { old=$$p; continue; }; \
	    "$$p" -c 'import ensurepip, venv' >/dev/null 2>&1 || { bare=$$p; continue; }; \
	    python=$$p; break; \
	done; \
	if [ -z "$$python" ]; then \
	    if [ -n "$$bare" ]; then echo "make: $$bare lacks the venv module (Debian, Ubuntu: install python3-venv)"; \
	    elif [ -n "$$old" ]; then echo "make: $$old is too old: Python 3.11 or later is needed (PYTHON=... names one)"; \
	    else echo "make: $(if $(PYTHON),$(PYTHON) does not run,no Python found): Python 3.11 or later is needed"; fi >&2; \
	    exit 1; \
	fi; \
	"$$python" tools/install.py $(VENV)
