# make demo    the whole way on a miniature data set: videos, pre-training, phases, embeddings
# make setup   the environment for running and developing, in .venv; with LOCKED=1 every package
#              and file as in requirements.lock, which `make lock` writes anew
# make test    all tests   make lint   style and types   make clean   removes what they made
# make test-backends   encoders under JAX and PyTorch     make test-beam   preparing data on Apache Beam
# make test-encoders   encoders that transformers, timm and PyTorch write now, and those on the Hub
#                      (.ci/run runs these; they take some minutes each from nothing)
# make test-tracking   runs on a server of MLflow, in an environment of its own
# make test-export     ONNX and TFLite, in an environment of its own
# make site            docs/ as a site, in runs/site
# make axe             the site, and the pages of all documented commands, by axe-core in Chromium
# make mutants         wrong lines that no test notices; hours; docs/mutants.md
# make proof   does MSN learn? three encoders, few labels, a table and a curve; an hour
# make proof-real POLYPGEN=DIR KVASIR_SEG=DIR CVC_CLINICDB=DIR ENDOTECT=DIR NEOPOLYP=DIR
#              the same question on real colonoscopy, from the public archives or their folders: the
#              table of the README; hours. SEQUENCES=CSV says which of NeoPolyp's images show one
#              polyp, GENERAL=PATH adds a general encoder, TEACHER=PATH a run with a teacher: any
#              encoder that opens (docs/encoders.md), a folder, an ONNX file, hf-hub:owner/name
# make bench   speed beside other projects', on an otherwise idle machine; bench.json

PYTHON ?= python3
PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
RUN := .venv/requirements.installed
DEV := .venv/requirements-dev.installed
DEVELOPING := $(addprefix requirements-,$(addsuffix .txt,dev onnx tracking search))

BENCH := .venv-bench/requirements.installed
BENCHMARKS := pretrain_step inference views extraction index finished cleaning input packed probe
BACKENDS := .venv-backends/requirements.installed
BEAM := .venv-beam/requirements.installed
TRACKING := .venv-tracking/requirements.installed
EXPORT := .venv-export/requirements.installed
ENCODERS := .venv-encoders/requirements.installed
AXE := .venv-axe/axe.installed
SITE := .venv-site/requirements.installed
MUTANTS := .venv/requirements-mutants.installed
LOCK := .venv/requirements-lock.installed

.PHONY: demo proof proof-real setup lock test test-backends test-beam test-encoders test-tracking test-export site axe mutants bench lint notebooks clean

demo: $(RUN)
	$(PY) prepare.py --data_rootdir=runs/demo/data --synthetic
	$(PY) -m msn.train --config=configs/msn_demo.py --workdir=runs/demo/msn
	$(PY) down_stream/main.py --config=configs/phase_demo.py
	$(PY) down_stream/main.py --config=configs/phase_demo.py:random
	$(PY) down_stream/main.py --config=configs/phase_demo.py:finetune
	rm -rf runs/demo/supervised_hf
	$(PY) -m msn.convert --source=runs/demo/finetune/model/encoder \
	    --output=runs/demo/supervised_hf --format=hf
	$(PY) -m down_stream.comparison.colours --data_rootdir=runs/demo/data \
	    --output=runs/demo/colours.parquet
	$(PY) down_stream/main.py --config=configs/encoder_comparison.py:demo
	$(PY) inference.py --model_path=runs/demo/msn/encoder \
	    --data_rootdir=runs/demo/data --output=runs/demo/embeddings.npz --map=runs/demo/map.html
	@echo
	@$(PY) -m down_stream.compare runs/demo/probe runs/demo/random runs/demo/finetune
	@echo
	@echo "encoder      runs/demo/msn/encoder"
	@echo "reports      runs/demo/{probe,random,finetune}/report.html"
	@echo "comparison   runs/demo/comparison/comparison.html"
	@echo "embeddings   runs/demo/embeddings.npz, as a map runs/demo/map.html"

proof: $(RUN)
	$(PY) prepare.py --data_rootdir=runs/proof/data --synthetic \
	    --synthetic_videos=99 --synthetic_seconds=60
	for seed in 0 1 2; do $(PY) -m msn.train --config=configs/msn_proof.py \
	    --workdir=runs/proof/msn_seed$$seed --config.seed=$$seed || exit 1; done
	$(PY) down_stream/main.py --config=configs/phase_proof.py

REAL ?= runs/proof_real
VARIANT ?= vitmicro8
SIZE ?= 96
PRETRAIN ?=
PROBE ?=
ARCHIVES := POLYPGEN KVASIR_SEG CVC_CLINICDB ENDOTECT NEOPOLYP
SETS := $(shell echo $(ARCHIVES) | tr A-Z a-z)
# Of an archive's variable. Of 160 pixels, as the tables in docs/recipes.md are.
PREPARE_REAL = $(PY) prepare.py --data_rootdir="$(REAL)/data" \
    --dataset=$(shell echo $(1) | tr A-Z a-z) --archive="$($(1))" \
    $(if $(filter NEOPOLYP,$(1)),$(if $(SEQUENCES),--sequences="$(SEQUENCES)"),--size=160)
