"""All merge methods that need networks, by name."""

from __future__ import annotations

import difflib

from weightspace.errors import MergeError
from weightspace.merge.methods.registry import MERGE_METHODS
from weightspace.merge.networks.method import NetworkMethod
from weightspace.merge.networks.options import (
    FisherOptions,
    Options,
    PleasOptions,
    RebasinOptions,
    RegmeanOptions,
    Weighted,
    ZipitOptions,
)

_ALL = (
    NetworkMethod(
        "rebasin", "Git Re-Basin", "aligns two networks, then takes the mean of their weights",
        "Ainsworth et al. 2023, Git Re-Basin; with repair Jordan et al. 2023, REPAIR", (2, 2), "optional", "weights",
        RebasinOptions,
    ),
    NetworkMethod(
        "pleas", "PLeaS", "solves every layer for the mean features of two aligned networks, then trains all together",
        "Nasery et al. 2024, PLeaS, section 4.2", (2, 2), "examples", "activations", PleasOptions, aligned=True,
    ),
    NetworkMethod(
        "zipit", "ZipIt!", "merges the units that are most alike, within each of two networks and across",
        "Stoica et al. 2024, ZipIt!, section 4", (2, 2), "examples", "activations", ZipitOptions, aligned=True,
    ),
    NetworkMethod(
        "uniform_soup", "Uniform soup", "the mean of the weights, with batch norms measured again",
        "Wortsman et al. 2022, Model soups, section 2", (2, None), "optional", None, Options,
    ),
    NetworkMethod(
        "greedy_soup", "Greedy soup", "the mean of those models, the best first, with which accuracy does not fall",
        "Wortsman et al. 2022, Model soups, section 2", (2, None), "labels", None, Options,
    ),
    NetworkMethod(
        "regmean", "RegMean", "solves every layer for what the layers of all models give on their own inputs",
        "Jin et al. 2023, Dataless Knowledge Fusion, section 3", (2, None), "examples", None, RegmeanOptions,
        own_data=True,
    ),
    NetworkMethod(
        "fisher", "Fisher mean", "the mean of the weights, each counting as much as predictions depend on it",
        "Matena and Raffel 2022, Merging Models with Fisher-Weighted Averaging, section 3", (2, None), "examples", None,
        FisherOptions, of_model=Weighted, own_data=True,
    ),
)  # fmt: skip

NETWORK_METHODS: dict[str, NetworkMethod] = {method.name: method for method in _ALL}


def check_merge_method(name: str) -> None:
    """Checks that there is a method of a name, of networks or of weights alone.

    Raises:
        MergeError: There is none; with the nearest name.
    """
    known = [*NETWORK_METHODS, *MERGE_METHODS]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise MergeError(f"method '{name}': expected one of {', '.join(known)}; did you mean '{near[0]}'?")
