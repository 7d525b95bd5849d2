"""Read a plain stack of linear and convolution layers off the names and shapes of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain, pairwise, permutations
from pathlib import Path

from weightspace.errors import SourceError

_NEXT_STEP = "pass --arch (timm:NAME, a transformers folder or FILE.py:callable)"
_MAX_FAMILIES = 6


@dataclass(frozen=True)
class LayerShape:
    """One linear or convolution layer.

    Attributes:
        name: Module path; the tensors are `name.weight` and `name.bias`.
        weight: Shape of the weight: (out, in) or (out, in, *kernel).
        bias: Whether there is a bias of shape (out,).
    """

    name: str
    weight: tuple[int, ...]
    bias: bool

    @property
    def spatial(self) -> int:
        """Number of spatial dimensions: 0 for a linear layer."""
        return len(self.weight) - 2


def read_stack(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> tuple[LayerShape, ...]:
    """Order the layers so that the output of each fits the input of the next.

    The order of the file is the order of definition, unless a writer sorted the names. Then numbers in the names
    decide (`layer2` before `layer10`), and among families of names (`classifier.`, `features.`) the shapes do.

    Args:
        path: The checkpoint, for messages.
        shapes: Shape of every tensor, in file order.

    Returns:
        The layers from input to output.

    Raises:
        SourceError: A tensor is neither a weight nor a bias of such a layer, or no order of the layers chains, or more
            than one does.
    """
    layers = _layers(path, shapes)
    if list(shapes) != sorted(shapes) and _break(layers) is None:
        return tuple(layers)
    natural = sorted(layers, key=lambda layer: _natural(layer.name))
    orders = [order for order in _family_orders(natural) if _break(order) is None]
    if len(orders) == 1:
        return tuple(orders[0])
    if orders:
        raise SourceError(
            f"{path}: the names are sorted and the shapes fit in more than one order ({_arrows(orders[0])} or "
            f"{_arrows(orders[1])}), so {_NEXT_STEP}"
        )
    first, second = _break(natural) or (natural[0], natural[0])
    raise SourceError(
        f"{path}: {second.name}.weight: expected a layer that takes the {first.weight[0]} outputs of {first.name}, "
        f"found shape {second.weight}; this is not a plain stack, so {_NEXT_STEP}"
    )


def _family_orders(layers: list[LayerShape]) -> list[list[LayerShape]]:
    """Every order of the families (names that begin alike up to the first number); one order inside each family."""
    families: dict[str, list[LayerShape]] = {}
    for layer in layers:
        families.setdefault(re.split(r"\d", layer.name)[0], []).append(layer)
    if len(families) > _MAX_FAMILIES:
        return [layers]
    return [list(chain.from_iterable(order)) for order in permutations(families.values())]


def _arrows(layers: list[LayerShape]) -> str:
    return " > ".join(layer.name for layer in layers)


def _layers(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> list[LayerShape]:
    found: dict[str, LayerShape] = {}
    for name, shape in shapes.items():
        module, _, kind = name.rpartition(".")
        if kind == "weight" and module and all(module.split(".")) and 2 <= len(shape) <= 5 and 0 not in shape:
            found[module] = LayerShape(module, tuple(shape), bias=f"{module}.bias" in shapes)
    for name, shape in shapes.items():
        module, _, kind = name.rpartition(".")
        fits = module in found and (kind == "weight" or (kind == "bias" and tuple(shape) == found[module].weight[:1]))
        if not fits:
            raise SourceError(
                f"{path}: {name}: expected only weights and biases of linear and convolution layers, found a tensor of "
                f"shape {tuple(shape)}; this is not a plain stack, so {_NEXT_STEP}"
            )
    if not found:
        raise SourceError(f"{path}: expected weights of linear or convolution layers, found none; {_NEXT_STEP}")
    return list(found.values())


def _break(layers: list[LayerShape]) -> tuple[LayerShape, LayerShape] | None:
    """The first pair of neighbours that do not chain, or None."""
    return next((pair for pair in pairwise(layers) if not _chains(*pair)), None)


def _chains(first: LayerShape, second: LayerShape) -> bool:
    if second.spatial:
        return second.spatial == first.spatial and second.weight[1] == first.weight[0]
    # A linear layer after a convolution reads the flattened map: its inputs are (channels, pixels).
    return second.weight[1] % first.weight[0] == 0 if first.spatial else second.weight[1] == first.weight[0]


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]
