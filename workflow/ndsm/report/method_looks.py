"""How each method is drawn: one colour, marker and dash in every figure of every study."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from ndsm.vocabulary import UNTRAINED

# Every pair is at least 20 apart (CAM02-UCS), with full colour vision and without one of its cones:
# tests/test_style.py. Blue is linear noise, warm is nonlinear, ink and grey the rest.
INK, GREY = "#1a1a1a", "#9e9e9e"
NAVY, BLUE, CYAN = "#0200d9", "#4283d9", "#07cef8"
WINE, AMBER, OCHRE, BROWN = "#a81e61", "#eeb039", "#9a730b", "#573901"
OWN = ("#029e73", "#cc78bc", "#56b4e9")  # of methods that ``METHODS`` does not have
# A dash for each family: no network, linear noise, nonlinear noise; and for those of one's own.
ALONE, LINEAR_NOISE, NONLINEAR = (0, (3, 1, 1, 1)), (0, (4, 1.5)), "-"
OWN_DASHES, UNTRAINED_DASHES = (0, (6, 1, 1, 1, 1, 1)), (0, (1, 2))
OWN_MARKERS = "phH8dD*"

# Of all studies. In colour what the claims are about; in grey what gives them their context.
METHODS: dict[str, tuple[str, str, str | tuple]] = {
    "gmm": (INK, "o", ALONE),
    "gmm_orbit": (INK, "h", ALONE),
    "gmm_drift": (GREY, "s", ALONE),
    "gmm_labels": (GREY, "h", ALONE),
    "gmm_tempered": (GREY, "<", ALONE),
    "vae_prior": (GREY, "p", ALONE),
    "dsm": (NAVY, "D", LINEAR_NOISE),
    "dsm_mixture": (BLUE, "v", LINEAR_NOISE),
    "dsm_mixture_orbit": (BLUE, "^", LINEAR_NOISE),
    "dsm_mixture_best": (CYAN, ">", LINEAR_NOISE),
    "dsm_equivariant": (CYAN, "p", LINEAR_NOISE),
    "flow_matching": (GREY, "^", LINEAR_NOISE),
    "edm": (GREY, "*", LINEAR_NOISE),
    "dsm_sde": (GREY, "D", LINEAR_NOISE),
    "dsm_weight2": (GREY, "8", LINEAR_NOISE),
    "ndsm": (BROWN, "d", NONLINEAR),
    "ndsm_cv": (WINE, "P", NONLINEAR),
    "ndsm_cv_orbit": (WINE, "s", NONLINEAR),
    "ndsm_flow": (AMBER, "X", NONLINEAR),
    "ndsm_cv_equivariant": (AMBER, "H", NONLINEAR),
    "ndsm_flow_best": (OCHRE, "*", NONLINEAR),
    "ndsm_cv_labels": (OCHRE, "<", NONLINEAR),
    "ndsm_as_cv": (BROWN, "P", NONLINEAR),
    "ndsm_anti": (GREY, "o", NONLINEAR),
    "ndsm_anti_orbit": (BROWN, "o", NONLINEAR),
    "ndsm_jump": (GREY, "v", NONLINEAR),
    "ndsm_jump_labels": (BROWN, "v", NONLINEAR),
    "ndsm_jump_sde": (BROWN, ">", NONLINEAR),
    "ndsm_euler": (GREY, "d", NONLINEAR),
    "ndsm_cv_euler": (GREY, "P", NONLINEAR),
    "ndsm_stride1": (BROWN, "8", NONLINEAR),
    "ndsm_cv_stride1": (GREY, "X", NONLINEAR),
    "ndsm_cv_stride5": (GREY, "H", NONLINEAR),
    "ndsm_cv_stride50": (BROWN, "H", NONLINEAR),
    "ndsm_cv_learned": (GREY, ">", NONLINEAR),
    "ndsm_cv_pool1": (BROWN, "p", NONLINEAR),
    "ndsm_cv_sde": (BROWN, "<", NONLINEAR),
    "ndsm_flow_edm": (BROWN, "X", NONLINEAR),
}


@dataclass(frozen=True)
class Look:
    """How one method is drawn."""

    color: str
    marker: str
    linestyle: str | tuple


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each method: that of ``METHODS``, whatever else is drawn.

    Others, of a study of one's own, get what remains, in their order. An untrained model is a
    dotted line, without markers, in the colour of its method.

    Args:
        names: the methods of the study, in its order.
    """
    names = list(dict.fromkeys(names))
    trained = dict.fromkeys(name.removesuffix(UNTRAINED) for name in names)
    own = itertools.product(OWN_MARKERS, OWN)
    found = {name: Look(*METHODS[name]) for name in trained if name in METHODS}
    for name, (marker, color) in zip((n for n in trained if n not in METHODS), own, strict=False):
        found[name] = Look(color, marker, OWN_DASHES)
    nulls = [name for name in names if name.endswith(UNTRAINED)]
    return found | {
        name: Look(found[name.removesuffix(UNTRAINED)].color, "", UNTRAINED_DASHES)
        for name in nulls
    }
