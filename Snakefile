# The study: data → drift → train → sample → evaluate → aggregate → claims → figures.
#
#   snakemake --cores all                          the study of config.yaml
#   snakemake --cores all --config study=smoke     the study of workflow/studies/smoke.yaml
#   snakemake --cores all --config study=own data=my.csv    a table of your own
#   snakemake --cores all --configfile my.yaml     a study of your own
#   snakemake --cores all figures                  figures only, from stored tables
#   snakemake --cores 1 --touch --forceall         results copied here without .snakemake: nothing runs
import os
import sys

from snakemake.utils import min_version

min_version("9.27")

# The code that runs is this tree's, however the package is installed, and also where another
# workflow has this one as a module.
WORKFLOW = os.path.join(os.fspath(workflow.current_basedir), "workflow")
sys.path.insert(0, WORKFLOW)

from ndsm.study import code_dependencies, configuration as settings, configuration_files
from ndsm.study import figure_list, job_settings, methods, own_study, plan

settings.refuse_encoding()
configuration_files.check(workflow.configfiles)
# A file given by --configfile is a whole study, or names a table: no other is merged with it.
if "experiments" not in config and not ("data" in config and workflow.configfiles):
    study_file = settings.study_file(config.get("study", "default"))
    configuration_files.check([study_file])

    configfile: study_file


include: "workflow/rules/common.smk"
include: "workflow/rules/mnist.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/classifier.smk"
include: "workflow/rules/latent.smk"
include: "workflow/rules/drift.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/gradients.smk"
include: "workflow/rules/forward.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/verdict.smk"


# Written by the rule figures; only `snakemake --report` reads it.
report: os.path.abspath(f"{SHOWN}/report.rst")


rule all:
    default_target: True
    input:
        rules.aggregate.output,
        rules.claims.output,
        rules.figures.output,
        verdict(rules.verdict.output),


rule tables:
    input:
        rules.aggregate.output,
        rules.claims.output,
