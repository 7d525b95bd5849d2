"""What can be carried along: differences move with permutations; under other freedoms they depend on the base."""

from __future__ import annotations

from weightspace.align.alignment import Alignment
from weightspace.errors import AlignmentError


def check_permuting(alignment: Alignment) -> None:
    """Checks that an alignment permutes and does nothing else.

    Raises:
        AlignmentError: It has values of other freedoms.
    """
    if alignment.values:
        kinds = sorted({alignment.spec.freedoms.by_name[name].kind for name in alignment.values})
        raise AlignmentError(
            f"transport: expected an alignment by permutations alone, found one that also uses {', '.join(kinds)}; "
            "align the bases with kinds=('permutation',)"
        )
