# `make demo` builds the sample mix and audits it; `make test` runs lint, types and tests. `make help` lists the rest.
# Needs python3 (3.10 or newer, or PYTHON=/path/to/one), make and a package index that pip can reach; everything else is pinned.

PYTHON ?= python3
# Processes that run tests side by side.
WORKERS ?= 2
# A package index that carries CPU builds of torch, for `make test-readers` and `make test-models` where pip would otherwise choose a CUDA build.
TORCH_INDEX ?=
UPGRADE ?=
# No hash: its CPU builds carry other hashes and local version names (+cpu) on every index; all else is pinned by hash.
TORCH := torch==2.13.0

SHELL := /bin/sh
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help env demo test lint types format test-readers test-models test-ray test-s3 test-slurm test-browser test-lowest picture campaign mutants house faults bench scale manifests lock clean \
  check-python

PIP := -m pip --disable-pip-version-check --no-input
# An environment is named by what it was made from: Python, place, locks, and what pyproject.toml says before its tool sections.
# So it is made again when one of these changes, never otherwise, and a leftover of another Python is replaced.
KEY_OF = $(shell $(PYTHON) -c 'import hashlib, os, sys; \
  parts = [repr((sys.version_info[:3], sys.executable, os.getcwd())).encode()]; \
  parts += [open(name, "rb").read().partition(b"[tool.")[0] for name in sys.argv[1:]]; \
  print(hashlib.sha256(b"".join(parts)).hexdigest()[:16])' $(1) 2>/dev/null)
KEY = $(call KEY_OF,pyproject.toml locks/base.lock)
READERS_KEY = $(call KEY_OF,pyproject.toml locks/base.lock locks/readers.lock Makefile)
S3_KEY = $(call KEY_OF,pyproject.toml locks/s3.lock locks/moto.lock Makefile)
OLMO_KEY = $(call KEY_OF,locks/olmo.lock Makefile)
MODELS_KEY = $(call KEY_OF,pyproject.toml locks/base.lock locks/models.lock Makefile)
RAY_KEY = $(call KEY_OF,pyproject.toml locks/base.lock locks/ray.lock)
MUTANTS_KEY = $(call KEY_OF,pyproject.toml locks/base.lock locks/mutants.lock)

# An environment beside .venv for tests that need more: what locks/NAME.lock adds to locks/base.lock, with a CPU build of torch or without.
define make_environment
rm -rf .venv-$(1)
$(PYTHON) -m venv .venv-$(1)
$(if $(2),.venv-$(1)/bin/python tests/readers/refuse_cuda.py $(TORCH) $(TORCH_INDEX))
.venv-$(1)/bin/python $(PIP) install --quiet --require-hashes -r locks/base.lock
.venv-$(1)/bin/python $(PIP) install --quiet --require-hashes --no-deps -r locks/$(1).lock
$(if $(2),.venv-$(1)/bin/python $(PIP) install --quiet --no-deps $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(TORCH))
.venv-$(1)/bin/python $(PIP) install --quiet --no-deps --no-build-isolation -e .
.venv-$(1)/bin/python $(PIP) check
touch $@
endef

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
	  echo "annealmix needs Python 3.10 or newer; $(PYTHON) is `$(PYTHON) --version 2>&1`." \
	       "Install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }

env: check-python ## make .venv from locks/base.lock, only if that has changed
	@test -e .venv/made-$(KEY) || $(MAKE) --no-print-directory .venv/made-$(KEY)

.venv/made-%:
	rm -rf .venv
	$(PYTHON) -m venv .venv
	.venv/bin/python $(PIP) install --quiet --require-hashes -r locks/base.lock
	.venv/bin/python $(PIP) install --quiet --no-deps --no-build-isolation -e .
	touch $@

demo: env ## build the sample mix from the shipped data, audit it, print the table
	rm -rf demo/sample
	.venv/bin/annealmix build sample --out demo/sample --store demo/store
	.venv/bin/annealmix audit demo/sample

test: lint types ## lint, types and tests (what a change must pass)
	.venv/bin/python -m pytest -n $(WORKERS) --dist loadfile

