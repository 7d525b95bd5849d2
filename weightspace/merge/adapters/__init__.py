"""Low-rank adapters: fused into a base, taken out of a fine-tune, merged with each other."""

from weightspace.merge.adapters.combine import MergedAdapter, merge_adapters
from weightspace.merge.adapters.delta import Delta, delta_of
from weightspace.merge.adapters.extract import Extracted, extract
from weightspace.merge.adapters.fuse import Fused, fuse
from weightspace.merge.adapters.layers import Layers, layers_of
from weightspace.merge.adapters.low_rank import LowRank
from weightspace.merge.adapters.made import Layer, MadeAdapter
from weightspace.merge.adapters.task import task_of
from weightspace.merge.adapters.ties import ties_of

__all__ = [
    "Delta",
    "Extracted",
    "Fused",
    "Layer",
    "Layers",
    "LowRank",
    "MadeAdapter",
    "MergedAdapter",
    "delta_of",
    "extract",
    "fuse",
    "layers_of",
    "merge_adapters",
    "task_of",
    "ties_of",
]
