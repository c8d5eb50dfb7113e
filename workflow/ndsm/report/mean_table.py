"""The README's table of means: the default study's methods with the most training points."""

import pandas as pd

from ndsm.report.markdown_table import markdown_table

# Experiment, metric, heading.
SHOWN = [
    ("weighted_modes", "kl", "weighted_modes, KL"),
    ("heavy_tails", "kl", "heavy_tails, KL"),
    ("pinwheel", "nll", "pinwheel, −log p"),
    ("clusters16", "kl", "clusters16, KL"),
    ("breast_cancer", "nll", "breast_cancer, −log p"),
    ("digits", "fid", "digits, FID"),
    ("digits_latent", "nll", "codes of digits, −log p"),
]
METHODS = {
    "dsm": "linear noise (`dsm`)",
    "flow_matching": "straight paths (`flow_matching`)",
    "gmm_tempered": "the best mixture alone, sharpened (`gmm_tempered`)",
    "gmm_drift": "the drift's mixture alone (`gmm_drift`)",
    "dsm_mixture": "linear noise, the drift's mixture known (`dsm_mixture`)",
    "ndsm_cv": "nonlinear noise, the paper's (`ndsm_cv`)",
    "ndsm_flow": "nonlinear noise, exact jumps (`ndsm_flow`)",
    "gmm": "the best mixture alone (`gmm`)",
    "dsm_mixture_best": "linear noise, the best mixture known (`dsm_mixture_best`)",
    "ndsm_flow_best": "nonlinear noise of the best mixture, exact jumps (`ndsm_flow_best`)",
}
ERRORS = 2
MIXTURES = ("gmm", "gmm_tempered", "gmm_drift")  # the methods among them without a network


def markdown(metrics: pd.DataFrame) -> list[str]:
    """The means with the most training points, the best of each column in bold.

    Below it the columns where a mixture alone is as good, but for ``ERRORS`` standard errors of the
    difference over seeds.

    Args:
        metrics: of the default study, tidy.
    """
    columns, alone = dict[str, pd.Series](), []
    for experiment, metric, title in SHOWN:
        rows = metrics[(metrics.experiment == experiment) & (metrics.metric == metric)]
        rows = rows[rows.method.isin(METHODS) & (rows.n_train == rows.n_train.max())]
        values = rows.pivot(index="seed", columns="method", values="value")
        columns[title] = means = values.mean()
        if len(means):
            behind = values[[name for name in MIXTURES if name in values]]
            behind = behind.sub(values[means.idxmin()], axis=0)
            if (behind.mean() <= ERRORS * behind.sem()).any():
                alone.append(title)
    shown = pd.DataFrame(columns, index=list(METHODS))
    rows = []
    for method, words in METHODS.items():
        texts = [_digits(value) for value in shown.loc[method]]
        best = [_digits(shown[title].min()) for title in columns]
        texts = [f"**{t}**" if t and t == b else t for t, b in zip(texts, best, strict=True)]
        rows.append([words, *texts])
    lines = markdown_table(["", *columns], rows)
    if alone:
        words = (
            f"A mixture without any network is the best, or behind it by at most {ERRORS} standard "
            f"errors over seeds, in {len(alone)} of the {len(columns)} columns"
        )
        lines += ["", f"{words}: {'; '.join(alone)}."]
    return lines


def _digits(value: float) -> str:
    """Three digits; empty where there is no value."""
    return "" if pd.isna(value) else f"{value:#.3g}".rstrip(".")
