"""Stage ``drift``: fits the stationary law π of the forward process to each training subset.

    ou    one component N(0, I); working coordinates by the global mean and scale: plain DSM
    em    a Gaussian mixture by expectation maximisation (scikit-learn)

Covariances of ``em``: ``tied`` (working coordinates whitened by it) and ``spherical`` (one variance
s² for all components: means by EM in the leading principal components, s² the mean squared
residual) give components N(m_k, I), as the exponential kernel needs; ``diag`` and ``full`` keep
their own.
"""

import json
import math
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor

from ndsm import fitted, store
from ndsm.distances import energy_distance
from ndsm.fitted import Fitted, Sampler, data_sampler
from ndsm.mixture import Mixture, standard_normal
from ndsm.sde import KERNELS, Chain, time_grid
from ndsm.streams import Streams
from ndsm.subset import training_subset

PRINCIPAL_COMPONENTS = 30  # spherical fits look for their means among these many
MISMATCH_POINTS = 2000
HELD_OUT = 0.2  # share of the training subset on which selection by held-out likelihood scores


def fit_ou(x: np.ndarray) -> Fitted:
    """The OU process for x (n, d): N(0, I) in coordinates scaled by the global deviation."""
    scale = math.sqrt(x.var(0).mean())
    return Fitted(standard_normal(1, x.shape[1]), _batch(x.mean(0)[None]), _batch([[scale]]))


def fit_mixture(x: np.ndarray, covariance: str, components: int, seed: int) -> Fitted:
    """EM for x (n, d) with the given covariance type and number of components (float64)."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    shift, scale = x.mean(0), math.sqrt(x.var(0).mean())
    z = (x - shift) / scale
    model = GaussianMixture(components, covariance_type=covariance, random_state=seed)
    if covariance == "spherical":
        pca = PCA(min(PRINCIPAL_COMPONENTS, *z.shape), random_state=seed)
        projected = pca.fit_transform(z)
        means = pca.inverse_transform(model.fit(projected).means_)
        squares = ((z[:, None] - means) ** 2).mean(-1)  # (n, K)
        residual = (model.predict_proba(projected) * squares).sum(1).mean()
        s = math.sqrt(residual + model.reg_covar)
        factor, means, scale_tril = scale * s * np.ones((1, 1)), means / s, None
    elif covariance == "tied":
        model.fit(z)
        root = np.linalg.cholesky(model.covariances_)
        factor, means, scale_tril = scale * root, np.linalg.solve(root, model.means_.T).T, None
    else:
        model.fit(z)
        full = model.covariances_
        if covariance == "diag":
            full = full[:, :, None] * np.eye(z.shape[1])
        s = math.sqrt(model.weights_ @ np.trace(full, axis1=1, axis2=2) / z.shape[1])
        factor, means = scale * s * np.ones((1, 1)), model.means_ / s
        scale_tril = np.linalg.cholesky(full) / s
    mixture = Mixture(
        _batch(np.log(model.weights_)),
        _batch(means),
        None if scale_tril is None else _batch(scale_tril),
    )
    return Fitted(mixture, _batch(shift[None]), _batch(factor))


def parameters(covariance: str, components: int, d: int) -> int:
    """Free parameters of a mixture, for BIC."""
    per_covariance = {"diag": d, "full": d * (d + 1) // 2}
    shared = {"spherical": 1, "tied": d * (d + 1) // 2}
    own = components * per_covariance.get(covariance, 0)
    return components - 1 + components * d + own + shared.get(covariance, 0)


def select(x: np.ndarray, covariance: str, candidates: list[int], how: str, seed: int) -> Fitted:
    """The mixture with the number of components that BIC or held-out likelihood prefers.

    Args:
        x: (n, d) training points.
        covariance: spherical, tied, diag or full.
        candidates: numbers of components to try; those above n / 2 are left out.
        how: ``bic`` or ``heldout`` (a fifth of x is held out, then all of x is fitted).
        seed: of EM's start.

    Raises:
        store.Refused: if no candidate is left.
    """
    n, d = x.shape
    usable = [k for k in candidates if 2 * k <= n]
    if not usable:
        raise store.Refused(
            f"n_components: {candidates} with {n} training points: give at most {n // 2}"
        )
    if len(usable) < len(candidates):
        print(f"{n} points: numbers of components above {n // 2} left out", flush=True)
    if len(usable) == 1:
        return fit_mixture(x, covariance, usable[0], seed)
    if how == "bic":
        fits = [fit_mixture(x, covariance, k, seed) for k in usable]
        penalty = [parameters(covariance, k, d) * math.log(n) for k in usable]
        scores = [2 * n * mean_log_prob(f, x) - p for f, p in zip(fits, penalty, strict=True)]
        return fits[int(np.argmax(scores))]
    held = max(1, round(HELD_OUT * n))
    tried = [k for k in usable if k <= n - held]
    scores = [mean_log_prob(fit_mixture(x[held:], covariance, k, seed), x[:held]) for k in tried]
    return fit_mixture(x, covariance, tried[int(np.argmax(scores))], seed)


def mean_log_prob(fit: Fitted, x: np.ndarray) -> float:
    """Mean log density of a single replica's mixture at x (n, d)."""
    return fit.log_prob(_batch(x)).mean().item()