lint: env ## ruff, its formatter, and who may import whom
	.venv/bin/ruff check .
	.venv/bin/ruff format --check --quiet .
	.venv/bin/lint-imports --no-cache

types: env ## mypy, strict
	.venv/bin/mypy

format: env ## ruff's formatter, over the whole tree
	.venv/bin/ruff format .

test-readers: check-python ## read a mix back with megatron-core, datatrove and mlcroissant in .venv-readers, with OLMo-core in .venv-olmo (CPU torch)
	@test -e .venv-readers/made-$(READERS_KEY) || $(MAKE) --no-print-directory .venv-readers/made-$(READERS_KEY)
	@test -e .venv-olmo/made-$(OLMO_KEY) || $(MAKE) --no-print-directory .venv-olmo/made-$(OLMO_KEY)
	ANNEALMIX_OLMO_PYTHON=.venv-olmo/bin/python .venv-readers/bin/python -m pytest -m readers tests/readers

.venv-readers/made-%:
	$(call make_environment,readers,torch)

# OLMo-core wants an older filelock than annealmix is locked to, so it has an environment without annealmix; a script reads there.
.venv-olmo/made-%:
	rm -rf .venv-olmo
	$(PYTHON) -m venv .venv-olmo
	.venv-olmo/bin/python tests/readers/refuse_cuda.py $(TORCH) $(TORCH_INDEX)
	.venv-olmo/bin/python $(PIP) install --quiet --require-hashes --no-deps -r locks/olmo.lock
	.venv-olmo/bin/python $(PIP) install --quiet --no-deps $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(TORCH)
	.venv-olmo/bin/python $(PIP) check
	touch $@

test-models: check-python ## score with a tiny ModernBERT and with fastText, in .venv-models (CPU torch)
	@test -e .venv-models/made-$(MODELS_KEY) || $(MAKE) --no-print-directory .venv-models/made-$(MODELS_KEY)
	.venv-models/bin/python -m pytest -m models tests/models
	.venv-models/bin/python -m pytest tests/pipeline/inputs/test_blocks.py # with datatrove's own classes, which .venv cannot import

.venv-models/made-%:
	$(call make_environment,models,torch)

test-ray: check-python ## build on a Ray cluster that the tests start on this machine, in .venv-ray
	@test -e .venv-ray/made-$(RAY_KEY) || $(MAKE) --no-print-directory .venv-ray/made-$(RAY_KEY)
	.venv-ray/bin/python -m pytest -m ray tests/ray

.venv-ray/made-%:
	$(call make_environment,ray)

test-s3: check-python ## sources, stores and mixes on an S3 server on loopback (moto), in .venv-s3 and .venv-moto
	@test -e .venv-s3/made-$(S3_KEY) || $(MAKE) --no-print-directory .venv-s3/made-$(S3_KEY)
	.venv-s3/bin/python -m pytest -m s3 tests/s3

# locks/s3.lock is whole, not an addition: s3fs holds python-dateutil to an older release than locks/base.lock has.
.venv-s3/made-%:
	rm -rf .venv-s3 .venv-moto
	$(PYTHON) -m venv .venv-moto
	.venv-moto/bin/python $(PIP) install --quiet --require-hashes -r locks/moto.lock
	$(PYTHON) -m venv .venv-s3
	.venv-s3/bin/python $(PIP) install --quiet --require-hashes -r locks/s3.lock
	.venv-s3/bin/python $(PIP) install --quiet --no-deps --no-build-isolation -e .
	.venv-s3/bin/python $(PIP) check
	touch $@

# Every direct dependency at its lower bound: the sample, and tests of what the libraries do for it.
LOWEST_KEY = $(call KEY_OF,pyproject.toml Makefile)
test-lowest: check-python ## the sample and some tests with the lowest releases that pyproject.toml allows, in .venv-lowest
	@test -e .venv-lowest/made-$(LOWEST_KEY) || $(MAKE) --no-print-directory .venv-lowest/made-$(LOWEST_KEY)
	made=$$(mktemp -d) && .venv-lowest/bin/annealmix build sample --out $$made/sample --store $$made/store && \
	  .venv-lowest/bin/annealmix audit $$made/sample --full && cmp $$made/sample/manifest.json manifests/sample.json && rm -rf $$made
	.venv-lowest/bin/python -m pytest -p no:cacheprovider tests/pipeline/inputs/readers/test_rows.py tests/pipeline/inputs/readers/test_footers.py \
	  tests/pipeline/inputs/contents tests/pipeline/tokens

