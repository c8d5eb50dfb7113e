# The study and its tests; needs Python 3.11, 3.12 or 3.13 with venv and pip. STUDY=name chooses another
# study. Works with GNU make from 3.81 on and with the tools of Linux and macOS.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

STUDY ?= default
# Of the study mnist: a folder with the four files (downloaded otherwise), a claim, a scale.
MNIST_DIR ?=
CLAIM ?=
SCALE ?=
# Of the study own: a table or a folder of images, the column of its classes if it has one, and the
# pixels of a side if its rows are images.
DATA ?=
LABEL ?=
IMAGE_SIDE ?=
# Of the benchmark: its rows, all of them unless some are named.
PART ?=
# The first of these that runs; PYTHON=/path/to/python names another.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c '' 2> /dev/null && echo $$name && break; done)

# A text of the user's for the shell; for Snakemake, which reads the values of --config as YAML.
shell-text = '$(subst ','\'',$(1))'
yaml-text = '$(subst ','',$(1))'
# What becomes part of a path is a plain name: make clean removes that path.
plain = $(shell LC_ALL=C; [[ $(call shell-text,$(value $(1))) =~ ^[a-zA-Z0-9][a-zA-Z0-9_-]{0,59}$$ ]] && echo yes)
# A variable that nothing reads would change nothing, and nobody would see it.
VARIABLES := STUDY MNIST_DIR CLAIM SCALE DATA LABEL IMAGE_SIDE PART PYTHON
given := $(foreach name,$(.VARIABLES),$(if $(findstring command,$(origin $(name))),$(name)))
$(foreach name,$(filter-out $(VARIABLES),$(given)),\
	$(error $(name): is no variable here; allowed: $(VARIABLES); seeds and the like stand in config.yaml))
refuse = $(error $(1): '$(value $(1))' $(2))
NO_NAME := is no name; allowed: up to 60 letters, digits, - and _
NO_STUDY := is the folder of what is kept of studies; allowed: other names
$(foreach name,STUDY $(if $(value SCALE),SCALE) $(if $(value CLAIM),CLAIM),\
	$(if $(call plain,$(name)),,$(call refuse,$(name),$(NO_NAME))))
$(if $(filter reference,$(STUDY)),$(call refuse,STUDY,$(NO_STUDY)))

RESULTS := results/$(STUDY)$(if $(SCALE),_$(SCALE))$(if $(CLAIM),_$(CLAIM))
BIN := .venv/bin
# Texts are UTF-8, whatever the locale.
export PYTHONUTF8 := 1
REFERENCE := $(STUDY)$(if $(SCALE),_$(SCALE))$(if $(CLAIM),/$(CLAIM))
# Between spaces, for Snakemake strips quotes from a value's ends.
option = $(if $(value $(1)),$(2)=$(call shell-text, $(call yaml-text,$(value $(1))) ))
# Of the environment DATA may be another's. A number has no quotes.
SIDE := $(if $(value IMAGE_SIDE),image_side=$(call shell-text,$(value IMAGE_SIDE)))
TABLE := $(if $(filter own,$(STUDY)),$(call option,DATA,data) $(call option,LABEL,label) $(SIDE))
CONFIG := study=$(STUDY) $(call option,MNIST_DIR,mnist_dir) $(TABLE) \
	$(if $(CLAIM),claim=$(CLAIM)) $(if $(SCALE),scale=$(SCALE))
SNAKEMAKE := $(BIN)/python -m snakemake --config $(CONFIG) --workflow-profile workflow/profiles/local
# Without a graphics card torch's CPU build is enough, and a tenth of the download.
TORCH_CPU := https://download.pytorch.org/whl/cpu

.PHONY: help study smoke mnist own figures report reference docs gallery touch test lint bench unlock clean

help: ## show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-10s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

