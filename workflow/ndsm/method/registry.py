"""What a method can be made of: objectives, samplers and fits of the drift, by name.

Each has one line here. The schema of the configuration, its checks, the plan of the jobs and the
code itself read it; nothing here waits for torch to start. A function is named as in the module of
its kind: ``objectives``, ``samplers``, ``drift_fits``.
"""

from dataclasses import dataclass

CHAIN, DATA, BRIDGE = "chain", "data", "bridge"


@dataclass(frozen=True)
class Objective:
    """A training objective.

    Attributes:
        loss: its function in ``objectives``.
        examples: what it learns from (see ``training_examples``): jumps along the ``chain``, jumps
            from the ``data``, or a ``bridge`` from the data.
        evaluations: network evaluations of a step, per particle.
        linear: whether it is defined for the linear process alone, from data to N(0, I).
    """

    loss: str
    examples: str
    evaluations: int = 1
    linear: bool = False

    @property
    def learns(self) -> str:
        """What the loss takes of ``networks.ScoreNet``: the score itself, or its departure F."""
        return "departure" if self.examples == BRIDGE else "forward"


@dataclass(frozen=True)
class Sampler:
    """A reverse sampler.

    Attributes:
        generate: its function in ``samplers``.
        evaluations: network evaluations of a step.
        last: of the last step, where that has others.
        ode: whether it solves the probability flow; else the reverse SDE.
        angle: whether it does so in the angle φ, where a sample stays in place if F = 0.
    """

    generate: str
    evaluations: int = 1
    last: int | None = None
    ode: bool = False
    angle: bool = False


@dataclass(frozen=True)
class Fit:
    """How a drift is fitted to training points.

    Attributes:
        fit: its function in ``drift_fits``.
        asks: the settings that it must have.
        mixture: whether π is a mixture; else one component N(0, I).
    """

    fit: str
    asks: tuple[str, ...] = ()
    mixture: bool = True


OBJECTIVES = {
    "dsm": Objective("denoising", DATA, linear=True),
    "ndsm": Objective("ndsm", CHAIN),
    "ndsm_cv": Objective("ndsm_cv", CHAIN, evaluations=2),
    "ndsm_anti": Objective("ndsm_anti", CHAIN, evaluations=2),
    "ndsm_jump": Objective("denoising", DATA),
    "ndsm_flow": Objective("ndsm_flow", BRIDGE),
    "flow_matching": Objective("flow_matching", BRIDGE, linear=True),
}

SAMPLERS = {
    "adams": Sampler("by_adams", ode=True, angle=True),
    "edm": Sampler("by_edm", evaluations=2, last=1, ode=True),
    "euler": Sampler("by_euler"),
    "exponential": Sampler("by_exponential"),
    "heun": Sampler("by_heun", evaluations=2, ode=True, angle=True),
}

EM = ("covariance", "n_components", "selection")
FITS = {
    "ou": Fit("of_ou", mixture=False),
    "standard": Fit("of_standard", mixture=False),
    "em": Fit("of_em", EM),
    "labels": Fit("of_labels", ("labelled",)),
    "orbit": Fit("of_orbit", EM),
}


def learning_from(examples: str) -> list[str]:
    """The objectives that learn from such examples, in alphabetical order."""
    return sorted(name for name, entry in OBJECTIVES.items() if entry.examples == examples)
