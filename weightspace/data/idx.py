"""The idx files of MNIST and its relatives, plain or gzipped (format: LeCun, Cortes and Burges, the MNIST page)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from weightspace.data.examples import Examples, checked
from weightspace.errors import DataError

_UINT8 = 0x08
# Deflate cannot shrink by more than this; a header that asks for more is corrupt and must not be allocated.
_MAX_DEFLATE_RATIO = 1032


def is_idx_images(path: Path) -> bool:
    """Whether the name is that of an idx file of images, for example `train-images-idx3-ubyte.gz`."""
    return "images" in path.name and _is_idx(path)


def is_idx_labels(path: Path) -> bool:
    """Whether the name is that of an idx file of labels, for example `train-labels-idx1-ubyte.gz`."""
    return "labels" in path.name and _is_idx(path)


def _is_idx(path: Path) -> bool:
    return ("idx" in path.name and path.name.endswith("ubyte.gz")) or path.name.endswith("ubyte")


def labels_path(images: Path) -> Path:
    """The labels that belong to a file of images: `train-images-idx3-ubyte.gz` -> `train-labels-idx1-ubyte.gz`."""
    return images.with_name(images.name.replace("images", "labels").replace("idx3", "idx1"))


def read_idx_pair(images: Path) -> Examples:
    """Read a file of images and the labels that lie beside it.

    Returns:
        `x` `(N, H, W)` uint8 and `y` `(N,)`.

    Raises:
        DataError: Either file is missing, truncated or not idx, or they do not belong together.
    """
    labels = labels_path(images)
    if not labels.exists():
        raise DataError(f"{images}: expected its labels beside it, found no {labels.name}; put both into one folder")
    return checked(images, read_idx(images, ndim=3), read_idx(labels, ndim=1))


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """Read one idx file of unsigned bytes.

    Args:
        path: The file; `.gz` is decompressed.
        ndim: 3 for images (magic number 2051), 1 for labels (2049).

    Returns:
        uint8 array of the shape in the header.

    Raises:
        DataError: Unreadable, truncated, another magic number, or a size that differs from the header.
    """
    compressed = path.suffix == ".gz"
    try:
        with gzip.open(path) if compressed else path.open("rb") as stream:
            header = stream.read(4 + 4 * ndim)
            shape = _shape(path, header, ndim)
            size = math.prod(shape)
            if size > path.stat().st_size * (_MAX_DEFLATE_RATIO if compressed else 1):
                raise DataError(
                    f"{path}: expected {size} bytes for the {shape} of its header, found a file too small "
                    "to hold them; copy or download it again"
                )
            body = stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(
            f"{path}: expected an idx file{' in gzip' if compressed else ''}, found it unreadable "
            f"({reason}); copy or download it again"
        ) from error
    if len(body) != size:
        found = f"only {len(body)}" if len(body) < size else "more"
        raise DataError(
            f"{path}: expected {size} bytes for the {shape} of its header, found {found}; copy or download it again"
        )
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def _shape(path: Path, header: bytes, ndim: int) -> tuple[int, ...]:
    magic = bytes((0, 0, _UINT8, ndim))
    if header[:4] != magic or len(header) < 4 + 4 * ndim:
        kind = "images" if ndim == 3 else "labels"
        raise DataError(
            f"{path}: expected the magic number {int.from_bytes(magic, 'big')} of idx {kind}, "
            f"found {int.from_bytes(header[:4], 'big')}; give an idx file of {kind}"
        )
    return struct.unpack(f">{ndim}I", header[4:])
