"""Deep weight spaces of real checkpoints.

`weightspace` derives the symmetries of a network from the network itself (which axis of which tensor may be permuted
together with which), and uses that one specification to align, merge and compare trained checkpoints.

The names below are the public ones, a page; each is imported when it is first used, so that importing this package
imports no torch. Each part is also a subpackage of its own:

* `weightspace.checkpoint`: open any checkpoint lazily, write it again atomically, with provenance;
* `weightspace.source`: where a model comes from, and the network as a function of its weights;
* `weightspace.symmetry`: the symmetry specification, its action on weights, its verification;
* `weightspace.canonical`: one representative of all equivalent weights;
* `weightspace.align`, `weightspace.merge`, `weightspace.stats`, `weightspace.evaluate`: what is done with it
  (`from weightspace.align import align`, `from weightspace.merge import merge`);
* `weightspace.data`: examples from files; `weightspace.errors`: the one exception tree.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from weightspace.errors import WeightspaceError

if TYPE_CHECKING:
    from weightspace.align import Alignment, ManyAlignment, align_many
    from weightspace.canonical import canonicalize
    from weightspace.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
    from weightspace.data import Normalization, open_data
    from weightspace.evaluate import measure_barriers, plot_barrier
    from weightspace.merge import interpolate
    from weightspace.source import Program, resolve_source
    from weightspace.stats import reset_batchnorm
    from weightspace.symmetry import (
        Element,
        Group,
        Spec,
        Transformation,
        derive,
        randomized,
        verify,
        verify_freedoms,
    )

__version__ = "0.1.0"

_HOMES = {
    "Alignment": "align",
    "Checkpoint": "checkpoint",
    "Element": "symmetry",
    "Group": "symmetry",
    "ManyAlignment": "align",
    "Normalization": "data",
    "Program": "source",
    "Spec": "symmetry",
    "Transformation": "symmetry",
    "align_many": "align",
    "canonicalize": "canonical",
    "derive": "symmetry",
    "interpolate": "merge",
    "measure_barriers": "evaluate",
    "open_checkpoint": "checkpoint",
    "open_data": "data",
    "plot_barrier": "evaluate",
    "randomized": "symmetry",
    "reset_batchnorm": "stats",
    "resolve_source": "source",
    "verify": "symmetry",
    "verify_freedoms": "symmetry",
    "write_checkpoint": "checkpoint",
}

__all__ = [
    "Alignment",
    "Checkpoint",
    "Element",
    "Group",
    "ManyAlignment",
    "Normalization",
    "Program",
    "Spec",
    "Transformation",
    "WeightspaceError",
    "align_many",
    "canonicalize",
    "derive",
    "interpolate",
    "measure_barriers",
    "open_checkpoint",
    "open_data",
    "plot_barrier",
    "randomized",
    "reset_batchnorm",
    "resolve_source",
    "verify",
    "verify_freedoms",
    "write_checkpoint",
]


def __getattr__(name: str) -> object:
    """The public name, from the subpackage where it lives."""
    if name not in _HOMES:
        raise AttributeError(f"module 'weightspace' has no attribute '{name}'")
    return getattr(import_module(f"weightspace.{_HOMES[name]}"), name)
