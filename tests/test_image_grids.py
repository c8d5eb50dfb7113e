"""How images and panels are laid out."""

import numpy as np
import pytest

from ndsm.report import sample_figures, style


def test_both_branches_share_a_mosaic():
    x = np.zeros((60, 16)) + np.linspace(0, 0.2, 60)[:, None]
    x[::2] = 1 - x[::2]
    shown = sample_figures.both_branches(x)
    assert shown.shape == (25, 16)
    np.testing.assert_array_equal(shown[:15], x[1::2][:15])
    np.testing.assert_array_equal(shown[15:], x[::2][:10])


def test_mosaic_places_images_in_reading_order():
    x = np.repeat(np.arange(30.0), 4).reshape(30, 4)
    tiled = sample_figures.mosaic(x)
    assert tiled.shape == (14, 14)
    np.testing.assert_array_equal(tiled[::3, ::3], np.arange(25).reshape(5, 5))
    assert np.isnan(tiled[2]).all()


@pytest.mark.parametrize("panels", range(2, 25))  # data, and samples
@pytest.mark.parametrize("blocks", [1, 2])
def test_a_grid_of_samples_is_low_and_has_no_row_of_few_panels(panels, blocks):
    """The last row lacks less than a place for each of the others."""
    wide, deep, height = sample_figures.grid(panels, blocks)
    assert height <= style.TALLEST
    assert 0 <= wide * deep - panels < deep
