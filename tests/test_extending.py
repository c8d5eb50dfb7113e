"""docs/extending.md is true: with all of its additions a small study runs and uses them."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from conftest import ROOT, copy_tree, snakemake

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
# "In `file`" or "In `registry` of `file`", and the block of code that goes there.
ADDITION = re.compile(
    r"^In (?:`(\w+)`[^`]* of )?`(workflow/[\w/.]+)`[^\n]*:\n\n```\w+\n(.*?)^```", re.M | re.S
)
# What the page says in words.
IN_WORDS = {
    "workflow/ndsm/data/datasets.py": ("import Array, Law,", "import Array, Law, square,"),
    "workflow/schemas/config.schema.yaml": ("C8, C9]", "C8, C9, C10]"),
}
STUDY = {
    "study": "extended",
    "seeds": 3,
    "replicas_per_job": 3,
    "device": "cpu",
    "verdict": {"level": 0.05, "resamples": 99},
    "methods": {
        "one": {"objective": "none", "drift": "one"},
        "em": {"objective": "none", "drift": "em"},
        "dsm": {"objective": "dsm", "drift": "ou"},
        "absolute": {"objective": "absolute", "drift": "ou"},
        "heun": {"objective": "dsm", "drift": "ou", "sampler": "heun", "sampler_steps": 6},
        "fine": {"objective": "dsm", "drift": "ou", "sampler": "fine_heun", "sampler_steps": 3},
    },
    "experiments": {
        "square": {
            "dataset": {"name": "square", "pool": 300, "held_out": 300},
            "n_train": [100],
            "methods": ["one", "em", "dsm", "absolute", "heun", "fine"],
            "metrics": ["error_of_mean", "kl"],
            "drifts": {
                "ou": {"fit": "ou"},
                "one": {"fit": "one"},
                "em": {
                    "fit": "em",
                    "covariance": "tied",
                    "n_components": 1,
                    "selection": "bic",
                },
            },
            "process": {
                "kernel": "exponential",
                "steps": 20,
                "t_min": 1.0e-3,
                "T": 4.0,
                "tolerance": 0.1,
            },
            "network": {"type": "mlp", "sees_drift": True, "width": 8, "depth": 2},
            "training": {
                "evaluations": 200,
                "batch": 32,
                "learning_rate": 2.0e-3,
                "ema": 0.1,
                "pool": 32,
            },
            "sampling": {"sampler": "adams", "steps": 8, "samples": 200},
        }
    },
    "secondary": [
        {"id": "C10", "experiment": "square", "metric": "error_of_mean"}
        | {"method": "dsm", "baseline": "one"}
    ],
}


def extended(tree: Path) -> Path:
    """A copy of the tree with every addition of the page."""
    copy_tree(tree)
    for registry, file, code in ADDITION.findall(PAGE):
        path = tree / file
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if registry:
            start = re.search(rf"^{registry}\b.* = {{\n", text, re.M)
            assert start, f"{file} has no {registry}"
            text = text[: start.end()] + code + text[start.end() :]
        else:
            # Before the registry of the same file, which names it.
            first = re.search(r"^RARE = ", text, re.M) if file.endswith("registry.py") else None
            where = first.start() if first else len(text)
            text = text[:where] + "\n\n" * bool(text) + code + "\n\n" * bool(first) + text[where:]
        path.write_text(text, encoding="utf-8")
    for file, (before, after) in IN_WORDS.items():
        text = (tree / file).read_text(encoding="utf-8")
        assert text.count(before) == 1
        (tree / file).write_text(text.replace(before, after), encoding="utf-8")
    return tree


def test_what_the_page_adds_is_used(tmp_path: Path) -> None:
    tree = extended(tmp_path / "tree")
    (tree / "my.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    snakemake(tree, "--cores", "all", "--configfile", "my.yaml")
    results = tree / "results" / "extended"
    table = pd.read_csv(results / "tables" / "metrics.csv").query("method != 'real'")
    values = table.pivot(index="seed", columns=["method", "metric"], values="value")
    assert np.isfinite(values.to_numpy()).all() and len(values) == 3
    for metric in ("error_of_mean", "kl"):
        # The new drift is EM's with one component; the new sampler Heun's with twice the steps.
        assert values["one", metric].tolist() == values["em", metric].tolist()
        assert values["fine", metric].tolist() == values["heun", metric].tolist()
        assert (values["absolute", metric] != values["dsm", metric]).all()
    x = load_file(results / "sample" / "square" / "one" / "0.safetensors")["samples"]
    y = load_file(results / "data" / "square.safetensors")["held_out"]
    errors = np.linalg.norm(x.mean(1) - y.mean(0), axis=1)
    assert values["one", "error_of_mean"].to_numpy() == pytest.approx(errors, rel=1e-4)
    assert ((y >= 0) & (y <= 1)).all()
    assert (results / "figures" / "means_square.png").stat().st_size > 1000
    assert "C10" in set(pd.read_csv(results / "claims.csv").id)
