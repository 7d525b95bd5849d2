"""What a data file holds once read: inputs and labels that were checked against each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from weightspace.errors import DataError


class Inputs(Protocol):
    """The part of `np.ndarray` that batches are cut with; images on disk are read only when they are indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of examples first."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""
        ...

    def __getitem__(self, index: np.ndarray, /) -> np.ndarray:
        """The examples at the given integer positions, as one array."""
        ...


@dataclass(frozen=True)
class Examples:
    """Inputs and, where known, their class labels.

    Attributes:
        x: `(N, H, W, C)` or `(N, H, W)` or `(N, D)` uint8, `(N, ...)` floating, or `(N, T)` signed token ids.
        y: `(N,)` int64 class indices, or None.
    """

    x: Inputs
    y: np.ndarray | None


def checked(path: Path, x: Inputs, y: np.ndarray | None) -> Examples:
    """Check inputs and labels before anything is computed with them.

    Args:
        path: Where they come from, for the message.
        x: Inputs.
        y: Labels of any integer type, or None.

    Returns:
        The same, labels as int64.

    Raises:
        DataError: A dtype or shape that no network input has, or labels that do not fit the inputs.
    """
    _check_inputs(path, x)
    return Examples(x, None if y is None else _checked_labels(path, y, len_x=x.shape[0]))


def _check_inputs(path: Path, x: Inputs) -> None:
    shape, found = x.shape, f"{x.dtype} of shape {x.shape}"
    if not shape or shape[0] == 0:
        raise DataError(f"{path}: expected at least one example in x, found {found}; check how the file was written")
    if x.dtype == np.uint8:
        if len(shape) == 4 and shape[3] not in (1, 2, 3, 4) and shape[1] in (1, 3, 4):
            raise DataError(
                f"{path}: expected uint8 images x as (N, H, W, C), found {found}, channels first; "
                "transpose it with x.transpose(0, 2, 3, 1)"
            )
        fits = len(shape) in (2, 3, 4)
    elif np.issubdtype(x.dtype, np.floating):
        fits = len(shape) >= 2
    else:
        fits = np.issubdtype(x.dtype, np.signedinteger) and len(shape) == 2
    if not fits or 0 in shape:
        raise DataError(
            f"{path}: expected x as uint8 images (N, H, W, C), floats (N, ...) or token ids (N, T), "
            f"found {found}; convert it"
        )


def _checked_labels(path: Path, y: np.ndarray, len_x: int) -> np.ndarray:
    if not np.issubdtype(y.dtype, np.integer) or y.ndim != 1:
        raise DataError(
            f"{path}: expected y as integer class labels (N,), found {y.dtype} of shape {y.shape}; "
            "store the index of the class"
        )
    if len(y) != len_x:
        raise DataError(f"{path}: expected as many labels as inputs, found {len_x} in x and {len(y)} in y; pair them")
    if y.min() < 0:
        raise DataError(
            f"{path}: expected labels from 0, found {y.min()} at position {y.argmin()}; drop or renumber it"
        )
    return y.astype(np.int64)


def concatenated(path: Path, parts: list[Examples]) -> Examples:
    """Join the parts of one split, in order.

    Raises:
        DataError: The parts differ in dtype, in the shape of an example or in having labels.
    """
    if len(parts) == 1:
        return parts[0]
    kinds = {(part.x.dtype.str, part.x.shape[1:], part.y is not None) for part in parts}
    if len(kinds) > 1:
        raise DataError(
            f"{path}: expected every part of a split to have the same dtype, shape and labels, "
            f"found {', '.join(f'{d} {s}' + ('' if y else ' without y') for d, s, y in sorted(kinds))}; convert them"
        )
    x = np.concatenate([part.x[np.arange(part.x.shape[0])] for part in parts])
    labels = [part.y for part in parts if part.y is not None]
    return Examples(x, np.concatenate(labels) if labels else None)
