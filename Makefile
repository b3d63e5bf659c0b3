# DRET. `make devnet` runs a local network on real data; `make test` checks everything.
# Nothing is installed outside .venv and .cache; no compiler and no system Node are needed.

SHELL := /bin/sh
.DELETE_ON_ERROR:
.PHONY: setup devnet test lint unit-live unit-validators unit-faults unit-clients unit-consensus unit-fast nojit soak-consensus soak-crash drill-recovery soak-rounds soak-auction soak-rpc soak chaos fuzz bench bench-peers lock clean setup-test setup-clients

# The first Python 3.11 or 3.12 that really starts (a shim of another version does not).
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --no-input
INSTALL := $(PIP) install --require-hashes --no-deps --no-build-isolation

export NUMBA_CACHE_DIR ?= $(CURDIR)/.cache/numba
export PYTHONHASHSEED ?= 0

setup: $(VENV)/.kernels

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; on Debian: apt install python3 python3-venv make"; exit 1; }
	@echo "setup: virtual environment with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment; on Debian: apt install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.build: requirements/build.txt $(VENV)/.python
	@$(PIP) install --require-hashes --no-deps -r requirements/build.txt
	@touch $@

$(VENV)/.setup: requirements/runtime.txt pyproject.toml $(VENV)/.build
	@echo "setup: dependencies of the node (hashed lock; about a minute)"
	@$(INSTALL) -r requirements/runtime.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# Again whenever a kernel changes: in a node it would take memory for good, and in each node anew.
