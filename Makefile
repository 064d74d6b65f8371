# One command per intention. `make` alone lists them.
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.set-up
# ExaBGP's user must be able to read the checkout, wherever it lies.
PYTEST := $(BIN)/python -m felix_py.lab.reach $(BIN)/python -m pytest -p no:cacheprovider
CODE   := felix_py bgp ipam cni image tests bench
NAME   ?= felab
TOPOLOGY ?= default

.PHONY: help setup check unit contract functional e2e vm test test-cluster lab lab-down golden bench clean root
.PHONY: cluster cluster-down kubernetes-binaries image lock manifest

help:
	@echo "make setup       install Debian packages (as root) and a virtual environment in $(VENV)"
	@echo "make check       format, lint, types, import contracts, spelling, links in docs: seconds"
	@echo "make unit        decisions and drivers on fakes: no root, no network"
	@echo "make contract    the same tests on fakes and on what they stand for (real etcd)"
	@echo "make functional  real kernel, etcd, ExaBGP and BIRD in throw-away namespaces (root)"
	@echo "make e2e         the lab: topologies, kills, containerd (root)"
	@echo "make vm          a kernel with ipip under emulation"
	@echo "make test        all of these"
	@echo "make lab         bring the lab up, prove it, leave it running (root; TOPOLOGY=default|dual-stack|plain|vxlan|...|FILE)"
	@echo "make lab-down    take it down; nothing is left"
	@echo "make cluster     a real Kubernetes in the lab (root; TOPOLOGY=cluster|cluster-plain|cluster-daemons|FILE)"
	@echo "make cluster-down  take it down; nothing is left"
	@echo "make test-cluster  the tests on a real Kubernetes (root; a first build of it takes minutes)"
	@echo "make kubernetes-binaries  build Kubernetes' programs, print where they are"
	@echo "make image       build the images for Kubernetes into dist, the same from the same packages (no root)"
	@echo "make manifest    write manifests/felix-py.yaml from manifests/base"
	@echo "make lock        rewrite the image's lock files: the newest Python packages that setup.cfg allows"
	@echo "make golden      rewrite golden files; the diff is the review"
	@echo "make bench       measure against named peers in one run; results in bench/results"

setup: $(STAMP)
	@:

$(STAMP): setup.cfg setup.py pyproject.toml $(wildcard cni/shim/*.[ch]) scripts/set-up scripts/packages
	@scripts/set-up $(VENV)
	@touch $@

check: $(STAMP)
	$(BIN)/ruff format --check --quiet $(CODE)
	$(BIN)/ruff check --quiet $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports
	$(BIN)/codespell $(CODE) docs manifests scripts .ci *.md Makefile
	$(BIN)/python scripts/check-links
	$(BIN)/python scripts/render-manifest --check

unit: $(STAMP)
	$(PYTEST) -q -n 2 tests/unit

contract: $(STAMP)
	$(PYTEST) -q tests/contract

functional: $(STAMP)
	$(PYTEST) -q -n 3 --dist loadfile tests/functional

# Two at a time, by file and in order: labs are big, and those of one topology belong together.
e2e: $(STAMP)
	$(PYTEST) -q -n 2 --dist loadfile -p no:randomly tests/e2e

vm: $(STAMP)
	@if ls tests/vm/test_*.py >/dev/null 2>&1; then $(PYTEST) -q tests/vm; fi

test: unit contract functional e2e vm
	@echo "All of it passed. The same on a real Kubernetes: make test-cluster (as root; its first build takes minutes)"

root:
	@if [ "$$(id -u)" != 0 ]; then echo "The lab makes network namespaces and needs root: sudo make $(MAKECMDGOALS)" >&2; exit 1; fi

lab: root
	@$(MAKE) --no-print-directory setup
	@$(BIN)/felix-lab --name $(NAME) up $(TOPOLOGY)

lab-down: root
	@$(BIN)/felix-lab --name $(NAME) down

cluster: TOPOLOGY = cluster
cluster: root
	@$(MAKE) --no-print-directory setup
	@$(BIN)/felix-lab --name $(NAME) up $(TOPOLOGY)

cluster-down: lab-down

# One at a time and in order: a cluster is big.
test-cluster: $(STAMP)
	$(PYTEST) -q -p no:randomly --durations=15 tests/cluster

kubernetes-binaries: $(STAMP)
	@$(BIN)/python -m felix_py.lab.kubernetes.binaries

manifest: $(STAMP)
	@$(BIN)/python scripts/render-manifest

image: $(STAMP)
	@$(BIN)/python -m image

lock: $(STAMP)
	@$(BIN)/python -m image lock

golden: $(STAMP)
	$(PYTEST) -q tests/unit --update-golden

bench: $(STAMP)
	$(BIN)/python -m bench

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
