"""Merge methods: pure functions from tensors of several models to one, by name, with documented options."""

from weightspace.merge.methods.chunk import Chunk, Draw, drawing
from weightspace.merge.methods.method import Measure, Measured, MergeMethod
from weightspace.merge.methods.option import Option, Settings
from weightspace.merge.methods.registry import MERGE_METHODS, known_merge_method
from weightspace.merge.methods.settings import settings_of
from weightspace.merge.methods.whole import merge_tensors

__all__ = [
    "MERGE_METHODS",
    "Chunk",
    "Draw",
    "Measure",
    "Measured",
    "MergeMethod",
    "Option",
    "Settings",
    "drawing",
    "known_merge_method",
    "merge_tensors",
    "settings_of",
]