.venv-lowest/made-%:
	rm -rf .venv-lowest
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python $(PIP) install --quiet uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct -e '.[test]'
	touch $@

test-slurm: env ## build on a Slurm cluster that the tests start on this machine (Debian: slurmctld slurmd slurm-client munge; as root)
	.venv/bin/python -m pytest -m slurm tests/slurm

test-browser: env ## open the page of a mix in Chromium (Debian: apt-get install chromium)
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then .venv/bin/python -m pytest -m browser tests/browser; \
	  else echo "make test-browser cannot run: there is no chromium on this machine (Debian: apt-get install chromium)"; fi

picture: env ## write the pictures of docs/ again: pages of mixes, in Chromium
	.venv/bin/python -m tests.browser.picture

campaign: env ## the slow tests: fault campaigns, many examples, scale; drawn anew each time, but in CI
	HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-$(if $(CI),default,campaign)} .venv/bin/python -m pytest -m campaign -n $(WORKERS)

MODULES ?=
SAMPLE ?=
mutants: check-python ## which small faults, planted by mutmut in .venv-mutants, no test notices: MODULES="quotas order", SAMPLE=40
	@test -e .venv-mutants/made-$(MUTANTS_KEY) || $(MAKE) --no-print-directory .venv-mutants/made-$(MUTANTS_KEY)
	.venv-mutants/bin/python -m tests.mutants.mutate --processes $(WORKERS) $(if $(SAMPLE),--sample $(SAMPLE)) $(MODULES)

.venv-mutants/made-%:
	$(call make_environment,mutants)

house: env ## how large, high and tangled the code is, as figures
	.venv/bin/python -m tests.house.measure

faults: env ## write tests/faults/RESULTS.md again: how each numbered fault ends, here and in datatrove
	.venv/bin/python -m tests.faults.table

scale: env ## select and write of the annealing mix at 1, 2 and 4% of its documents, and all that a builder does alone, of the large mixes
	.venv/bin/python -m tests.benchmarks.bench_scale
	.venv/bin/python -m tests.benchmarks.bench_serial

# Left out: what `make scale` runs, what needs Slurm, and what must be told a folder, a corpus or an interpreter (its docstring says which).
bench: env ## the side-by-side measurements of tests/benchmarks that need no argument, one after another
	@for script in tests/benchmarks/bench_*.py; do case $$script in *scale*|*serial*|*open_mix*|*scripts*|*second*|*slurm*|*tokenizers*|*trace*) continue;; esac; \
	  echo "== $$script"; .venv/bin/python "$$script" || exit 1; done

