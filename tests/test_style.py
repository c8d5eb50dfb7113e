"""The look of figures: methods told apart, in print and without colour vision."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import yaml
from colorspacious import cspace_convert, deltaE
from matplotlib.colors import to_rgb

from conftest import ROOT
from ndsm.report import style
from ndsm.report.method_looks import (
    ALONE,
    BROWN,
    GREY,
    LINEAR_NOISE,
    METHODS,
    NONLINEAR,
    Look,
    looks,
)
from ndsm.study import configuration

pytestmark = pytest.mark.usefixtures("looks")


SEVERE = {"name": "sRGB1+CVD", "severity": 100}  # Machado, Oliveira and Fernandes 2009
SIGHT = {"full": "sRGB1"} | {
    f"without {cone}": SEVERE | {"cvd_type": kind}
    for cone, kind in (("L", "protanomaly"), ("M", "deuteranomaly"), ("S", "tritanomaly"))
}
# That of a table of one's own has methods of the default study.
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "studies").glob("*.yaml"))]
STUDIES = [path for path in STUDIES if path.stem != "own"]


def shown_together():
    """The methods of each experiment of each study that is here."""
    for path in STUDIES:
        study = configuration.resolve(yaml.safe_load(path.read_text()))
        for name, settings in study["experiments"].items():
            yield f"{path.stem}, {name}", [m for m in settings["methods"] if m in METHODS]


def difference(one, other, sight):
    """ΔE (CAM02-UCS) of two colours as someone sees them."""
    seen = [np.clip(cspace_convert(to_rgb(c), sight, "sRGB1"), 0, 1) for c in (one, other)]
    return deltaE(*seen, input_space="sRGB1")


@pytest.mark.parametrize("sight", SIGHT.values(), ids=SIGHT)
def test_colours_are_told_apart_without_colour_vision(sight):
    """Those of the methods that stand beside each other; grey ones differ by their markers."""
    pairs = {
        frozenset(METHODS[m][0] for m in pair)
        for _, methods in shown_together()
        for pair in itertools.combinations(methods, 2)
    }
    pairs = [tuple(pair) for pair in pairs if len(pair) == 2]
    assert len(pairs) > 20
    for one, other in pairs:
        assert difference(one, other, sight) >= 20, (one, other)


def test_colours_that_are_too_alike_are_found():
    red, green = "#c04000", "#708000"
    assert difference(red, green, SIGHT["full"]) > 20 > difference(red, green, SIGHT["without M"])


def test_methods_beside_each_other_share_a_colour_only_in_the_background():
    for place, methods in shown_together():
        looks_of = [METHODS[method] for method in methods]
        assert len({look[:2] for look in looks_of}) == len(looks_of), place
        coloured = [color for color, *_ in looks_of if color not in (GREY, BROWN)]
        assert len(set(coloured)) == len(coloured), place


def test_every_method_of_every_study_has_its_own_look():
    known = {m for path in STUDIES for m in yaml.safe_load(path.read_text())["methods"]}
    assert not known - set(METHODS)
    assert len({look[:2] for look in METHODS.values()}) == len(METHODS)


def test_a_look_does_not_depend_on_what_else_is_drawn():
    found = looks(["mine", "ndsm_cv", *"abcdefghij", "gmm"])
    assert found["ndsm_cv"] == looks(["ndsm_cv"])["ndsm_cv"] == Look(*METHODS["ndsm_cv"])
    assert len({(look.color, look.marker) for look in found.values()}) == 13
    for look in found.values():
        red, green, blue = to_rgb(look.color)
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.75  # dark enough for paper


def test_a_family_is_known_by_its_dash():
    for name, (_, _, dash) in METHODS.items():
        noise = NONLINEAR if name.startswith("ndsm") else LINEAR_NOISE
        assert dash == (ALONE if name.startswith(("gmm", "vae")) else noise), name


def test_an_untrained_model_is_dotted_in_the_colour_of_its_method():
    """And changes no other look: it takes no colour, marker or dashes from the methods."""
    methods = ["gmm", "dsm", "ndsm_cv", "ndsm_flow"]
    plain = looks(methods)
    found = looks(["gmm", *(each for m in methods[1:] for each in (m, f"{m}_untrained"))])
    assert {m: found[m] for m in methods} == plain
    for method in methods[1:]:
        null = found[f"{method}_untrained"]
        assert null.color == found[method].color and null.marker == ""
        assert null.linestyle == (0, (1, 2))
    assert all(look.linestyle != (0, (1, 2)) and look.marker for look in plain.values())


def test_fonts_are_readable_in_print():
    sizes = [plt.rcParams[f"{part}.labelsize"] for part in ("axes", "xtick", "ytick")]
    assert min(*sizes, plt.rcParams["axes.titlesize"], plt.rcParams["legend.fontsize"]) >= 7


def test_names_wrap_after_underscores():
    assert style.wrapped("ndsm_anti_stride1", 11) == "ndsm_anti_\nstride1"
    assert style.wrapped("gmm_drift", 11) == "gmm_drift"


def test_no_name_of_a_metric_is_wider_than_a_panel():
    names = [style.titled(metric) for metric in style.LABELS]
    assert max(len(line) for name in names for line in name.split("\n")) <= style.NARROW + 1
    assert max(name.count("\n") for name in names) == 1
    assert style.titled("kl") == "KL divergence (nats)"
    assert style.titled("inception_score") == "inception score\n(the floor's is right)"


@pytest.mark.parametrize("low", [0.013, 1e-5, 0.7, 31.0])
@pytest.mark.parametrize("ratio", [1.0, 1.3, 3.6, 9.0, 40.0, 1e4])
def test_a_logarithmic_axis_has_some_ticks_and_not_many(low, ratio):
    """Where its values end, whatever they are; matplotlib's own choice had nine or none."""
    axes = plt.figure(figsize=(2, 2)).subplots()
    values = np.array([low, low * ratio])
    axes.set_xscale("log")
    style.log_ticks(axes.xaxis, values)
    style.fit(axes, axes.xaxis, values)
    shown = [t for t in axes.get_xticks() if axes.get_xlim()[0] <= t <= axes.get_xlim()[1]]
    assert 2 <= len(shown) <= 6


def test_a_legend_of_many_long_names_stays_in_the_figure():
    figure, axes, _ = style.panels(3, 2)
    for k in range(19):
        axes[0].plot([0, 1], label=f"ndsm_cv_labels_of_{k:02d}")
    style.legend(figure, axes)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width
