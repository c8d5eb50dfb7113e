"""The figure of modes: ellipses of the law and of samples."""

import numpy as np
import pandas as pd
import pytest

from given import pictured
from ndsm.artefacts import files
from ndsm.data import laws
from ndsm.report import method_looks, mode_figures

pytestmark = pytest.mark.usefixtures("looks")


def test_an_ellipse_is_two_deviations_of_its_mode_long():
    """Of the second of the weighted modes: deviations 0.7 and 0.25, the long one at 60 degrees."""
    x, labels = laws.weighted_modes().sample(400_000, np.random.default_rng(1))
    found = mode_figures.modes_of(x, labels)
    drawn = mode_figures.ellipse(found.means[1], found.covariances[1])
    assert drawn.get_center() == pytest.approx((3.2, 0.4), abs=0.02)
    assert (drawn.width, drawn.height) == pytest.approx((4 * 0.7, 4 * 0.25), rel=0.02)
    assert drawn.angle % 180 == pytest.approx(60, abs=1)
    path = drawn.get_patch_transform().transform_path(drawn.get_path())
    edge = path.to_polygons()[0] - found.means[1]
    distance = np.einsum("ni,ij,nj->n", edge, np.linalg.inv(found.covariances[1]), edge) ** 0.5
    assert 1.999 < distance.min() and distance.max() < 2.06  # of a polygon with 16 sides


def modes_tables(folder):
    """Samples of a law: one method's are right, another's wider by half in the middle."""
    x, _ = laws.weighted_modes().sample(4000, np.random.default_rng(2))
    middle = np.array([0.0, 0.0])
    wide = np.where(np.linalg.norm(x - middle, axis=1, keepdims=True) < 1.5, 1.5 * x, x)
    given = {"data": (None, x), "gmm": (9, x), "dsm": (9, wide), "dsm_untrained": (9, 0 * x)}
    frames = [
        pd.DataFrame(points, columns=["x0", "x1"]).assign(method=method, n_train=n)
        for method, (n, points) in given.items()
    ]
    files.write_table(folder / "samples" / "modes.csv", pd.concat(frames), {})
    rows = [
        ("modes", method, n, seed, metric, 0.1 + seed + (n == 5))
        for method in ("gmm", "dsm")
        for n in (5, 9)
        for seed in (0, 1)
        for metric in ("kl", "mode_shape")
    ]
    names = "experiment method n_train seed metric value".split()
    files.write_table(folder / "metrics.csv", pd.DataFrame(rows, columns=names), {})
    own = {"dataset": {"name": "weighted_modes"}, "methods": ["gmm", "dsm", "dsm_untrained"]}
    return pictured({"modes": own})


def test_modes_of_samples_stand_over_those_of_the_law(tmp_path):
    """True ones are dashed, the same in each panel; the titles have the values of seed 0."""
    study = modes_tables(tmp_path)
    look = method_looks.looks(study.experiments["modes"].methods)
    figure = mode_figures.modes(tmp_path, study, look, "modes")
    panels = {panel.get_title().partition("\n")[0]: panel for panel in figure.axes}
    assert set(panels) == {"data", "gmm", "dsm", "dsm_untrained"}
    assert panels["dsm"].get_title() == "dsm\nKL 0.1, shape 0.1"
    widths = {}
    for name, panel in panels.items():
        true, found = ([p for p in panel.patches if p.get_linewidth() == lw] for lw in (0.7, 1.3))
        assert len(true) == 9 and len(found) == (9 if name != "dsm_untrained" else 1)
        assert (true[0].width, true[0].height) == pytest.approx((2.4, 2.4), rel=0.02)
        widths[name] = found[0].width / true[0].width
    assert widths["data"] == pytest.approx(1, abs=0.06)
    assert widths["dsm"] == pytest.approx(1.45, abs=0.08)
