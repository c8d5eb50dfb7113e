"""What Snakemake refuses before any job starts: one line, also for what only it can see."""

import copy
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from conftest import ROOT, snakemake

SMOKE = ("--config", "study=smoke")
SETTINGS = yaml.safe_load((ROOT / "workflow" / "studies" / "smoke.yaml").read_text())


def test_a_bad_configuration_is_one_line(tree: Path) -> None:
    said = snakemake(tree, "--dry-run", *SMOKE, "seeds=0", status=1).stdout
    assert [line for line in said.splitlines() if "seeds" in line and "error" in line] == [
        "error: seeds: 0 is too small; allowed: 1 or more"
    ]
    assert "Traceback" not in said and "File " not in said


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("study: [mine\n", "Config file is not valid JSON or YAML."),
        ("study: mine\n\tseeds: 3\n", "make sure to not mix whitespace and tab indentation."),
        ("", "Config file must be given as JSON or YAML with keys at top level."),
        ("- study\n", "Config file must be given as JSON or YAML with keys at top level."),
        (yaml.safe_dump(SETTINGS) + "seeds: 4\n", "error: seeds: is there twice, line "),
        ("experiments:\n", "error: experiments: None is of the wrong type; allowed: a mapping"),
    ],
    ids=["broken", "tab", "empty", "list", "repeated", "nothing"],
)
def test_a_file_that_is_no_configuration_is_refused(tree: Path, text: str, line: str) -> None:
    (tree / "my.yaml").write_text(text)
    said = snakemake(tree, "--dry-run", "--configfile", "my.yaml", status=1).stdout
    assert line in said and "Traceback" not in said and "File " not in said


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("study=[smoke]", "study: ['smoke'] is unknown; allowed: default, "),
        ("seeds=abc", "seeds: 'abc' is of the wrong type; allowed: integer; YAML reads 1e3 as "),
        ("seeds=99999999999", "seeds: 99999999999 is too large; allowed: 1000 or less"),
        ("claim=C10", "claim: 'C10' is unknown; allowed: C1, C2, "),
        ("device=tpu", "device: 'tpu' is unknown; allowed: auto, cpu, cuda (did you mean 'cpu'?)"),
        ("scale=full", "scale: 'full' is unknown; allowed: nothing"),
        ("mnist_dir=", "mnist_dir: None is of the wrong type; allowed: string"),
        ("seed=3", "seed: 3 is given to no known key; allowed: study, seeds, "),
    ],
)
def test_a_bad_setting_of_the_command_line_is_one_line(tree: Path, given: str, line: str) -> None:
    said = snakemake(tree, "--dry-run", "--config", given, status=1).stdout
    assert len(said.splitlines()) <= 2 and f"error: {line}" in said.splitlines()[-1]


def test_braces_in_the_name_of_a_folder_are_its_own(tree: Path) -> None:
    (tree / "{its}").mkdir()
    (tree / "my.yaml").write_text(
        (tree / "workflow" / "studies" / "mnist.yaml").read_text() + "\nmnist_dir: '{its}'\n"
    )
    options = ("--dry-run", "--printshellcmds", "--configfile", "my.yaml", "--config", "claim=C7")
    assert "--folder '{its}'" in snakemake(tree, *options).stdout


@pytest.mark.parametrize(
    "name, sizes, seeds", [("weighted_modes", 10, 1000), ("digits_latent", 2, 700)]
)
def test_a_large_stack_has_commands_that_the_system_takes(
    tree: Path, name: str, sizes: int, seeds: int
) -> None:
    """A little below where it would be refused; in latent space most is names of autoencoders."""
    experiment = SETTINGS["experiments"][name] | {"methods": ["ndsm_jump"]}
    experiment |= {"n_train": list(range(101, 101 + sizes))}
    for key in ("variants", "thresholds"):
        experiment.pop(key, None)
    large = SETTINGS | {"study": "large", "seeds": seeds, "replicas_per_job": 20_000}
    large |= {"primary": {}, "secondary": [], "experiments": {name: experiment}}
    for side in ("score", "gradients", "forward"):
        del large[side]
    (tree / "my.yaml").write_text(yaml.safe_dump(large))
    said = snakemake(tree, "--dry-run", "--printshellcmds", "--configfile", "my.yaml").stdout
    longest = max((line for line in said.splitlines() if "python -m ndsm" in line), key=len)
    assert len(longest) > 100_000
    subprocess.run(["true", longest], check=True)  # one argument, as of bash -c


def test_a_stack_too_large_for_a_command_is_one_line(tree: Path) -> None:
    large = copy.deepcopy(SETTINGS) | {
        "seeds": 1000,
        "replicas_per_job": 20_000,
        "primary": {},
        "secondary": [],
    }
    large["experiments"]["digits_imbalance"]["n_train"] = list(range(101, 121))
    (tree / "my.yaml").write_text(yaml.safe_dump(large))
    said = snakemake(tree, "--cores", "1", "--configfile", "my.yaml", status=1).stdout
    line = r"^error: replicas_per_job: 20000 replicas take \d+ bytes .*; allowed: up to \d+$"
    assert re.search(line, said, re.MULTILINE)
    assert "Traceback" not in said and not (tree / "results").exists()


def test_an_unknown_study_names_those_there_are(tree: Path) -> None:
    said = snakemake(tree, "--dry-run", "--config", "study=smok", status=1).stdout
    allowed = "allowed: default, ablation, mnist, mnist_search, own, search, smoke"
    allowed += " (did you mean 'smoke'?)"
    assert f"error: study: 'smok' is unknown; {allowed}" in said
