"""All merge methods, by name."""

from __future__ import annotations

import difflib

from weightspace.errors import MergeError
from weightspace.merge.methods.breadcrumbs import BREADCRUMBS, BREADCRUMBS_TIES
from weightspace.merge.methods.consensus import CONSENSUS
from weightspace.merge.methods.dare import DARE_LINEAR, DARE_TIES
from weightspace.merge.methods.della import DELLA, DELLA_LINEAR
from weightspace.merge.methods.linear import LINEAR
from weightspace.merge.methods.method import MergeMethod
from weightspace.merge.methods.model_stock import MODEL_STOCK
from weightspace.merge.methods.nearswap import NEARSWAP
from weightspace.merge.methods.passthrough import PASSTHROUGH
from weightspace.merge.methods.sce import SCE
from weightspace.merge.methods.slerp import NUSLERP, SLERP
from weightspace.merge.methods.spherical import KARCHER, MULTISLERP, NLERP
from weightspace.merge.methods.task_vectors import TASK_ARITHMETIC
from weightspace.merge.methods.ties import TIES

_ALL = (
    *(LINEAR, SLERP, NUSLERP, NLERP, MULTISLERP, KARCHER, MODEL_STOCK),
    *(TASK_ARITHMETIC, TIES, DARE_LINEAR, DARE_TIES, DELLA, DELLA_LINEAR, BREADCRUMBS, BREADCRUMBS_TIES, SCE),
    *(CONSENSUS, NEARSWAP, PASSTHROUGH),
)

MERGE_METHODS: dict[str, MergeMethod] = {method.name: method for method in _ALL}


def known_merge_method(name: str) -> MergeMethod:
    """The method of a name.

    Raises:
        MergeError: There is none; with the nearest name.
    """
    if name in MERGE_METHODS:
        return MERGE_METHODS[name]
    near = difflib.get_close_matches(name, MERGE_METHODS, n=1, cutoff=0.0)
    raise MergeError(f"method '{name}': expected one of {', '.join(MERGE_METHODS)}; did you mean '{near[0]}'?")
