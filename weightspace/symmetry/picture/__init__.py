"""A spec as a picture: SVG text, made without any library."""

from weightspace.symmetry.picture.choose import MOST_TENSORS
from weightspace.symmetry.picture.draw import draw_spec

__all__ = ["MOST_TENSORS", "draw_spec"]
