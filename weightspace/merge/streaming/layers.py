"""The layers of a network, told by the names of its tensors: `model.layers.3.mlp.up_proj.weight` lies in layer 3."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_NUMBER = re.compile(r"(^|\.)(\d+)(\.|$)")


@dataclass(frozen=True)
class Layers:
    """Layers that stand one after another.

    Attributes:
        prefix: What their names begin with, before the number; without the dot.
        count: How many.
    """

    prefix: str
    count: int

    def place(self, name: str) -> tuple[int, str] | None:
        """The layer that a tensor lies in and its name there; None for one outside."""
        start = f"{self.prefix}." if self.prefix else ""
        if not name.startswith(start):
            return None
        number, _, rest = name[len(start) :].partition(".")
        return (int(number), rest) if number.isdecimal() and rest else None

    def name(self, layer: int, rest: str) -> str:
        """The name of a tensor in a layer."""
        return f"{self.prefix}.{layer}.{rest}" if self.prefix else f"{layer}.{rest}"


def layers_of(names: Iterable[str]) -> tuple[Layers, ...]:
    """The stacks of layers of a network, in the order in which they come.

    A stack is what the first numbers in names count from 0, without a gap, where at least two layers hold tensors of
    the same names (so a list of unlike parts is none).
    """
    found: dict[str, dict[int, set[str]]] = {}
    for name in names:
        match = _NUMBER.search(name)
        if match is not None:
            rest = name[match.end(2) + 1 :]
            found.setdefault(name[: match.start(2)].rstrip("."), {}).setdefault(int(match.group(2)), set()).add(rest)
    return tuple(Layers(prefix, len(inside)) for prefix, inside in found.items() if _stacked(inside))


def _stacked(inside: Mapping[int, set[str]]) -> bool:
    return len(inside) > 1 and inside.keys() == set(range(len(inside))) and bool(set.intersection(*inside.values()))
