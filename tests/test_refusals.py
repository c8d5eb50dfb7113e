"""Settings that a job would refuse hours later, or misunderstand: refused before any job starts."""

import re
from typing import Any

import pytest
import torch

from changed import SMOKE, changed, refusal
from ndsm.method.forward_process import grid_of
from ndsm.method.settings import ProcessSettings
from ndsm.study import configuration, job_settings
from ndsm.study.grids import steps_of, times_of

Settings = dict[str, Any]
EULER = {"kernel": "euler", "steps": 80}


BAD = {
    # what a chain, a step or a fit cannot have
    "methods.ndsm_anti.stride": (21, r"methods.ndsm_anti.stride: 21 .*allowed: up to .*steps, 20"),
    "experiments.weighted_modes.tuned.ndsm_anti": (
        {"process": {"steps": 10}},
        r"methods.ndsm_anti.stride: 15 .*allowed: up to process.steps, 10",
    ),
    "defaults.training.evaluations": (1, r"evaluations: 1 make no step of ndsm_anti, .*allowed"),
    "defaults.drifts.gmm.n_components": (
        [26, 30],
        r"gmm.n_components: 26 components have too few points; .* half .*, 25$",
    ),
    "defaults.drifts.orbit.n_components": (52, r"orbit.n_components: 52 .* n_train, 50$"),
    # grids that single precision or the kernel does not take
    "defaults.process.log_noise": ([0, 1e-9], r"process.steps: 20 have one of .* of its time"),
    "defaults.process.t_min": (3.9999999, r"process.steps: 20 have one of .* of its time"),
    "defaults.process.steps": (10**6, r"process.steps: 1000000 is too large; .* 100000 or less"),
    "defaults.process.T": (18, r"process.T: 18 is too large; allowed: 10 or less"),
    "methods.ndsm_cv_euler.process": (
        EULER | {"steps": 10},
        r"methods.ndsm_cv_euler.process.steps: 10 have one of 2.41 with kernel euler",
    ),
    "methods.dsm.process": (EULER, r"methods.dsm.process.kernel: 'euler' with objective dsm "),
    "methods.ndsm_jump.process": (EULER, r"ndsm_jump.process.kernel: 'euler' with objective"),
    # drifts that the studies at the side cannot have
    "gradients.drift": ("mixture", r"gradients.drift: 'mixture' is of covariance full, .*: gmm$"),
    "forward.drift": ("mixture", r"forward.drift: 'mixture' is of covariance full, .*: .*gmm$"),
    "experiments.weighted_modes.dataset.held_out": (
        50,
        r"weighted_modes.dataset.held_out: 50 are too few of the rarest mode .* 500 or more",
    ),
    "score.noise": ([55.0], r"score.noise: 55.0 is more than ndsm_anti has at its end; .* 54.6"),
    "score.noise.0": (1e-300, r"score.noise.0: 1e-300 is too small; allowed: 0.001 or more"),
    # numbers with which nothing is learned, or all is lost
    "methods.edm.weight": (4.6, r"methods.edm.weight: 4.6 is too large; allowed: up to 4.5 with"),
    "experiments.weighted_modes.tuned.dsm": (
        {"weight": 5},
        r"experiments.weighted_modes.tuned.dsm.weight: 5 is too large; allowed: up to 4.5",
    ),
    "methods.dsm.weight": (-1e308, r"methods.dsm.weight: -1e\+308 is too small; allowed: -10 or"),
    "methods.gmm_tempered.temperature": (1e-300, r"temperature: 1e-300 is too small"),
    "defaults.training.learning_rate": (1e9, r"learning_rate: 1000000000.0 is too large; .*: 1 or"),
    "experiments.digits_latent.autoencoder.learning_rate": (
        1e9,
        r"autoencoder.learning_rate: 1000000000.0 is too large; allowed: 1 or less",
    ),
    "experiments.digits_latent.autoencoder.kl": (1e308, r"kl: 1e\+308 is too large; .* 1000 or"),
    "experiments.digits_latent.autoencoder.latent": (1, r"latent: 1 is too small; .*: 2 or more"),
    "verdict.resamples": (10**9, r"verdict.resamples: 1000000000 is too large; .* 100000 or less"),
}


