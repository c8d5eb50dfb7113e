"""A mistake in a configuration is one line: the key, the value, what is allowed."""

import re
from typing import Any

import pytest

from changed import DELETED, SMOKE, changed, refusal

BAD = [
    # misspelt keys and names, with the nearest match
    ("seed", 3, r"seed: 3 .*did you mean 'seeds'"),
    ("defaults.training.batchs", 3, r"defaults.training.batchs: 3 .*did you mean 'batch'"),
    ("experiments.digits.trainig", {}, r"experiments.digits.trainig: .*'training'"),
    ("methods.dsm.objective", "dms", r"methods.dsm.objective: 'dms' .*allowed: none, dsm,"),
    ("methods.dsm.drift", "uo", r"methods.dsm.drift: 'uo' .*did you mean 'ou'"),
    ("experiments.digits.methods", ["dsn"], r"experiments.digits.methods: 'dsn' .*'dsm'"),
    ("experiments.digits.dataset.name", "digit", r"digits.dataset.name: 'digit' .*'digits'"),
    ("experiments.digits.dataset.pools", 9, r"experiments.digits.dataset.*'pools'"),
    ("experiments.digits.metrics", ["fdi"], r"experiments.digits.metrics: 'fdi' .*'fid'"),
    ("defaults.process.kernel", "eular", r"defaults.process.kernel: 'eular' .*'euler'"),
    ("defaults.sampling.sampler", "huen", r"defaults.sampling.sampler: 'huen' .*'heun'"),
    ("defaults.drifts.gmm.covariance", "teid", r"gmm.covariance: 'teid' .*'tied'"),
    ("device", "gpu", r"device: 'gpu' .*allowed: auto, cpu, cuda"),
    # numbers out of range or of the wrong kind
    ("seeds", 0, r"seeds: 0 is too small; allowed: 1 or more"),
    ("seeds", -1, r"seeds: -1 is too small"),
    ("seeds", 2.0, r"seeds: 2.0 is of the wrong type; allowed: integer"),
    ("seeds", True, r"seeds: True is of the wrong type"),
    ("defaults.training.evaluations", "4e3", r"evaluations: '4e3' .*1.0e\+3"),
    ("defaults.training.learning_rate", float("nan"), r"learning_rate: nan"),
    ("defaults.training.learning_rate", 0, r"learning_rate: 0 .*more than 0"),
    ("defaults.training.ema", 0.5, r"training.ema: 0.5 .*less than 0.5"),
    ("defaults.process.steps", 0, r"process.steps: 0 is too small"),
    ("defaults.sampling.steps", -4, r"sampling.steps: -4 is too small"),
    ("defaults.network.width", 0, r"network.width: 0 is too small"),
    ("defaults.network.depth", -1, r"network.depth: -1 is too small"),
    ("defaults.n_train", [50, 100, 50], r"defaults.n_train: 50 is there twice"),
    ("defaults.n_train", [], r"defaults.n_train: \[\] is too short"),
    ("verdict.level", 5, r"verdict.level: 5 is too large"),
    ("study", "a/b", r"study: 'a/b' is no name"),
    ("defaults.drifts.gmm.n_components", 0, r"gmm.n_components: 0 is too small"),
    ("defaults.process.T", 10**400, r"process.T: 10{58}… is of the wrong type; allowed: number"),
    ("seeds", 1001, r"seeds: 1001 is too large; allowed: 1000 or less"),
    ("defaults.n_train", [50, 10**12], r"n_train.1: 1000000000000 is too large"),
    ("defaults.drifts.gmm.n_components", 10**12, r"gmm.n_components: 1000000000000 is too large"),
    ("experiments.weighted_modes.dataset.held_out", 1, r"held_out: 1 is too small; .*2 or more"),
    ("defaults.process.log_noise", [0, 1, 2], r"log_noise: \[0, 1, 2\] is too long; allowed: 2 "),
    # names that would break a path, long values, keys that are no text
    ("study", "smoke\n", r"study: 'smoke\\n' is no name; allowed: up to 60 letters"),
    ("study", "x" * 61, r"study: 'x{58}… is no name"),
    ("experiments.digits.methods", ["a/b"], r"digits.methods.0: 'a/b' is no name"),
    ("secondary.6.experiment", "digits\n", r"secondary.6.experiment: 'digits\\n' is no name"),
    ("device", "x" * 999, r"device: 'x{58}… is unknown; allowed: auto, cpu, cuda$"),
    ("seed\ns", 3, r"seed\\ns: 3 is given to no known key; .*did you mean 'seeds'"),
    ("", 3, r"'': 3 is given to no known key"),
    (" seeds", 3, r"' seeds': 3 is given to no known key; .*did you mean 'seeds'"),
    ("methods", {250: {}}, r"methods: 250 is of the wrong type; allowed: string$"),
    # what is missing
    ("experiments", {}, r"experiments: {} is too short"),
    ("experiments", DELETED, r"experiments: is missing"),
    ("defaults.network", DELETED, r"experiments.\w+.network: is missing"),
    ("defaults.training.ema", DELETED, r"experiments.\w+.training.ema: is missing"),
    ("defaults.drifts.gmm.selection", DELETED, r"drifts.gmm.selection: is missing"),
    # settings that contradict one another or the data
    ("experiments.digits.n_train", [2000], r"digits.n_train: 2000 .*allowed: up to 1000"),
    ("defaults.n_train", [50, 501], r"n_train: 501 is more than weighted_modes has.*500"),
    ("defaults.drifts.gmm.n_components", [60, 70], r"gmm.n_components: 60 .*n_train, 25"),
    (
        "experiments.weighted_modes.metrics",
        ["fid"],
        r"experiments.weighted_modes.metrics: 'fid' does not suit weighted_modes",
    ),
    (
        "experiments.digits.metrics",
        ["log_density_gap"],
        r"experiments.digits.metrics: 'log_density_gap' does not suit",
    ),
    ("methods.dsm.alpha", "learned", r"methods.dsm.alpha: learned .*allowed: objective ndsm_cv"),
    ("methods.dsm.stride", 3, r"methods.dsm.stride: 3 .*allowed: 1, or"),
    ("methods.dsm.drift", "gmm", r"methods.dsm.drift: 'gmm' is not linear.*allowed: ou"),
    ("defaults.process.kernel", "euler", r"methods.ndsm_anti.stride: 15 with kernel euler"),
    ("defaults.drifts.gmm.covariance", "full", r"gmm.covariance: 'full' .*spherical, tied"),
    ("defaults.process.t_min", 5.0, r"process.t_min: 5.0 .*less than T, 4.0"),
    ("methods.real", {"objective": "none", "drift": "ou"}, r"methods.real: "),
    ("gradients.experiment", "weighted_mode", r"gradients.experiment: .*'weighted_modes'"),
    ("forward.drift", "ou", r"forward.drift: 'ou' is linear; allowed: labels, gmm$"),
    ("forward.n_train", 51, r"forward.n_train: 51 is unknown; allowed: 50, 100"),
    # images
    ("experiments.digits_imbalance.dataset.shares", [0.5, 0.6], r"shares: .* sum to 1.1"),
    ("experiments.digits_imbalance.dataset.shares", [1.2, -0.2], r"shares.1: -0.2 is too small"),
    ("experiments.digits_imbalance.n_train", [200], r"n_train: 200 is more .* up to 137"),
    ("experiments.digits_symmetry.dataset.symmetry.share", 1.0, r"symmetry.share: 1.0 is too"),
    ("experiments.digits_symmetry.dataset.symmetry", {"share": 0.3}, r"departure: is missing"),
    (
        "experiments.digits_imbalance.dataset.shares",
        [0.99, 0.01],
        r"shares: 0.01 leaves a class 0.39 held-out images; allowed: 0, or .* 5$",
    ),
    (
        "experiments.digits_symmetry.dataset.symmetry.share",
        0.001,
        r"share: 0.001 leaves a branch too few; allowed: 0.05 to 0.95, 20 held-out ima",
    ),
    ("experiments.digits_symmetry.dataset.symmetry.share", 0.999, r"share: 0.999 leaves a branch"),
    ("experiments.digits.metrics", ["rare_fid"], r"metrics: 'rare_fid' does not suit digits"),
    ("experiments.digits.metrics", ["branch_tv"], r"metrics: 'branch_tv' does not suit digits"),
    ("experiments.digits.methods", ["ndsm_anti_orbit"], r"fit: 'orbit' without a symmetry"),
    ("experiments.digits.methods", ["dsm_equivariant"], r"symmetric: True without a symmetry"),
    ("methods.dsm_equivariant.drift", "ou", r"drift: 'ou' with equivariant; .* symmetric true"),
    ("defaults.drifts.orbit.n_components", 5, r"n_components: 5 with fit orbit; .* even"),
    ("defaults.drifts.orbit.covariance", "tied", r"covariance: 'tied' with fit orbit"),
    ("defaults.drifts.labels", {"fit": "labels"}, r"drifts.labels.labelled: is missing"),
    ("experiments.digits_symmetry.network.width", 12, r"width: 12 with unet; .* multiple of 8"),
    (
        "experiments.clusters16.network",
        {"type": "unet"},
        r"network.type: 'unet' with dataset clusters16",
    ),
    ("defaults.process.log_noise", [-0.6, 0], r"log_noise.1: 0 is too small; allowed: more than"),
    (
        "experiments.digits_symmetry.dataset.symmetry.departure",
        2,
        r"symmetry.departure: 2 is too large; allowed: 1 or less",
    ),
    # latent space and variants
    ("experiments.clusters16.space", "latent", r"clusters16.autoencoder: is missing"),
    ("experiments.digits_latent.space", "latnt", r"space: 'latnt' .*did you mean 'latent'"),
    ("experiments.digits_latent.dataset.name", "rings", r".*'latent' with dataset rings"),
    ("experiments.digits_latent.network", {"type": "unet"}, r"type: 'unet' in latent space"),
    ("experiments.digits_latent.autoencoder.kl", 0, r"autoencoder.kl: 0 is too small"),
    ("experiments.digits_latent.autoencoder.sees", "som", r"sees: 'som' .*subset, all"),
    ("experiments.digits.methods", ["vae_prior"], r"fit: 'standard' in pixel space"),
    ("experiments.digits_latent.dataset.symmetry.departure", 0, r"symmetry.share: is missing"),
    (
        "experiments.digits_latent_short",
        {},
        r"variants.short: 'digits_latent_short' is an experiment",
    ),
    ("experiments.digits_latent.variants.short.variants", {"a": {}}, r".*a variant of a variant"),
    (
        "experiments.digits_latent.variants.short.trainin",
        {},
        r"variants.short.trainin: .*'training'",
    ),
    (
        "experiments.digits_latent.variants.short.training.batch",
        0,
        r"training.batch: 0 is too small",
    ),
    (
        "experiments.digits_latent.thresholds",
        {"fdi": [1]},
        r"thresholds: 'fdi' is unknown; .*'fid'",
    ),
    ("experiments.digits_latent.thresholds", {}, r"thresholds: {} is too short"),
    ("methods.decoded", {"objective": "none", "drift": "ou"}, r"methods.decoded: "),
    ("methods.edm.sampler", "emd", r"methods.edm.sampler: 'emd' .*did you mean 'edm'"),
    ("score.experiment", "digits_latent", r"score.experiment: 'digits_latent' is in latent space"),
    ("methods.gmm.sampler", "edm", r"methods.gmm.sampler: edm with objective none"),
    # what to run
    ("study", "reference", r"study: 'reference' is the folder of what is kept; allowed: other"),
    ("mnist_dir", "/nowhere", r"mnist_dir: '/nowhere' is no folder; allowed: the folder of"),
    ("mnist_dir", "", r"mnist_dir: '' is no folder"),
    ("mnist_dir", "x" * 9999, r"mnist_dir: 'x{58}… is no folder"),
    ("scale", "ful", r"scale: 'ful' is unknown; allowed: nothing$"),
    ("claim", "C10", r"claim: 'C10' is unknown; allowed: C1, C2"),
    # claims
    ("primary.C1.rival", "dms", r"primary.C1.rival: 'dms' .*'dsm'"),
    ("primary.C1.n_train", [50, 100], r"primary.C1.n_train: \[50, 100\]"),
    (
        "primary.C10",
        {"experiment": "digits", "metric": "fid", "method": "gmm"},
        r"primary: 'C10' is unknown; .*C1",
    ),
    (
        "primary.C5.n_train",
        50,
        r"primary.C5.n_train: 50 with 'points_saved:kl'.*; allowed: nothing",
    ),
    (
        "experiments.digits_latent.thresholds.fid",
        ["emd"],
        r"digits_latent.thresholds.fid: 'emd' is unknown; .*'edm'",
    ),
    ("secondary.0.id", "C10", r"secondary.0.id: 'C10' .*allowed: C1"),
    ("secondary.0.experiment", "weighted_mods", r"secondary.0.experiment: .*'weighted_modes'"),
    ("secondary.0.method", "ndsm_flo", r"secondary.0.method: 'ndsm_flo' .*'ndsm_flow'"),
    ("secondary.0.baseline", "dms", r"secondary.0.baseline: 'dms' .*'dsm'"),
    ("secondary.0.metric", "energy_distanc", r"secondary.0.metric: .*'energy_distance'"),
    (
        "secondary.7.metric",
        "nearest_ratio",
        r"secondary.7.metric: 'nearest_ratio' is unknown; .*fid",
    ),
    (
        "experiments.digits_latent.thresholds",
        {"nearest_ratio": [1]},
        r"digits_latent.thresholds: 'nearest_ratio' is unknown",
    ),
    ("secondary.0.n_train", 60, r"secondary.0.n_train: 60 is unknown; allowed: 50, 100"),
    (
        "secondary.0.n_train",
        DELETED,
        r"secondary.0.n_train: is missing, .* several; allowed: 50, 100",
    ),
    (
        "secondary.8.experiment",
        "digits_latent_short",
        r"secondary.8.metric: .* in digits_latent_short",
    ),
    (
        "secondary.8.baseline_experiment",
        "digits_latent_short",
        r"secondary.8.metric: 'seconds_to:fid:",
    ),
    ("secondary.0.at_most", 0.1, r"secondary.0: both of baseline, at_most"),
    ("secondary.0.baseline", DELETED, r"secondary.0: neither of baseline, at_most"),
    ("secondary.1.method", "gmm", r"secondary.1.method: 'gmm' is unknown"),
    ("secondary.0.baseline_experiment", "nowhere", r"secondary.0.baseline_experiment: 'nowhere'"),
    ("secondary.0.baseline_experiment", "digits", r"secondary.0.baseline: 'dsm' .* in digits"),
    (
        "secondary.0.metric",
        "seconds_to:fid:3",
        r"secondary.0.metric: 'seconds_to:fid:3' is unknown",
    ),
    ("secondary.2.method", "dsm", r"secondary.2.method: 'dsm' is unknown; allowed: ndsm,"),
    (
        "secondary.6.metric",
        "best_budget:fid",
        r"secondary.6.experiment: 'digits' is unknown; allowed: digits_latent.* with 'best_budget:",
    ),
]


@pytest.mark.parametrize(("key", "value", "line"), BAD, ids=str)
def test_bad_input_is_refused_in_one_line(key: str, value: Any, line: str) -> None:
    lines = refusal(changed(key, value))
    assert any(re.search(f"^error: (.*\\.)?{line}", said) for said in lines), lines
    # A default shows in every experiment that takes it; otherwise one mistake is one line.
    assert len(lines) <= (len(SMOKE["experiments"]) * 3 if "defaults" in key else 3)