def mismatch(chain: Chain, data: Sampler, streams: Streams) -> tuple[list[float], list[float]]:
    """Relative energy distance of y_N to draws from π, and of draws to draws, per replica."""
    x_0 = data(streams.uniform(MISMATCH_POINTS))
    y_end = chain.simulate(x_0, chain.steps, streams)
    draws = [chain.drift.sample(MISMATCH_POINTS, streams) for _ in range(2)]
    triples = [[y.numpy() for y in triple] for triple in zip(y_end, *draws, strict=True)]
    distance = [round(energy_distance(y, a), 6) for y, a, _ in triples]
    return distance, [round(energy_distance(b, a), 6) for _, a, b in triples]


def fit_part(x: np.ndarray, spec: dict[str, Any], seed: int) -> Fitted:
    """The drift that a specification asks for, fitted to the training subset x (n, d)."""
    if spec["fit"] == "ou":
        return fit_ou(x)
    numbers = np.atleast_1d(spec["n_components"]).tolist()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = select(x, spec["covariance"], numbers, spec["selection"], seed)
    for message in {str(warning.message) for warning in caught}:
        print(f"warning: {message}", flush=True)
    return fit


def main(
    data: Annotated[Path, typer.Option()],
    out: Annotated[Path, typer.Option()],
    spec: Annotated[dict[str, Any], typer.Option(parser=json.loads)],
) -> None:
    """Fits one drift to each replica's training subset and measures how far y_N is from π."""
    start = time.perf_counter()
    tensors, process = store.read_tensors(data), spec["process"]
    subsets = [training_subset(tensors, n_train, seed) for n_train, seed in spec["replicas"]]
    if spec["fit"] == "em":
        import sklearn.mixture  # noqa: F401  its start does not belong to the fit's time
    fits, seconds = [], []
    for (n_train, seed), subset in zip(spec["replicas"], subsets, strict=True):
        x = subset.double().numpy()
        describe_columns(x, spec["experiment"])
        began = time.perf_counter()
        fits.append(fit_part(x, spec, seed))
        seconds.append(round(time.perf_counter() - began, 4))
        components = fits[-1].mixture.means.shape[1]
        print(f"n_train {n_train}, seed {seed}: K = {components}, {seconds[-1]} s", flush=True)
    whole = fitted.stack(fits).to("cpu", torch.float32)
    streams = Streams([("mismatch", spec["experiment"], *r) for r in spec["replicas"]])
    times = time_grid(process["t_min"], process["T"], process["steps"]).float()
    distance: list[float] = []
    floor: list[float] = []
    # A mixture with covariances of its own has no exponential kernel: it is a baseline, no drift.
    if whole.mixture.scale_tril is None or process["kernel"] == "euler":
        chain = Chain(whole.mixture, KERNELS[process["kernel"]], times)
        distance, floor = mismatch(chain, data_sampler(subsets, whole), streams)
        report_mismatch(distance, process["tolerance"], process["T"])
    fitted.write(
        out,
        whole,
        store.provenance(
            spec,
            seconds=round(time.perf_counter() - start, 3),
            fit_seconds=seconds,
            n_components=[fit.mixture.means.shape[1] for fit in fits],
            T=process["T"],
            times=[float(f"{t:.6g}") for t in times],
            mismatch=distance,
            mismatch_floor=floor,
        ),
    )


def describe_columns(x: np.ndarray, experiment: str) -> None:
    """Logs constant columns; refuses data that do not vary at all."""
    constant = int((x.std(0) == 0).sum())
    if constant == x.shape[1]:
        raise store.Refused(f"{experiment}: all training points are equal; no drift can be fitted")
    if constant:
        print(f"warning: {constant} of {x.shape[1]} columns are constant; EM regularises them")


def report_mismatch(distance: list[float], tolerance: float, T: float) -> None:  # noqa: N803
    """Logs how far y_N is from π, with the remedy where it passes the tolerance."""
    worst = max(distance)
    print(f"mismatch of y_N and π: {worst:.4g} at worst, tolerance {tolerance:g}, T = {T:g}")
    if worst > tolerance:
        print("warning: y_N is further from π than process.tolerance; a larger process.T may help")


def _batch(array: Any) -> Tensor:
    """A float64 tensor with a replica axis of length one."""
    return torch.as_tensor(np.asarray(array), dtype=torch.float64).unsqueeze(0)


if __name__ == "__main__":
    store.run(main)