manifests: env ## write manifests/ again: the plan of every recipe at full scale, and the sample's reference manifest
	export ANNEALMIX_CACHE=$$(mktemp -d); for recipe in $(filter-out sample%,$(basename $(notdir $(wildcard recipes/*.yaml)))); do \
	  .venv/bin/annealmix plan $$recipe --json > manifests/$$recipe.plan.json || exit 1; done; rmdir $$ANNEALMIX_CACHE
	made=$$(mktemp -d) && .venv/bin/annealmix build sample --out $$made/sample --store $$made/store && \
	  cp $$made/sample/manifest.json manifests/sample.json && rm -rf $$made

COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock: check-python ## resolve the locks again for Python 3.10 and newer; UPGRADE=--upgrade also takes newer releases
	test -x .venv-lock/bin/uv || { $(PYTHON) -m venv .venv-lock && .venv-lock/bin/python $(PIP) install --quiet uv; }
	$(COMPILE) $(UPGRADE) --extra test --extra report -o locks/base.lock pyproject.toml
	printf '%s\n' megatron-core==0.16.1 'mlcroissant>=1.1' filelock fsspec jinja2 networkx setuptools sympy typing-extensions > .venv-lock/readers.in
	printf '%s\n' "torch ; python_version < '3'" > .venv-lock/without-torch.txt
	$(COMPILE) $(UPGRADE) --constraint locks/base.lock --override .venv-lock/without-torch.txt -o locks/readers.lock .venv-lock/readers.in
	printf '%s\n' ai2-olmo-core==3.0.0 filelock fsspec jinja2 networkx setuptools sympy typing-extensions > .venv-lock/olmo.in
	$(COMPILE) $(UPGRADE) --override .venv-lock/without-torch.txt -o locks/olmo.lock .venv-lock/olmo.in
	printf '%s\n' 'transformers>=5.0' safetensors fasttext-community==0.11.9 fasteners ftfy pyahocorasick regex 'spacy>=3.8' 'tldextract>=5.1,<6' filelock fsspec jinja2 networkx setuptools sympy typing-extensions > .venv-lock/models.in
	$(COMPILE) $(UPGRADE) --constraint locks/base.lock --override .venv-lock/without-torch.txt -o locks/models.lock .venv-lock/models.in
	printf '%s\n' 'ray>=2.40' > .venv-lock/ray.in
	$(COMPILE) $(UPGRADE) --constraint locks/base.lock -o locks/ray.lock .venv-lock/ray.in
	printf '%s\n' mutmut==3.8.1 > .venv-lock/mutants.in # its insides are used: tests/mutants/mutate.py
	$(COMPILE) $(UPGRADE) --constraint locks/base.lock -o locks/mutants.lock .venv-lock/mutants.in
	awk '/^[^ ]/ {drop = /^python-dateutil==/} !drop' locks/base.lock > .venv-lock/s3.txt
	$(COMPILE) $(UPGRADE) --extra test --extra s3 --constraint .venv-lock/s3.txt -o locks/s3.lock pyproject.toml
	printf '%s\n' 'moto[server]>=5.1' > .venv-lock/moto.in
	$(COMPILE) $(UPGRADE) -o locks/moto.lock .venv-lock/moto.in
	@set -e; head_of() { printf '# %s\n' "$$@" > .venv-lock/head; cat .venv-lock/head "$$file" > .venv-lock/whole; cp .venv-lock/whole "$$file"; }; \
	file=locks/base.lock; head_of \
	  'Every dependency of annealmix (runtime and tests), pinned with hashes, for Python 3.10 and newer on every platform. Made by `make lock`.' \
	  'pip install --require-hashes -r locks/base.lock && pip install --no-deps --no-build-isolation -e .'; \
	file=locks/readers.lock; head_of \
	  'What `make test-readers` adds to locks/base.lock: megatron-core, mlcroissant, and what torch needs but for CUDA. Made by `make lock`.' \
	  'torch itself is pinned in the Makefile, by version alone: each index builds its CPU wheels with hashes and a local version of its own.'; \
	file=locks/ray.lock; head_of \
	  'What `make test-ray` adds to locks/base.lock: Ray, and what it needs. Made by `make lock`.'; \
	file=locks/mutants.lock; head_of \
	  'What `make mutants` adds to locks/base.lock: mutmut, and what it needs. Made by `make lock`.'; \
	file=locks/olmo.lock; head_of \
	  'What `make test-readers` reads with OLMo-core: OLMo-core and all that it needs, without annealmix and without torch. Made by `make lock`.' \
	  'torch itself is pinned in the Makefile, by version alone: each index builds its CPU wheels with hashes and a local version of its own.'; \
	file=locks/models.lock; head_of \
	  'What `make test-models` adds to locks/base.lock: transformers, safetensors, fastText, the extra quality, and what torch needs but for CUDA. Made by `make lock`.' \
	  'torch itself is pinned in the Makefile, by version alone: each index builds its CPU wheels with hashes and a local version of its own.'; \
	file=locks/s3.lock; head_of 'Everything that `make test-s3` installs in .venv-s3: locks/base.lock (but for python-dateutil) and s3fs. Made by `make lock`.'; \
	file=locks/moto.lock; head_of 'The S3 server of `make test-s3`, in .venv-moto. Made by `make lock`.'

clean: ## remove what make made
	rm -rf .venv .venv-readers .venv-olmo .venv-models .venv-ray .venv-mutants .venv-s3 .venv-moto .venv-lock .venv-lowest
	rm -rf demo build dist .mutants .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
