"""Each thing to choose from has one line in a registry; what reads it has all of them."""

from typing import Any

import pytest
import torch

from ndsm.errors import Refused
from ndsm.method import drift_fits, objectives, samplers
from ndsm.method.forward_process import KERNELS, Chain, grid_of
from ndsm.method.mixture import Mixture, standard_normal
from ndsm.method.networks import ScoreNet
from ndsm.method.random_streams import Streams
from ndsm.method.registry import FITS, OBJECTIVES, SAMPLERS, learning_from
from ndsm.method.settings import ProcessSettings
from ndsm.metrics.registry import DIAGNOSTIC, METRICS
from ndsm.study import configuration


def test_every_name_has_its_function() -> None:
    for entry in OBJECTIVES.values():
        assert callable(getattr(objectives, entry.loss))
    for sampler in SAMPLERS.values():
        assert callable(getattr(samplers, sampler.generate))
    for fit in FITS.values():
        assert callable(getattr(drift_fits, fit.fit))


def test_the_schema_allows_what_the_registries_have() -> None:
    named = configuration.SCHEMA["$defs"]
    assert named["objective"]["enum"] == ["none", *OBJECTIVES]
    assert named["sampler"]["enum"] == [*SAMPLERS]
    assert named["fit"]["enum"] == [*FITS]


def test_objectives_by_what_they_learn_from() -> None:
    kinds = [learning_from(kind) for kind in ("chain", "data", "bridge")]
    assert kinds == [["ndsm", "ndsm_anti", "ndsm_cv"], ["dsm", "ndsm_jump"], kinds[2]]
    assert sorted(sum(kinds, [])) == sorted(OBJECTIVES)


def test_an_unknown_sampler_is_not_taken_for_another() -> None:
    nothing: Any = None
    with pytest.raises(Refused, match="sampler: 'heum' is unknown; allowed: adams, edm, euler, "):
        samplers.generate(nothing, torch.zeros(1, 1, 1), nothing, "heum", 3, nothing)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sampler_asks_the_network_as_often_as_it_says(sampler: str) -> None:
    """Counted; of a mixture's own score, F = 0."""

    class Counting(torch.nn.Module):
        calls = 0

        def forward(self, y: torch.Tensor, *_: Any) -> torch.Tensor:
            self.calls += 1
            return torch.zeros_like(y[..., :2])

    drift, network = standard_normal(1, 2), Counting()
    drift = Mixture(drift.log_weights.float(), drift.means.float())
    times = grid_of(ProcessSettings(t_min=0.01, T=3.0, steps=20, kernel="exponential"))
    chain = Chain(drift, KERNELS["exponential"], times, 1, from_data=True)
    net = ScoreNet(drift, network, False)
    samplers.generate(net, torch.zeros(1, 5, 2), chain, sampler, 7, Streams([("a", 0)]))
    assert network.calls == samplers.evaluations(sampler, 7)


def test_what_metrics_say_of_themselves() -> None:
    for name, metric in METRICS.items():
        assert (metric.right is not None) == (metric.better == "neither") == (name in DIAGNOSTIC)
