"""The number of components of a mixture: the best of all that are asked for.

``drift_fits.select`` stops at the first number that is worse than the one before, and holds out the
first rows. That is enough for the study's data. On three rings BIC is worse with 10 components than
with 5 and better from 20 on, and a user's rows may be sorted.
"""

import math
from collections.abc import Callable

import numpy as np

from ndsm.method.drift_fits import HELD_OUT, fit_mixture, fit_part, mean_log_prob, parameters
from ndsm.method.fitted_drift import Fitted
from ndsm.method.settings import FitSettings

Array = np.ndarray


def fitted(z: Array, settings: FitSettings, seed: int) -> Fitted:
    """The drift that settings ask for, fitted to points z (n, d)."""
    if settings.fit != "em":
        return fit_part(z, settings, seed)

    def fit(points: Array, k: int) -> Fitted:
        return fit_mixture(points, settings.covariance, k, seed)

    numbers = settings.n_components
    if len(numbers) == 1:
        return fit(z, numbers[0])
    if settings.selection == "bic":
        return by_bic(z, settings.covariance, {k: fit(z, k) for k in numbers})
    return fit(z, by_held_out(z, numbers, fit, seed))


def by_bic(z: Array, covariance: str, fits: dict[int, Fitted]) -> Fitted:
    """The fit to z (n, d) with the best BIC, by number of components."""
    n, d = z.shape

    def bic(k: int) -> float:
        penalty = math.log(n) / (2 * n) * parameters(covariance, k, d)
        return mean_log_prob(fits[k], z) - penalty

    return fits[max(fits, key=bic)]


def by_held_out(
    z: Array, numbers: list[int], fit: Callable[[Array, int], Fitted], seed: int
) -> int:
    """The number of components with the best likelihood of a random fifth of z (n, d)."""
    held = max(1, round(HELD_OUT * len(z)))
    unseen, seen = np.split(z[np.random.default_rng(seed).permutation(len(z))], [held])
    usable = [k for k in numbers if k <= len(seen)]
    return max(usable, key=lambda k: mean_log_prob(fit(seen, k), unseen))
