"""A folder with one sub-folder of images per class, decoded batch by batch."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weightspace.data.examples import Examples, checked
from weightspace.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
# An allow list: Pillow also opens formats that start other programs (EPS runs Ghostscript).
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
# What Pillow raises on damaged files, depending on the format (UnidentifiedImageError is an OSError).
_DAMAGED = (OSError, EOFError, SyntaxError, ValueError, IndexError, struct.error, zlib.error)
_GREY_MODES = frozenset({"1", "L", "LA"})
_COLOUR_MODES = frozenset({"P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"})


def images_below(folder: Path) -> list[Path]:
    """Image files anywhere below a folder, sorted, hidden ones left out."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in _SUFFIXES
        and file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def class_folders(folder: Path) -> list[Path]:
    """The sub-folders that are classes, in the order of their labels: sorted by name, hidden ones left out."""
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def read_image_folder(folder: Path) -> Examples:
    """List the images of every class and check that they fit together; pixels are read when a batch needs them.

    Returns:
        `x` `(N, H, W, C)` uint8 with C = 1 where every image is grey and 3 otherwise; `y` the index of the class in
        the sorted names.

    Raises:
        DataError: Pillow is missing, a class without images, an unreadable image, an image of another size.
    """
    classes = class_folders(folder)
    files: list[Path] = []
    labels: list[int] = []
    for label, child in enumerate(classes):
        found = images_below(child)
        if not found:
            raise DataError(
                f"{child}: expected images of the class {child.name!r}, found none; remove the folder or fill it"
            )
        files += found
        labels += [label] * len(found)
    return checked(folder, ImageFiles(files), np.array(labels, dtype=np.int64))


class ImageFiles:
    """Images on disk that index like one `(N, H, W, C)` uint8 array.

    Args:
        files: At least one path; only the headers are read here.

    Raises:
        DataError: An image that cannot be read, or whose size differs from that of the first.
    """

    def __init__(self, files: list[Path]) -> None:
        self._files = files
        headers = [_header(file) for file in files]
        size = headers[0][0]
        for file, (other, _) in zip(files, headers, strict=True):
            if other != size:
                raise DataError(
                    f"{file}: expected {size[0]} x {size[1]} pixels as in {files[0].name}, "
                    f"found {other[0]} x {other[1]}; resize all images to the network's input"
                )
        self._mode = "L" if all(mode in _GREY_MODES for _, mode in headers) else "RGB"
        self.shape = (len(files), size[1], size[0], 1 if self._mode == "L" else 3)
        self.dtype = np.dtype(np.uint8)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        """Decode the images at the given positions, `(len(index), H, W, C)` uint8."""
        return np.stack([_pixels(self._files[i], self._mode).reshape(self.shape[1:]) for i in index])


def _header(file: Path) -> tuple[tuple[int, int], str]:
    with _opened(file) as image:
        if image.mode not in _GREY_MODES | _COLOUR_MODES:
            raise DataError(
                f"{file}: expected 8 bits per channel, found the mode {image.mode}; convert it to 8-bit PNG"
            )
        return image.size, image.mode


def _pixels(file: Path, mode: str) -> np.ndarray:
    with _opened(file) as image:
        return np.asarray(image.convert(mode))


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(f"{file}: expected Pillow to read images, found none; install weightspace[images]") from error
    try:
        with Image.open(file, formats=_FORMATS) as image:
            yield image
    except (Image.DecompressionBombError, *_DAMAGED) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{file}: expected a PNG, JPEG or similar image, found it unreadable ({reason}); replace or remove it"
        ) from error
