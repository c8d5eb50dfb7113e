"""The look of figures: methods told apart, in print and without colour vision."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_rgb

from ndsm.report import style

pytestmark = pytest.mark.usefixtures("looks")


def test_looks_differ_and_are_dark_enough_for_paper():
    found = style.looks([[f"method{k}" for k in range(12)]])
    assert len({(look.color, look.marker, look.linestyle) for look in found.values()}) == 12
    assert len({look.color for look in list(found.values())[:9]}) == 9
    for look in found.values():
        red, green, blue = to_rgb(look.color)
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.7
    # The same look whatever else is drawn.
    assert style.looks([["method0", "method1"]])["method1"] == found["method1"]


def test_methods_drawn_together_differ_and_variants_resemble_what_they_vary():
    planes, mirrors = ["gmm", *"abcdef"], ["gmm", "b_orbit", "f_orbit", "a", "a_equal"]
    found = style.looks([planes, mirrors])
    assert found["b_orbit"] == found["b"] and found["f_orbit"] == found["f"]
    for group in (planes, mirrors):
        assert len({(look.color, look.marker) for m, look in found.items() if m in group}) == len(
            group
        )
    assert len({found[m].color for m in mirrors[1:]}) == 4


def test_methods_of_one_legend_differ_though_never_drawn_together():
    found = style.looks([["gmm", "drift", "dsm"], ["gmm", "prior", "edm"]])
    assert found["drift"].color == found["prior"].color
    assert len({(look.color, look.marker) for look in found.values()}) == 5


def test_an_untrained_model_is_dotted_in_the_colour_of_its_method():
    """And changes no other look: it takes no colour, marker or dashes from the methods."""
    methods = ["gmm", "dsm", "ndsm_cv", "ndsm_flow"]
    plain = style.looks([methods])
    found = style.looks([["gmm", *(each for m in methods[1:] for each in (m, f"{m}_untrained"))]])
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