study: .venv/installed ## run the study: tables, claims, figures
	$(SNAKEMAKE)
	@echo
	@echo "tables   $(RESULTS)/tables/summary.md"
	@echo "figures  $(RESULTS)/figures/"
	@echo "claims   $(RESULTS)/claims.md"

smoke: ## run the smoke study: every stage, tiny
	$(MAKE) study STUDY=smoke

mnist: ## run the study of images, on MNIST; CLAIM=C9 for one claim alone
	$(MAKE) study STUDY=mnist

own: ## what structure does for your own table: DATA=my.csv LABEL=column, or images: DATA=folder
	$(if $(value DATA),,$(call refuse,DATA,is no table; give one: make own DATA=my.csv))
	$(MAKE) study STUDY=own
	@echo
	@echo "verdict  results/own/verdict.md"

figures: .venv/installed ## draw the figures again from the stored tables
	$(SNAKEMAKE) figures --allowed-rules figures --forcerun figures
	@echo
	@echo "figures  $(RESULTS)/figures/"

report: study ## make results/<study>/report.html
	$(SNAKEMAKE) --report $(RESULTS)/report.html --report-stylesheet workflow/report/style.css
	@echo
	@echo "report   $(RESULTS)/report.html"

reference: study ## keep the study's tables, claims and some figures; write RESULTS.md, README's tables
	$(BIN)/python -m ndsm.report.answers results/reference README.md RESULTS.md --keep $(RESULTS) --name $(REFERENCE)

docs: .venv/installed ## write docs/configuration.md from the schema and config.yaml
	$(BIN)/python docs/configuration.py

gallery: .venv/installed ## draw the pictures of docs/gallery: 1 minute
	cd docs/gallery && for script in shapes wine digits; do ../../$(BIN)/python $$script.py; done

# All of them, so that Snakemake notices later changes of the settings behind each.
touch: .venv/installed ## take results copied here without .snakemake as up to date
	$(SNAKEMAKE) --touch --forceall

test: .venv/tested ## run the tests
	$(BIN)/python -m pytest

lint: .venv/tested ## check style, types and rules
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/python -m snakefmt --check Snakefile workflow/Snakefile workflow/rules
	$(SNAKEMAKE) --lint

bench: .venv/measured ## measure speed: results/bench/bench.md; PART=stacks for some rows
	$(BIN)/python -m bench $(foreach part,$(PART),$(call shell-text,$(part)))

unlock: .venv/installed ## release the folder, after a Snakemake that was killed
	$(SNAKEMAKE) --unlock

clean: ## remove the study's results
	rm -rf $(RESULTS)

# Before anything is downloaded.
VERSION_FITS := 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
WRONG_PYTHON = "error: PYTHON: "$(call shell-text,$(PYTHON))" is no Python 3.11, 3.12 or 3.13;" \
	"install one (apt, brew, pyenv, conda), or name it: make PYTHON=/path/to/python3.11"

.venv/installed: envs/requirements.txt pyproject.toml
	@$(PYTHON) -c $(VERSION_FITS) 2> /dev/null || { echo $(WRONG_PYTHON) >&2; exit 1; }
	@echo "installing the packages of $< into .venv, 1.8 GB; this takes some minutes"
	$(PYTHON) -m venv .venv
	command -v nvidia-smi > /dev/null || $(BIN)/python -m pip install --quiet --retries 0 \
		--extra-index-url $(TORCH_CPU) --no-deps "$$(grep -o '^torch==[^ ]*' $<)"
	$(BIN)/python -m pip install --quiet --requirement $<
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

.venv/tested: envs/requirements-cluster.txt envs/requirements-dev.txt .venv/installed
	$(BIN)/python -m pip install --quiet --requirement $< --requirement $(word 2,$^)
	@touch $@

# Without their dependencies: of those, what the benchmark uses is there, and torchvision is not used.
.venv/measured: envs/requirements-bench.txt .venv/installed
	$(BIN)/python -m pip install --quiet --no-deps --requirement $<
	@touch $@