$(VENV)/.kernels: $(wildcard runtime/kernels/*.py) $(VENV)/.setup
	@echo "setup: compiling the kernels once"
	@$(BIN)/python -m runtime.kernels
	@touch $@

setup-test: $(VENV)/.test $(VENV)/.kernels

$(VENV)/.test: requirements/test.txt $(VENV)/.setup
	@echo "setup: dependencies of the tests"
	@$(INSTALL) -r requirements/test.txt
	@# libp2p needs trio-typing, which brings stubs of an old trio; they would hide trio's own types.
	@rm -rf $(VENV)/lib/python3.*/site-packages/trio-stubs
	@touch $@

# JavaScript clients that the tests run; Node itself comes with pyright, from the lock of the tests.
# Beside them, in an environment of its own, a Python client that collides with another one.
setup-clients: tests/clients/node_modules/.installed $(VENV)-cyscale/.installed

tests/clients/node_modules/.installed: tests/clients/package-lock.json | $(VENV)/.test
	@echo "setup: JavaScript clients of the tests"
	@$(BIN)/python -m tests.clients install

$(VENV)-cyscale/.installed: requirements/cyscale.txt | $(VENV)/.python
	@echo "setup: async-substrate-interface and cyscale"
	@$(BIN)/python -m venv --clear $(VENV)-cyscale
	@$(VENV)-cyscale/bin/python -m pip --disable-pip-version-check --quiet --no-input \
		install --require-hashes --no-deps --only-binary :all: -r requirements/cyscale.txt
	@touch $@

devnet: setup
	@$(BIN)/dret devnet up $(ARGS)

# What starts networks and real clients mostly waits for slots: it runs beside all that computes, which
# yields to it. Each part prints when it is done.
test:
	@$(MAKE) --no-print-directory -j 3 setup-test setup-clients
	@$(MAKE) --no-print-directory -j 8 --output-sync=target \
		unit-live unit-validators unit-faults unit-clients unit-consensus unit-fast lint nojit

lint: setup-test
	nice -n 10 $(BIN)/ruff format --check .
	nice -n 10 $(BIN)/ruff check .
	nice -n 10 $(BIN)/lint-imports
	nice -n 10 $(BIN)/codespell
	nice -n 10 $(BIN)/mypy
	nice -n 10 $(BIN)/mypy --config-file tests/mypy.ini tests
	nice -n 10 $(BIN)/pyright

# Nodes and networks of their own, beside the devnet that the other live tests share.
VALIDATORS := $(addprefix tests/live/test_,governance.py random_crashes.py rpc_limits.py node.py)
FAULTS := $(addprefix tests/live/test_,chaos.py remote_signer.py)
COMMANDS := $(addprefix tests/live/test_,supervision.py command_line.py)

unit-live: setup-test
	$(BIN)/python -m pytest tests/live $(patsubst %,--ignore=%,$(VALIDATORS) $(FAULTS) $(COMMANDS))

unit-validators: setup-test
	$(BIN)/python -m pytest $(VALIDATORS)

unit-faults: setup-test
	$(BIN)/python -m pytest $(FAULTS)

unit-clients: setup-test setup-clients
	$(BIN)/python -m pytest tests/clients $(COMMANDS)

# The two that compute: one for each core.
CONSENSUS := $(addprefix tests/,consensus simulation p2p node)

unit-consensus: setup-test
	nice -n 10 $(BIN)/python -m pytest $(CONSENSUS)

unit-fast: setup-test
	nice -n 10 $(BIN)/python -m pytest --ignore=tests/live --ignore=tests/clients $(CONSENSUS:%=--ignore=%)

# The runtime again as plain Python: what the kernels compute must not depend on their compilation. Then
# the decoders of foreign bytes, for a moment.
nojit: setup-test
	NUMBA_DISABLE_JIT=1 DRET_EXAMPLES=few nice -n 10 $(BIN)/python -m pytest tests/runtime
	nice -n 10 $(BIN)/python -m tests.fuzz --seconds 20 --jobs 1

# Many seeds of the simulator; goes on where it was interrupted. SIMULATED: virtual seconds of each seed.
SEEDS ?= 100
JOBS ?= 2
SIMULATED ?= 900
soak-consensus: setup-test
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --jobs $(JOBS) --seconds $(SIMULATED)

# Validators of a loaded network are killed at random moments; a witness hears their votes.
CRASHES ?= 200
soak-crash: setup-test
	$(BIN)/python -m tests.live.crash_soak --rounds $(CRASHES)

# Seven validators of which three are lost for ever: the runbook of docs/consensus.md, on real processes.
drill-recovery: setup-test
	$(BIN)/python -m tests.live.recovery_drill $(ARGS)

# Random sets of votes: the accounting of a GRANDPA round against its definitions.
VOTE_SETS ?= 200000
soak-rounds: setup-test
	DRET_VOTE_SETS=$(VOTE_SETS) $(BIN)/python -m pytest tests/consensus/grandpa/test_round.py

# Random instances of the auction against its twin, the linear program and all its promises.
CASES ?= 20000
soak-auction: setup-test
	$(BIN)/python -m tests.runtime.kernels.soak --cases $(CASES) --jobs $(JOBS)

# Hostile RPC clients: one never reads, one sends garbage, one opens and closes, one dribbles.
SOAK_SECONDS ?= 600
soak-rpc: setup-test
	$(BIN)/python -m tests.live.rpc_soak --seconds $(SOAK_SECONDS)

# Half an hour of a loaded devnet: memory, handles and finality have to stay flat.
SOAK_MINUTES ?= 30
soak: setup-test
	$(BIN)/python -m tests.live.soak --minutes $(SOAK_MINUTES)

# Validators in network namespaces of their own, on small disks, with wrong clocks.
chaos: setup-test
	$(BIN)/python -m tests.live.chaos $(ARGS)

# A million inputs for each decoder of foreign bytes.
fuzz: setup-test
	$(BIN)/python -m tests.fuzz $(ARGS)

bench: setup-test
	$(BIN)/python -m tests.bench

# Beside other markets' clearing, which has an environment of its own.
bench-peers: setup-test $(VENV)-peers/.installed
	$(BIN)/python -m tests.bench.peers $(VENV)-peers/bin/python

$(VENV)-peers/.installed: requirements/peers.txt | $(VENV)/.python
	@echo "setup: pymarket and assume-framework (hashed lock)"
	@$(BIN)/python -m venv --clear $(VENV)-peers
	@for name in build peers; do \
		$(VENV)-peers/bin/python -m pip --disable-pip-version-check --quiet --no-input install \
			--require-hashes --no-deps --no-build-isolation -r requirements/$$name.txt || exit 1; done
	@touch $@

lock: setup-test
	for name in build runtime test cyscale peers; do \
		$(BIN)/uv pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-header --no-annotate \
			--no-emit-index-url --no-emit-find-links --no-config \
			--override requirements/overrides.txt requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	$(BIN)/python -m tests.clients lock

clean:
	rm -rf $(VENV) $(VENV)-cyscale $(VENV)-peers tests/clients/node_modules .cache .devnet .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info build
