"""Two models on the arc between them: SLERP (Shoemake 1985), and NuSLERP, which takes weights and task vectors.

As mergekit does them, but that a row of a tensor of more than two axes is a whole filter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weightspace.merge.methods.linear import WEIGHT
from weightspace.merge.methods.method import MergeMethod
from weightspace.merge.methods.option import Option, Settings
from weightspace.merge.methods.span import Along, Span, cosines

_NEARLY_COLINEAR = 0.9995  # cosines above are interpolated linearly, as all who merge by SLERP do
_NO_SINE = 1e-8
_NO_WEIGHT = 1e-6


def _on_arc(cosine: NDArray[np.float64], t: float, linear: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights (..., 2) of two vectors at a cosine (...); of the straight line where `linear`."""
    angle = np.arccos(np.where(linear, 0.0, cosine))
    on_arc = np.stack([np.sin((1 - t) * angle), np.sin(t * angle)], axis=-1) / np.sin(angle)[..., None]
    return np.where(linear[..., None], np.array([1 - t, t]), on_arc)


def _slerp(gram: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    cosine = cosines(gram)[..., 0, 1]
    return _on_arc(cosine, settings.number("t"), np.abs(cosine) > _NEARLY_COLINEAR)


def _nuslerp(gram: NDArray[np.float64], settings: Settings) -> NDArray[np.float64]:
    one, two = settings.of_models("weight")
    t = 0.5 if abs(one + two) < _NO_WEIGHT else two / (one + two)
    cosine = cosines(gram)[..., 0, 1]
    return _on_arc(cosine, t, np.sin(np.arccos(cosine)) < _NO_SINE)


def _along(settings: Settings) -> Along:
    if settings.flag("nuslerp_flatten"):
        return "tensor"
    return "columns" if settings.flag("nuslerp_row_wise") else "rows"


_SLERP = Span(_slerp, base_too=True)
_NUSLERP = Span(_nuslerp, along=_along)

SLERP = MergeMethod(
    "slerp", "SLERP", "from the base to a model on the arc between them; on the line where they are nearly colinear",
    "Shoemake 1985, Animating rotation with quaternion curves", _SLERP.combine, measures=_SLERP.measures,
    options=(Option("t", "how far to go from the base, 0, to the model, 1", 0.5, low=0.0, high=1.0),),
    base="required", models=(1, 1),
)  # fmt: skip

NUSLERP = MergeMethod(
    "nuslerp", "NuSLERP", "the point between two models on the arc between them; with a base, between task vectors",
    "Shoemake 1985, Animating rotation with quaternion curves", _NUSLERP.combine, measures=_NUSLERP.measures,
    options=(
        WEIGHT,
        Option("nuslerp_flatten", "whether a tensor is one vector, or many", True, kind="flag"),
        Option(
            "nuslerp_row_wise",
            "of many, whether those along the first axis (of a matrix the columns, as in mergekit) instead of rows",
            False, kind="flag",
        ),
    ),
    base="optional", models=(2, 2), by_rows=True,
)  # fmt: skip
