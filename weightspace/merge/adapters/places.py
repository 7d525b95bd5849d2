"""Where the modules of an adapter lie in the weights of a base, and which way round."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from weightspace.errors import CheckpointMismatchError
from weightspace.merge.adapters.delta import Delta
from weightspace.views import TensorView


@dataclass(frozen=True)
class Places:
    """The base as an adapter sees it.

    Attributes:
        removed: Prefix that names of the base lack: files of a model without its head have no `transformer.`.
        added: Prefix that only names of the base have.
        swapped: Modules whose weight has its inputs first.
    """

    removed: str
    added: str
    swapped: frozenset[str]

    def name(self, own: str) -> str:
        """The name in the base of what the adapter calls `own`."""
        return _renamed(own, self.removed, self.added)


def places_of(delta: Delta, shapes: Mapping[str, tuple[int, ...]]) -> Places:
    """Finds the weights that an adapter changes.

    Args:
        delta: The adapter.
        shapes: Of all tensors of the base.

    Raises:
        CheckpointMismatchError: If one is not there, is of another shape, or could be either way round.
    """
    removed, added = _prefixes(delta, shapes)
    found = {module: _renamed(f"{module}.weight", removed, added) for module in delta.changes}
    ways: dict[str, bool | None] = {}
    for module, change in delta.changes.items():
        shape = shapes[found[module]]
        turned = change.shape[::-1] if change.kind == "linear" else change.shape
        if shape not in (change.shape, turned):
            raise CheckpointMismatchError(
                f"{delta.path}: module '{module}': expected a weight of shape {change.shape} in the base, found "
                f"'{found[module]}' of shape {shape}; give the base that it was trained on"
            )
        ways[module] = None if change.kind == "linear" and change.shape == turned else shape != change.shape
    flag = delta.settings.swapped
    # PEFT keeps one flag for all layers. Where others contradict it, it says nothing about square weights.
    against = [m for m, way in ways.items() if way not in (None, flag) and delta.changes[m].kind == "linear"]
    square = [module for module, way in ways.items() if way is None]
    if against and square:
        raise CheckpointMismatchError(
            f"{delta.path}: module '{square[0]}': expected fan_in_fan_out to say which axis of its square weight has "
            f"the inputs, found {str(flag).lower()}, which is not so for '{against[0]}'; merge the adapter with PEFT"
        )
    return Places(removed, added, frozenset(m for m, way in ways.items() if (flag if way is None else way)))


def under_names_of(wanted: Collection[str], base: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """A base under the names of another model of it, where one of both lacks a prefix that the other has.

    Args:
        wanted: Names in the other model.
        base: The base.
    """
    if any(name in base for name in wanted):
        return base
    pairs = [(own[: -len(name)], "") for name in base for own in wanted if own.endswith(f".{name}")]
    pairs = pairs or [("", name[: -len(own)]) for own in wanted for name in base if name.endswith(f".{own}")]
    if len(set(pairs)) != 1:
        return base
    added, removed = pairs[0]
    return TensorView(base, names={added + name.removeprefix(removed): name for name in base})


def _prefixes(delta: Delta, base: Collection[str]) -> tuple[str, str]:
    """What to remove from and add to names of the adapter, so that the base has all its weights."""
    wanted = [f"{module}.weight" for module in delta.changes]
    if not wanted:
        return "", ""
    first = wanted[0]
    candidates = [("", "")]
    candidates += [(first[: at + 1], "") for at, letter in enumerate(first) if letter == "."]
    candidates += [("", name.removesuffix(first)) for name in base if name.endswith(f".{first}")]
    fitting = [each for each in candidates if all(_renamed(name, *each) in base for name in wanted)]
    if len(fitting) == 1 or ("", "") in fitting[:1]:
        return fitting[0]
    missing = next((name for name in wanted if name not in base), first)
    raise CheckpointMismatchError(
        f"{delta.path}: expected a weight '{missing}' in the base, found none; give the base that it was trained on, "
        "and if it shares that tensor with its embeddings, wsp untie it first"
    )


def _renamed(name: str, removed: str, added: str) -> str:
    return added + (name[len(removed) :] if name.startswith(removed) else name)