# Exit code 1: some images could not be used, and are named; the others are.
IN_PART = || [ $$? -eq 1 ] || exit 2
PRETRAIN_REAL = $(PY) -m msn.train --config=configs/msn_small.py \
    $(foreach set,$(SETS),--config.data.root="'$(REAL)/data/$(set)'") \
    --config.data.exclude_videos="neopolyp_train_*" \
    --config.model.variant=$(VARIANT) --config.views.size=$(SIZE) $(PRETRAIN)
ENCODERS_REAL = random=$(VARIANT):$(SIZE) random_mean=$(VARIANT):$(SIZE)@mean \
    msn="$(REAL)/msn/encoder" msn_mean="$(REAL)/msn/encoder@mean" \
    $(if $(TEACHER),taught="$(REAL)/taught/encoder" taught_mean="$(REAL)/taught/encoder@mean") \
    $(if $(GENERAL),general="$(GENERAL)" general+msn $(if $(TEACHER),general+taught))

# What was stopped goes on, and what takes long is not done again.
proof-real: $(RUN)
	@$(foreach name,$(ARCHIVES),$(if $($(name)),,echo "error: $(name) is missing; expected make \
	    proof-real with $(ARCHIVES), each an archive or its folder" >&2; exit 2;))
	@for path in $(if $(GENERAL),"$(GENERAL)") $(if $(TEACHER),"$(TEACHER)"); do case "$$path" in \
	    *://*|hf-hub:*) continue;; "$(TEACHER)") [ -e "$$path" ];; \
	    *) [ -e "$$path" ] || [ -e "$${path%@*}" ];; esac || \
	    { echo "error: $$path: no such file or folder; expected an encoder" >&2; exit 2; }; done
	@$(foreach name,$(ARCHIVES),$(call PREPARE_REAL,$(name)) --dry_run >/dev/null $(IN_PART);)
	$(foreach name,$(ARCHIVES),$(call PREPARE_REAL,$(name)) $(IN_PART);)
	$(call PREPARE_REAL,NEOPOLYP) --name=neopolyp_crops --crop_margin=0.15 $(IN_PART)
	for set in neopolyp neopolyp_crops; do for side in 0 8; do \
	    $(PY) -m down_stream.comparison.colours --data_rootdir="$(REAL)/data" --name=$$set \
	    --thumbnail=$$side --output="$(REAL)/$${set}_colours_$$side.parquet" || exit $$?; done; done
	$(PRETRAIN_REAL) --workdir="$(REAL)/msn"
	$(if $(TEACHER),$(PRETRAIN_REAL) --workdir="$(REAL)/taught" --config.teacher="$(TEACHER)")
	for set in neopolyp neopolyp_crops; do $(PY) -m tests.benchmarks.grouped_probe \
	    --root="$(REAL)/data/$$set" --output="$(REAL)/$$set.json" --cache="$(REAL)/features" \
	    $(ENCODERS_REAL) colours="$(REAL)/$${set}_colours_0.parquet" \
	    thumbnail="$(REAL)/$${set}_colours_8.parquet" $(PROBE) || exit $$?; done
	@echo
	@$(PY) -m tests.benchmarks.real_table crops="$(REAL)/neopolyp_crops.json" \
	    "whole frames=$(REAL)/neopolyp.json" --output="$(REAL)/table"

setup: $(DEV)

# After a change of requirements*.txt: exact versions of all packages, for Python 3.11 to 3.13.
lock: $(LOCK)
	$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-annotate --custom-compile-command "make lock" \
	    requirements-dev.txt --output-file requirements.lock

test: $(DEV)
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-backends: $(BACKENDS)
	for backend in jax torch; do KERAS_BACKEND=$$backend .venv-backends/bin/python -m pytest \
	    tests/test_golden.py tests/end_to_end/test_backends.py tests/msn/formats/families || exit 1; \
	done

# In an environment of its own: Apache Beam asks for older versions of what the others need.
test-beam: $(BEAM)
	.venv-beam/bin/python -m pytest tests/data/preparation/test_on_beam.py tests/data/test_tfds_builder.py

test-encoders: $(ENCODERS)
	.venv-encoders/bin/python -m pytest tests/msn/formats/families/test_real_libraries.py \
	    tests/msn/formats/test_hub.py tests/msn/formats/test_push.py \
	    tests/data/overview/test_card.py tests/down_stream/cells/test_model_card.py

# The server alone has an environment of its own: it asks for an older pyarrow.
test-tracking: $(DEV) $(TRACKING)
	$(PY) -m pytest tests/msn/tracking/test_mlflow.py

test-export: $(EXPORT)
	.venv-export/bin/python -m pytest tests/msn/formats/test_export.py

# A link that leads nowhere, or a page that no menu has, fails. (The theme's notice of its successor is
# not shown.)
site: $(SITE)
	PATH="$(CURDIR)/.venv-site/bin:$$PATH" NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo "runs/site/index.html"

