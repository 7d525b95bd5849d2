"""Merge methods that need networks and not weights alone: what each asks for, and what a recipe says about it."""

from weightspace.merge.networks.asked import NetworkMerge, network_merge
from weightspace.merge.networks.method import NetworkMethod
from weightspace.merge.networks.options import (
    FisherOptions,
    OfModel,
    Options,
    PleasOptions,
    RebasinOptions,
    RegmeanOptions,
    Weighted,
    ZipitOptions,
)
from weightspace.merge.networks.registry import NETWORK_METHODS, check_merge_method

__all__ = [
    "NETWORK_METHODS",
    "FisherOptions",
    "NetworkMerge",
    "NetworkMethod",
    "OfModel",
    "Options",
    "PleasOptions",
    "RebasinOptions",
    "RegmeanOptions",
    "Weighted",
    "ZipitOptions",
    "check_merge_method",
    "network_merge",
]
