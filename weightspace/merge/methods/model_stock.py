"""Model Stock: how far to go from the base to the mean, by the angle between task vectors (Jang et al. 2024).

As mergekit does it, but that task vectors however short have their angle, and that a row of a tensor of more than two
axes is a whole filter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weightspace.merge.methods.method import MergeMethod
from weightspace.merge.methods.option import Option, Settings
from weightspace.merge.methods.span import Span, cosines

_SINGULAR = 1e-9


def _coefficients(gram: NDArray[np.float64], _: Settings) -> NDArray[np.float64]:
    """Every model has t / n with t = n cos / (1 + (n - 1) cos).

    The cosine is the mean over pairs. At its least, -1 / (n - 1), the units' sum is zero, and t has a pole: there the
    base stays.
    """
    models = gram.shape[-1]
    cosine = cosines(gram)[..., *np.triu_indices(models, 1)].mean(-1)
    below = 1 + (models - 1) * cosine
    t = np.divide(models * cosine, below, out=np.zeros_like(below), where=np.abs(below) > _SINGULAR)
    return np.repeat(t[..., None] / models, models, axis=-1)


_STOCK = Span(_coefficients, along=lambda settings: "rows" if settings.flag("filter_wise") else "tensor")

MODEL_STOCK = MergeMethod(
    "model_stock", "Model Stock", "between the base and the mean of models, by the angle between their task vectors",
    "Jang et al. 2024, Model Stock: all we need is just a few fine-tuned models", _STOCK.combine,
    options=(Option("filter_wise", "whether every row has an angle of its own", False, kind="flag"),),
    measures=_STOCK.measures, base="required", models=(2, None), by_rows=True,
)  # fmt: skip