# Needs Node.js and Chromium (CHROMIUM=PATH, where it is not found), so it is not in .ci/run. Reports,
# maps, comparisons and rounds of annotation are those that the commands on the pages of docs/ write.
axe: site $(AXE) $(DEV)
	$(PY) -m pytest tests/end_to_end/test_documentation.py --basetemp=runs/axe
	MODULES=.venv-axe node tests/support/axe.mjs runs/site runs/axe

# In the background of other work; `ONLY="msn.method.losses.*"` for a part. What it keeps, and goes on
# from, is in mutants/.
mutants: $(MUTANTS)
	nice -n 15 .venv/bin/mutmut run --max-children 1 $(ONLY)
	.venv/bin/mutmut results | grep -v "not checked" || true

bench: $(RUN) $(BENCH)
	@for name in $(BENCHMARKS); do $(PY) -m tests.benchmarks.$$name || exit 1; done

lint: $(DEV)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

# The notebooks of docs/, run anew and stored with what came of it.
notebooks: $(DEV)
	$(PY) -m tests.support.notebooks

clean:
	rm -rf runs/demo mutants .venv .venv-*

# Stamps: nothing is looked up on the network once the requirements are installed.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	    { echo "error: $(PYTHON) is not Python 3.11 to 3.13; expected, for instance:" \
	    "make PYTHON=/path/to/python3.12"; exit 2; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	    echo "error: no virtual environment could be made; on Debian and Ubuntu:" \
	    "apt install python3-venv"; exit 2; }

ifdef LOCKED
$(RUN): requirements.lock | $(PY)
	@echo "installing requirements.lock into .venv (some minutes)"
	$(PIP) --require-hashes -r requirements.lock
	touch $@

$(DEV): $(RUN)
	touch $@
else
$(RUN): requirements.txt | $(PY)
	@echo "installing requirements.txt into .venv (some minutes)"
	$(PIP) -r requirements.txt
	touch $@

$(DEV): $(DEVELOPING) $(RUN)
	$(PIP) -r requirements-dev.txt
	touch $@
endif

$(LOCK): requirements-lock.txt $(DEV)
	$(PIP) -r requirements-lock.txt
	touch $@

$(MUTANTS): requirements-mutants.txt $(DEV)
	$(PIP) -r requirements-mutants.txt
	touch $@

# PyTorch first and alone, as its build for the CPU: that of its own index counts as newer than PyPI's
# for CUDA, which is several GB. Where that index is not reached, pip says so and takes what else it
# finds: PyPI's, or one that the machine has.
TORCH = --quiet --disable-pip-version-check --no-deps --retries 0 \
    --extra-index-url https://download.pytorch.org/whl/cpu $$(grep '^torch==' $<)

$(BACKENDS): requirements-backends.txt | $(PY)
	@echo "installing requirements-backends.txt into .venv-backends (some minutes)"
	$(PYTHON) -m venv .venv-backends
	.venv-backends/bin/python -m pip install $(TORCH)
	.venv-backends/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(BENCH): requirements-bench.txt | $(PY)
	@echo "installing requirements-bench.txt into .venv-bench (some minutes)"
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(BEAM): requirements.txt $(DEVELOPING) requirements-beam.txt | $(PY)
	$(PYTHON) -m venv .venv-beam
	.venv-beam/bin/python -m pip install --quiet --disable-pip-version-check \
	    -r requirements.txt -r requirements-dev.txt
	.venv-beam/bin/python -m pip install --quiet --disable-pip-version-check \
	    -r requirements-beam.txt
	touch $@

$(TRACKING): requirements-tracking-server.txt | $(PY)
	@echo "installing requirements-tracking-server.txt into .venv-tracking (a minute)"
	$(PYTHON) -m venv .venv-tracking
	.venv-tracking/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(ENCODERS): requirements-encoders.txt requirements.txt $(DEVELOPING) \
    | $(PY)
	@echo "installing requirements-encoders.txt into .venv-encoders (some minutes)"
	$(PYTHON) -m venv .venv-encoders
	.venv-encoders/bin/python -m pip install $(TORCH)
	.venv-encoders/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	.venv-encoders/bin/python -m pip install --quiet --disable-pip-version-check \
	    --no-deps timm==1.0.31
	touch $@

$(EXPORT): requirements.txt $(DEVELOPING) requirements-export.txt | $(PY)
	@echo "installing requirements-export.txt into .venv-export (some minutes)"
	$(PYTHON) -m venv .venv-export
	.venv-export/bin/python -m pip install --quiet --disable-pip-version-check \
	    -r requirements-dev.txt -r requirements-export.txt
	touch $@

$(AXE): Makefile
	npm install --silent --no-package-lock --prefix .venv-axe axe-core@4.14.1 puppeteer-core@24.43.1
	touch $@

$(SITE): requirements-site.txt | $(PY)
	@echo "installing requirements-site.txt into .venv-site (a minute)"
	$(PYTHON) -m venv .venv-site
	.venv-site/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@