@pytest.mark.parametrize("key", BAD)
def test_what_a_job_cannot_have_is_refused(key: str) -> None:
    value, line = BAD[key]
    lines = refusal(changed(key, value))
    assert any(re.match(f"error: (.*\\.)?{line}", said) for said in lines), lines


@pytest.mark.parametrize("section", ["gradients", "forward"])
@pytest.mark.parametrize(
    ("drift", "problem"),
    [
        ("orbit", "experiments.weighted_modes.drifts.orbit.fit: 'orbit' without a symmetry"),
        ("vae_prior", "drift: 'vae_prior' is linear"),
        ("none", "drift: 'none' is unknown"),
    ],
)
def test_a_drift_of_a_side_study_is_checked_though_no_method_has_it(
    section: str, drift: str, problem: str
) -> None:
    (line,) = refusal(changed(f"{section}.drift", drift))
    assert problem in line


def test_a_score_needs_points_beside_those_where_it_is_measured() -> None:
    own = {"dataset": {"name": "weighted_modes", "held_out": 98}, "metrics": ["kl"]}
    for samples, refused in ((200, True), (201, False)):
        raw = alone(["ndsm_anti"], **own, sampling={"samples": samples})
        raw = {key: value for key, value in raw.items() if key != "forward"}
        raw |= {"score": SMOKE["score"]}
        if refused:
            (line,) = refusal(raw)
            assert line.startswith("error: score.experiment: 'weighted_modes' has 98 held-out")
        else:
            configuration.resolve(raw)


def test_gradients_know_no_labels() -> None:
    (line,) = refusal(changed("gradients.drift", "labels"))
    assert line.startswith("error: gradients.drift: 'labels' is fitted with labels; allowed: gmm")
    configuration.resolve(changed("forward.drift", "labels"))


def alone(methods: list[str], **changes: Any) -> Settings:
    """The smoke study's ``weighted_modes`` with these methods, and no claims."""
    own = SMOKE["experiments"]["weighted_modes"] | {"methods": methods} | changes
    raw = SMOKE | {"experiments": {"weighted_modes": own}, "primary": {}, "secondary": []}
    return {key: value for key, value in raw.items() if key not in ("score", "gradients")}


def test_a_full_covariance_is_shown_by_the_kernel_that_can_have_it() -> None:
    raw = alone(["ndsm_cv_euler"], process=EULER)
    configuration.resolve(raw | {"forward": SMOKE["forward"] | {"drift": "mixture"}})


@pytest.mark.parametrize("key", ["defaults.sampling.samples", "defaults.n_train"])
@pytest.mark.parametrize("number", [0, 1])
def test_too_few_of_several_are_one_line_with_the_bound(key: str, number: int) -> None:
    (line,) = refusal(changed(key, number if "samples" in key else [number]))
    assert line.endswith(f": {number} is too small; allowed: 2 or more")


@pytest.mark.parametrize(
    "process",
    [
        {"t_min": 1e-3, "T": 4.0, "steps": 100},
        {"t_min": 8e-6, "T": 5.08, "steps": 60, "log_noise": [-0.507, 1.2]},
        {"t_min": 1e-3, "T": 4.0, "steps": 2},
    ],
)
def test_the_grid_of_the_checks_is_that_of_the_process(process: Settings) -> None:
    times = grid_of(ProcessSettings(kernel="exponential", **process)).double()
    torch.testing.assert_close(
        torch.tensor(times_of(process)).double(), times[1:], rtol=3e-7, atol=0
    )
    h = times.diff()
    expected = (h / times[1:]).min().item(), h.max().item()
    assert steps_of(process) == pytest.approx(expected, rel=1e-4)


def test_a_drift_is_simulated_as_a_method_simulates_it() -> None:
    """By the experiment's process, or where no method has its kernel by the method's own."""
    study = configuration.resolve(alone(["dsm", "ndsm_cv_euler"]))
    job = {"experiment": "weighted_modes", "part": "0"}
    told = {d: job_settings.spec(study, "drift", drift=d, **job)["process"] for d in ("ou", "gmm")}
    assert told["ou"] == SMOKE["defaults"]["process"]
    assert told["gmm"] == SMOKE["defaults"]["process"] | EULER
    study = configuration.resolve(alone(["ndsm_anti", "ndsm_cv_euler"]))
    assert job_settings.spec(study, "drift", drift="gmm", **job)["process"] == told["ou"]
