# Every chore of this project. `make` alone lists them.
# All of them run in .venv, which is made on first need and remade when it has to be.

# Set these on make's own command line: make demo ARGS=--no-serve PYTHON=python3.12
ARGS =
PYTHON =
UV = uv

VENV := .venv
RUN := $(VENV)/bin
READY := $(VENV)/.ready

# A finished set-up ends by writing its folder into READY. So an interrupted one, a checkout
# that was moved and a Python that went away are all found out, and done again from nothing.
INTACT = [ -x $(RUN)/python ] && [ "$$(cat $(READY) 2>/dev/null)" = "$(CURDIR)" ]

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak check lock

help: ## list these chores
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | \
	while IFS='|' read -r name meaning; do printf '  make %-6s  %s\n' "$$name" "$$meaning"; done

setup: $(READY) ## make .venv with everything that the chores below need

demo: $(READY) ## a real shop's year, from import to a sent campaign and a page (ARGS=--no-serve: no page)
	$(RUN)/guesslike demo $(ARGS)

test: $(READY) ## every test but the soaks, quick ones first
	@command -v redis-server >/dev/null || echo "Redis is not installed: its tests are skipped. To run them: apt install redis-server"
	@command -v chromium >/dev/null || echo "Chromium is not installed: the shop page's tests are skipped. To run them: apt install chromium"
	$(RUN)/python -m pytest -r fEs $(ARGS)

soak: $(READY) ## the long proofs: kills, races, fuzzing
	$(RUN)/python -m pytest -r fEs -m soak $(ARGS)

check: $(READY) ## lint, format, types, who imports whom, docs against code
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/python -m pytest tests/test_imports.py tests/test_docs.py

lock: ## choose versions anew within pyproject.toml's ranges (needs uv; ARGS=--upgrade)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv, or name it with UV=/path/to/uv" >&2; exit 2; }
	$(UV) pip compile pyproject.toml --extra dev --output-file requirements.lock --python-version 3.11 \
		--universal --generate-hashes --no-emit-index-url --no-header --quiet $(ARGS)

define FIND_PYTHON
found=; bare=; tried="$(or $(PYTHON),python3 python3.13 python3.12 python3.11)"; \
for python in $$tried; do \
  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
  "$$python" -c 'import ensurepip, venv' 2>/dev/null && { found=$$python; break; }; \
  bare=$$python; \
done; \
if [ -z "$$found" ] && [ -n "$$bare" ]; then \
  echo "$$bare cannot make environments. On Debian or Ubuntu: apt install python3-venv; or name another with PYTHON=" >&2; exit 2; \
elif [ -z "$$found" ]; then \
  echo "Python 3.11 or newer is needed; tried $$tried. Install it, or name it with PYTHON=/path/to/python" >&2; exit 2; \
fi
endef

ifneq ($(shell $(INTACT) && echo yes),yes)
.PHONY: $(READY)
endif

$(READY): requirements.lock pyproject.toml
	@$(INTACT) || { $(FIND_PYTHON); \
	  echo "Set-up: an environment of its own in $(VENV), with $$("$$found" --version)"; \
	  "$$found" -m venv --clear $(VENV); }
	@rm -f $(READY)
	@echo "Set-up: the packages of requirements.lock, each checked against its hash (about 400 MB)"
	@$(RUN)/python -m pip install --disable-pip-version-check --require-hashes --requirement requirements.lock
	@echo "Set-up: Guesslike itself"
	@$(RUN)/python -m pip install --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@$(RUN)/python -m pip check --disable-pip-version-check
	@$(RUN)/python -c "import implicit, lightgbm" || { \
	  echo "A library of the system is missing; for OpenMP, on Debian or Ubuntu: apt install libgomp1" >&2; exit 2; }
	@echo "$(CURDIR)" > $(READY)
