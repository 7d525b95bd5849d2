"""Adapters fused into their base: weight by weight, as it is read, so that a large base streams through."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.checkpoint import Adapter, Checkpoint
from weightspace.errors import CheckpointFormatError, CheckpointMismatchError, MergeError
from weightspace.merge.adapters.delta import Delta, delta_of
from weightspace.merge.adapters.low_rank import LowRank
from weightspace.merge.adapters.names import saved_module
from weightspace.merge.adapters.places import Places, places_of
from weightspace.views import TensorView

# From a tensor of the base, in at least float32, to what is added to it.
_Change = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Fused:
    """A base with adapters in it.

    Attributes:
        tensors: All tensors by their names in the base, then those that it lacks; made when they are read.
        changed: Names of the tensors that are not as in the base.
        brought: Names of tensors that the base lacks, or has in another shape, such as a classifier's -> their shapes.
    """

    tensors: Mapping[str, Tensor]
    changed: tuple[str, ...]
    brought: Mapping[str, tuple[int, ...]]


def fuse(
    base: Mapping[str, Tensor],
    adapters: Sequence[Adapter],
    *,
    weights: Sequence[float] | None = None,
    drop: Sequence[str] = (),
    ties: Mapping[str, str] | None = None,
) -> Fused:
    """Adds what adapters learned to their base: W + sum of weight * change, of each its own W' - W.

    Args:
        base: The weights that all adapters were trained on.
        adapters: Opened by `open_adapter`. Of DoRA the change depends on W, which is always the base's.
        weights: How much each counts, 1 by default.
        drop: Modules to leave as the base has them, by the last components of their names.
        ties: Names of the network that stand for the tensor of another name; those of a `Checkpoint` by default.

    Returns:
        The fused weights, in the types of the base. Tensors that the base has in another shape or not at all are taken
        over as they are.

    Raises:
        MergeError: If the number of weights is wrong, or two adapters bring a tensor that cannot be added up.
        CheckpointFormatError: If an adapter is not understood.
        CheckpointMismatchError: If one does not fit the base, or changes one of two tied tensors.
    """
    given = [1.0] * len(adapters) if weights is None else list(weights)
    if len(given) != len(adapters):
        raise MergeError(f"expected a weight for each of {len(adapters)} adapters, found {len(given)}")
    shapes = {name: _shape(base, name) for name in base}
    plan = _Plan(base, shapes)
    for adapter, weight in zip(adapters, given, strict=True):
        plan.add(delta_of(adapter, drop=tuple(drop)), weight)
    if ties is None:
        ties = base.aliases() if isinstance(base, Checkpoint) else {}
    plan.check_ties(ties)
    return plan.fused()


class _Plan:
    """What becomes of which tensor of the base."""

    def __init__(self, base: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._base = base
        self._shapes = shapes
        self._terms: dict[str, list[tuple[float, _Change]]] = {}
        self._brought: dict[str, tuple[Delta, str]] = {}

    def add(self, delta: Delta, weight: float) -> None:
        """One more adapter."""
        places = places_of(delta, self._shapes)
        for module, change in delta.changes.items():
            name = places.name(f"{module}.weight")
            self._term(name, weight, _product(change, swapped=module in places.swapped))
            if change.bias is not None:
                self._bias(delta, places, module, weight, change.bias)
        for own, stored in delta.whole.items():
            self._whole(delta, places.name(own), own, stored, weight)

    def check_ties(self, ties: Mapping[str, str]) -> None:
        """Refuses to change a tensor that the network uses under another name as well: the adapter changes one use."""
        firsts = set(ties.values())
        for name in [*self._terms, *self._brought]:
            if name in ties or name in firsts:
                other = ties.get(name) or next(alias for alias, first in ties.items() if first == name)
                raise CheckpointMismatchError(
                    f"tensor '{name}': expected one of its own, found it tied to '{other}', which the adapter leaves "
                    "as it is; run wsp untie on the base first"
                )

    def fused(self) -> Fused:
        """The weights."""
        for name in self._brought.keys() & self._terms.keys():
            raise MergeError(f"tensor '{name}': expected the shape that the base has, found others; drop its module")
        brought = {
            name: TensorView(delta.tensors, names={name: stored}) for name, (delta, stored) in self._brought.items()
        }
        whole = ChainMap[str, Tensor](*brought.values(), self._base)  # pyright: ignore[reportArgumentType]
        order = dict.fromkeys([*self._base, *brought])
        view = TensorView(whole, names={name: name for name in order}, change=self._changed)
        shapes = {name: tuple(delta.tensors[stored].shape) for name, (delta, stored) in self._brought.items()}
        changed = tuple(name for name in order if name in self._terms or name in brought)
        return Fused(view, changed, shapes)

    def _changed(self, name: str, tensor: Tensor) -> Tensor:
        terms = self._terms.get(name, ())
        if not terms:
            return tensor
        plain = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
        total = plain.clone()
        for weight, change in terms:
            total.add_(change(plain), alpha=weight)
        return total.to(tensor.dtype)

    def _term(self, name: str, weight: float, change: _Change) -> None:
        if not self._base[name].is_floating_point():
            raise CheckpointMismatchError(
                f"tensor '{name}' of the base: expected floating point numbers, found {self._base[name].dtype}; give "
                "the base in the type that it was trained in"
            )
        self._terms.setdefault(name, []).append((weight, change))

    def _bias(self, delta: Delta, places: Places, module: str, weight: float, bias: Tensor) -> None:
        name = places.name(f"{module}.bias")
        if self._shapes.get(name) != tuple(bias.shape):
            raise CheckpointMismatchError(
                f"{delta.path}: module '{module}': expected a bias '{name}' of shape {tuple(bias.shape)} in the base, "
                f"found {self._shapes.get(name, 'none')}; give the base that it was trained on"
            )
        self._term(name, weight, lambda _: bias)

    def _whole(self, delta: Delta, name: str, own: str, stored: str, weight: float) -> None:
        tensor = delta.tensors[stored]
        if name not in self._shapes and saved_module(own, delta.settings.modules_to_save) is None:
            raise CheckpointFormatError(
                f"{delta.path}: tensor '{stored}': expected a part of LoRA, of the base or of modules_to_save, found "
                "neither; give the base that it was trained on"
            )
        if self._shapes.get(name) == tuple(tensor.shape) and self._base[name].is_floating_point():
            # PEFT saves targeted embeddings beside what it learned about them.
            if not torch.equal(self._base[name].to(tensor.dtype), tensor):
                self._term(name, weight, lambda plain: tensor.to(plain.dtype) - plain)
            return
        if name in self._brought:
            other = self._brought[name][0]
            raise MergeError(
                f"tensor '{name}': expected one adapter to bring it, since the base has none of that shape, found "
                f"it in {other.path} and {delta.path}; drop its module"
            )
        self._brought[name] = (delta, stored)


def _product(change: LowRank, *, swapped: bool) -> _Change:
    if not swapped:
        return change.change_of
    return lambda weight: change.change_of(weight.T).T


def _shape(base: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    return base.info(name).shape if isinstance(base, Checkpoint) else tuple(base[name].shape)
