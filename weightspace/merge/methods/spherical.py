"""Means on the sphere of several models: normalised means, Multi-SLERP and the Karcher mean.

The last two as mergekit does them, but that the Karcher mean leaves out no tensor for being short, and Multi-SLERP
takes the weighted mean where directions cancel out, of however many models.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weightspace.errors import MergeError
from weightspace.merge.methods.linear import WEIGHT, check_weights
from weightspace.merge.methods.method import MergeMethod
from weightspace.merge.methods.option import Option, Settings
from weightspace.merge.methods.span import Span, cosines, norms

_NO_SINE = 1e-12


def _nlerp(gram: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    weights = _shares(settings)
    length = np.sqrt(max(weights @ gram @ weights, 0.0))
    return weights * (weights @ norms(gram) / length) if length > 0 else weights


def _multislerp(gram: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    """The units' weighted mean, as long as the vectors are in the mean.

    The method then moves along the mean of the units' tangents there. That is zero: sum_i w_i (u_i - (u_i m) m) with
    m = sum_i w_i u_i / |.|. So the direction stays.
    """
    eps, lengths = settings.number("eps"), norms(gram)
    weights = _shares(settings) if settings.flag("normalize_weights") else np.array(settings.of_models("weight"))
    of_units = weights / (lengths + eps)
    length = np.sqrt(max(of_units @ gram @ of_units, 0.0))
    return weights if length < eps else of_units * (weights @ lengths / length)


def _karcher(gram: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    tol, lengths = settings.number("tol"), norms(gram)
    valid = lengths > 0
    if not valid.any():
        return np.zeros_like(lengths)
    units = cosines(gram)[np.ix_(valid, valid)]
    share = 1.0 / len(units)
    mean = np.full(len(units), share)
    length = np.sqrt(max(mean @ units @ mean, 0.0))
    mean = np.eye(len(units))[0] if length < tol else mean / length
    for _ in range(int(settings.number("max_iter"))):
        cosine = np.clip(units @ mean, -1.0, 1.0)
        angle = np.arccos(cosine)
        # A unit at the mean pulls nowhere; one opposite to it in no direction more than in another.
        pulls = (angle >= tol) & (np.sin(angle) > _NO_SINE)
        pull = np.zeros_like(angle)
        pull[pulls] = share * angle[pulls] / np.sin(angle[pulls])
        step = pull - (pull @ cosine) * mean
        size = np.sqrt(max(step @ units @ step, 0.0))
        if size < tol:
            break
        mean = np.cos(size) * mean + np.sin(size) / size * step
        mean = mean / np.sqrt(mean @ units @ mean)
    weights = np.zeros_like(lengths)
    weights[valid] = lengths.mean() * mean / lengths[valid]
    return weights


def _shares(settings: Settings) -> NDArray[np.float64]:
    weights = np.array(settings.of_models("weight"))
    return weights / weights.sum()


def _check_iterations(settings: Settings) -> None:
    number = settings.number("max_iter")
    if number != int(number):
        raise MergeError(f"option 'max_iter': expected a whole number, found {number:g}")


_NLERP, _MULTISLERP, _KARCHER = Span(_nlerp), Span(_multislerp), Span(_karcher)

NLERP = MergeMethod(
    "nlerp", "Normalised mean", "the weighted mean, made as long as the models are in the weighted mean",
    "Blow 2004, Understanding slerp, then not using it", _NLERP.combine, measures=_NLERP.measures,
    options=(Option("weight", "how much a model counts", 1.0, per_model=True, low=0.0),), check=check_weights,
)  # fmt: skip

MULTISLERP = MergeMethod(
    "multislerp", "Multi-SLERP", "the mean direction of models, or with a base of task vectors, as long as their mean",
    "Goddard, Multi-SLERP", _MULTISLERP.combine, measures=_MULTISLERP.measures,
    options=(
        WEIGHT,
        Option("normalize_weights", "whether weights are divided by their sum", True, kind="flag"),
        Option("eps", "mean directions shorter than this give way to the weighted mean", 1e-8, above=0.0),
    ),
    base="optional", check=lambda settings: check_weights(settings, "normalize_weights"),
)  # fmt: skip

KARCHER = MergeMethod(
    "karcher", "Karcher mean", "the point of the sphere nearest to all models, as long as they are in the mean",
    "Karcher 1977, Riemannian center of mass and mollifier smoothing", _KARCHER.combine, measures=_KARCHER.measures,
    options=(
        Option("max_iter", "steps at most", 10.0, low=0.0),
        Option("tol", "angles and steps that count as nothing", 1e-5, above=0.0),
    ),
    check=_check_iterations,
)  # fmt: skip
