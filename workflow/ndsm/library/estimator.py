"""``NDSM``: nonlinear denoising score matching as an estimator of scikit-learn."""

import secrets
from collections.abc import Sequence
from functools import partial
from numbers import Integral
from os import PathLike
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_is_fitted

from ndsm.library import model_file, plan, trained
from ndsm.library.model_file import Saved
from ndsm.library.plan import drift_of, of_number, refuse
from ndsm.library.points import Form, checked, form_of
from ndsm.library.surroundings import Progress, undisturbed
from ndsm.library.trained import Trained
from ndsm.method.random_streams import pick_device

LARGEST = 2**32  # of seeds: scikit-learn's


class NDSM(DensityMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A density of points in R^d that can be drawn from, by nonlinear denoising score matching.

    A Gaussian mixture is fitted to the data. Its score is the drift of a process that adds noise,
    and a network learns what is missing to reverse it (arXiv:2405.15625). What is None takes the
    value that served the objective best in this project's study: up to two dimensions on
    weighted_modes, nine modes in the plane; above on 8 to 16 columns (``library.tuned``). There the
    mixture alone was often as good: compare with ``objective="none"`` on data held out.

    >>> from ndsm import NDSM
    >>> from sklearn.datasets import make_moons
    >>> x, _ = make_moons(1000, noise=0.1, random_state=0)
    >>> x, held_out = x[:800], x[800:]
    >>> model = NDSM(n_components=5, random_state=0).fit(x)
    >>> model.sample(3).shape
    (3, 2)
    >>> mixture = NDSM(objective="none", n_components=5, random_state=0).fit(x)
    >>> model.score(held_out) > mixture.score(held_out)  # mean log-density, in nats
    True

    Args:
        drift: "gmm", a mixture fitted to the data; "ou", linear noise; "auto": what the objective
            asks; or an object of your own with ``score(x)``, ``log_prob(x)`` and
            ``sample(n, random_state)`` in the data's units, for ndsm, ndsm_cv and ndsm_anti.
        objective: "ndsm_flow" (bridges to the mixture; the best in the study), "ndsm_cv" (the
            paper's), "ndsm", "ndsm_anti", "ndsm_jump"; under linear noise "dsm", "flow_matching";
            or "none", the mixture itself.
        known: "gmm" lets "dsm" know the score of the mixture under linear noise: the rival.
        n_components: of the mixture; of several the best by BIC, or with "diag" and "full" by
            held-out likelihood.
        covariance: "tied" (all components share one), "spherical" (one variance: for images, whose
            columns are then scaled alike), "diag", "full".
        stride: the longest jump along the chain in steps of its grid, for the chain's objectives.
        evaluations: passes of one point through the network in the training.
        batch: points of a step.
        learning_rate: its peak.
        width: units of a hidden layer.
        depth: hidden layers.
        T: time at which the noising ends.
        t_min: its first time; the data's finer structure is that of the mixture.
        sampler: "adams", "heun" and "edm" solve the probability flow, "euler" and "exponential" the
            reverse SDE.
        steps: of the sampler.
        random_state: a number, or a generator of numpy; with None each fit and sample is new.
        device: "auto", "cpu" or "cuda".
        verbose: whether a fit shows how far it is.

    Attributes:
        n_features_in_: d.
        n_components_: number of the mixture's components that were chosen.
        loss_curve_: mean losses at twenty moments of the training.
        model_: the fitted drift and the network's weights.
    """

    def __init__(
        self,
        drift: Any = "auto",
        objective: str = "ndsm_flow",
        *,
        known: str | None = None,
        n_components: int | Sequence[int] | None = None,
        covariance: str = "tied",
        stride: int | None = None,
        evaluations: int | None = None,
        batch: int | None = None,
        learning_rate: float | None = None,
        width: int | None = None,
        depth: int = 3,
        T: float = 4.0,  # noqa: N803
        t_min: float | None = None,
        sampler: str = "adams",
        steps: int = 16,
        random_state: Any = None,
        device: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.drift, self.objective, self.known = drift, objective, known
        self.n_components, self.covariance, self.stride = n_components, covariance, stride
        self.evaluations, self.batch, self.learning_rate = evaluations, batch, learning_rate
        self.width, self.depth, self.T, self.t_min = width, depth, T, t_min
        self.sampler, self.steps, self.random_state = sampler, steps, random_state
        self.device, self.verbose = device, verbose

    def fit(self, x: Any, y: Any = None) -> Self:
        """Fits the mixture and trains the network.

        Args:
            x: (n, d) points: an array, a data frame or a tensor.
            y: not used.

        Raises:
            Refused: a ValueError whose one line names the parameter, its value and the remedy.
        """
        given, form = self.get_params(deep=False), form_of(x)
        points = checked(self, x, fit=True)
        seed, device = seed_of(self.random_state), device_of(self.device)
        what = plan.plan(given, *points.shape)
        bar = partial(Progress, shown=bool(self.verbose))
        with undisturbed(bool(self.verbose)):
            found = trained.fit(points, drift_of(given), what, seed, device, bar)
        return self._set(found, form, seed)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Draws (n_samples, d) of the kind, dtype and device of the points of the fit.

        Args:
            n_samples: their number.
            random_state: as the estimator's, which it is if None: a number gives the same samples
                in each call.
        """
        check_is_fitted(self)
        count = of_number({"n_samples": n_samples}, "n_samples", True)
        model = self.model_
        settings = plan.sampling(self.sampler, self.steps, model.objective, model.has_centre, count)
        seed = seed_of(self.random_state if random_state is None else random_state)
        with undisturbed():
            drawn = self.model_.sample(settings, seed)
        return self.form_.give(drawn)

    def log_prob(self, x: Any) -> Any:
        """Log-density in nats of points x (n, d), in their units: (n,) of the kind of x.

        Exact up to 16 dimensions but for the solver's steps; above it is an unbiased estimate.
        """
        check_is_fitted(self)
        points = checked(self, x)
        with undisturbed():
            found = self.model_.log_prob(points, self.seed_)
        return form_of(x).give(found)

    def score_samples(self, x: Any) -> Any:
        """``log_prob``, by scikit-learn's name."""
        return self.log_prob(x)

    def score(self, x: Any, y: Any = None) -> float:
        """The mean of ``log_prob`` over points x (n, d)."""
        return float(self.log_prob(x).mean())

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the fitted model to one file, whole or not at all (``library.model_file``)."""
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        columns = None if names is None else [str(name) for name in names]
        params = self.get_params(deep=False)
        model_file.write(path, Saved(params, self.seed_, self.form_, columns), self.model_)

    @classmethod
    def load(cls, path: str | PathLike[str], drift: Any = None) -> Self:
        """The model that ``save`` wrote: without the data, the same samples and densities.

        Args:
            path: its file.
            drift: the drift of the fit, if that was an object of your own.

        Raises:
            Refused: the file is broken, foreign or newer than this version.
        """
        saved, model = model_file.read(path, drift, device_of)
        estimator = cls(**saved.params)._set(model, saved.form, saved.seed)
        estimator.n_features_in_ = len(model.mean)
        if saved.columns:
            estimator.feature_names_in_ = np.array(saved.columns, dtype=object)
        return estimator

    def _set(self, model: Trained, form: Form, seed: int) -> Self:
        """Takes over what a fit found."""
        self.model_, self.form_, self.seed_ = model, form, seed
        self.n_components_ = (model.known or model.fit).mixture.means.shape[1]
        self.loss_curve_ = model.losses
        return self


def seed_of(random_state: Any) -> int:
    """A seed, without a touch of numpy's global generator.

    Raises:
        Refused: it is neither None, a number nor a generator.
    """
    if random_state is None:
        return secrets.randbelow(LARGEST)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(LARGEST))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(LARGEST, dtype=np.int64))
    if not isinstance(random_state, Integral) or not 0 <= int(random_state) < LARGEST:
        refuse("random_state", random_state, "is no seed; give None, 0 to 2^32 - 1 or a generator")
    return int(random_state)


def device_of(name: Any) -> str:
    """The device, picked.

    Raises:
        Refused: there is none of that name.
    """
    return pick_device(plan.of_name("device", name, ["auto", "cpu", "cuda"]))
