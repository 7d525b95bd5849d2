"""Adapters of one base merged with each other, into an adapter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.checkpoint import Adapter
from weightspace.errors import CheckpointFormatError, CheckpointMismatchError, MergeError
from weightspace.merge.adapters.delta import Delta, delta_of
from weightspace.merge.adapters.low_rank import LowRank
from weightspace.merge.adapters.made import Layer, MadeAdapter
from weightspace.merge.adapters.task import task_with
from weightspace.merge.adapters.truncate import truncated, truncated_product
from weightspace.merge.adapters.whole import merged_whole
from weightspace.merge.methods import MergeMethod, known_merge_method, merge_tensors, settings_of


@dataclass(frozen=True)
class MergedAdapter:
    """Adapters that were merged.

    Attributes:
        adapter: The result.
        partial: Names of tensors saved whole that only some adapters have: their mean among these.
    """

    adapter: MadeAdapter
    partial: tuple[str, ...]


def merge_adapters(
    adapters: Sequence[Adapter],
    *,
    method: str = "linear",
    options: Mapping[str, float | bool | Sequence[float]] | None = None,
    rank: int | None = None,
    energy: float | None = None,
    drop: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> MergedAdapter:
    """Merges adapters by what they add to the weights, whatever their ranks and the modules that they change.

    The weighted mean of changes (`linear`) is exact: factors side by side, of the sum of the ranks. Other methods see
    every change in full, as that of a model whose base is zero, and what they make is cut to a rank. Where an adapter
    changes nothing it takes part with zeros. Modules that were saved whole are averaged with the same weights.

    Args:
        adapters: Two or more of one base.
        method: Name of a merge method.
        options: Options of the method.
        rank: Largest rank of the result; by default the sum of the ranks.
        energy: Share of the energy to keep, at the least rank that does.
        drop: Modules to leave out, by the last components of their names.
        seed: Seed of methods that draw.
        progress: Told (done, total, what).

    Raises:
        MergeError: If the method, an option, a rank or the number of adapters is wrong, or tensors that were saved
            whole differ in shape.
        CheckpointFormatError: If an adapter is not understood.
        CheckpointMismatchError: If two change one module in different shapes or ways.
    """
    if len(adapters) < 2:
        raise MergeError(f"expected at least 2 adapters, found {len(adapters)}")
    if rank is not None and rank < 1:
        raise MergeError(f"rank: expected at least 1, found {rank}")
    if energy is not None and not 0 < energy <= 1:
        raise MergeError(f"energy: expected a share above 0 and at most 1, found {energy:g}")
    known = known_merge_method(method)
    others = len(adapters) - _from_first(known)
    settings_of(known, others, has_base=known.base != "none", options=options or {})
    deltas = [delta_of(adapter, drop=tuple(drop)) for adapter in adapters]
    _check_alike(deltas)
    merging = _Merging(method, dict(options or {}), rank, energy, seed)
    modules = list(dict.fromkeys(module for delta in deltas for module in delta.changes))
    changes, layers = {}, []
    for done, module in enumerate(modules):
        progress(done, len(modules), module)
        changes[module], layer = merging.merged(module, [delta.changes.get(module) for delta in deltas])
        layers.append(layer)
    whole = merged_whole(deltas, 1.0 if _from_first(known) else (options or {}).get("weight", 1.0))
    biases = {delta.settings.bias for delta in deltas} - {"none"}
    made = MadeAdapter(
        changes,
        whole.tensors,
        _targets(adapters, deltas, modules),
        whole.modules,
        any(delta.settings.swapped for delta in deltas),
        bias="none" if not biases else "all" if len(biases) > 1 else biases.pop(),
        task=_task(adapters, deltas),
        layers=tuple(layers),
    )
    return MergedAdapter(made, whole.partial)


@dataclass(frozen=True)
class _Merging:
    """How changes of one module become one."""

    method: str
    options: dict[str, float | bool | Sequence[float]]
    rank: int | None
    energy: float | None
    seed: int

    def merged(self, module: str, changes: Sequence[LowRank | None]) -> tuple[LowRank, Layer]:
        """The merged change of a module; None stands for an adapter that leaves it alone."""
        there = [change for change in changes if change is not None]
        if self.method == "linear":
            left, right, error = self._side_by_side(changes)
        else:
            left, right, error = self._in_full(module, changes, sum(change.rank for change in there))
        biases = [torch.zeros(there[0].shape[0]) if c is None or c.bias is None else c.bias for c in changes]
        bias = None if all(c.bias is None for c in there) else self._by_method(f"{module}.bias", biases)
        change = LowRank(there[0].kind, left, right.reshape(-1, *there[0].shape[1:]), bias)
        return change, Layer(module, change.shape, change.rank, error)

    def _side_by_side(self, changes: Sequence[LowRank | None]) -> tuple[Tensor, Tensor, float]:
        settings = settings_of(known_merge_method("linear"), len(changes), has_base=False, options=self.options)
        weights = settings.of_models("weight")
        total = sum(weights) if settings.flag("normalize") else 1.0
        parts = [(c.scaled(w / total)) for c, w in zip(changes, weights, strict=True) if c is not None]
        left = torch.cat([part.left for part in parts], 1)
        right = torch.cat([part.right.flatten(1) for part in parts])
        most = min(left.shape[0], right.shape[1])
        if self.energy is None and left.shape[1] <= (most if self.rank is None else min(most, self.rank)):
            return left, right, 0.0
        if not left.any() or not right.any():
            return left[:, :1], right[:1], 0.0
        cut = truncated_product(left, right, rank=self.rank, energy=self.energy)
        return cut.left, cut.right, cut.error

    def _in_full(self, module: str, changes: Sequence[LowRank | None], most: int) -> tuple[Tensor, Tensor, float]:
        like = next(change for change in changes if change is not None).full()
        merged = self._by_method(f"{module}.weight", [like.new_zeros(()).expand_as(like) if c is None else c.full()
                                                      for c in changes]).flatten(1)  # fmt: skip
        if not merged.any():
            return merged.new_zeros(len(merged), 1), merged.new_zeros(1, merged.shape[1]), 0.0
        rank = most if self.rank is None and self.energy is None else self.rank
        cut = truncated(merged, rank=rank, energy=self.energy)
        return cut.left, cut.right, cut.error

    def _by_method(self, name: str, tensors: Sequence[Tensor]) -> Tensor:
        known = known_merge_method(self.method)
        base = None if known.base == "none" else torch.zeros_like(tensors[0])
        if _from_first(known):
            base, *tensors = tensors
        return merge_tensors(self.method, tensors, base, options=self.options, seed=self.seed, name=name)


def _from_first(method: MergeMethod) -> bool:
    """Whether a method goes from a base to one model, as slerp does: then the first adapter stands for the base.

    To others that take a base it is zero, since a change is what a model has beyond its base.
    """
    return method.base == "required" and method.models == (1, 1)


def _check_alike(deltas: Sequence[Delta]) -> None:
    """Refuses adapters that cannot be of one base."""
    known: dict[str, tuple[Delta, LowRank]] = {}
    for delta in deltas:
        for module, change in delta.changes.items():
            if change.magnitude is not None:
                raise CheckpointFormatError(
                    f"{delta.path}: module '{module}': expected a change that does not depend on the base, found DoRA; "
                    "fuse it into its base, then extract an adapter from that"
                )
            other, first = known.setdefault(module, (delta, change))
            if (change.kind, change.shape) != (first.kind, first.shape):
                raise CheckpointMismatchError(
                    f"{delta.path}: module '{module}': expected a change of shape {first.shape} as in {other.path}, "
                    f"found {change.shape}; give adapters of one base"
                )
        if delta.settings.swapped != deltas[0].settings.swapped:
            raise CheckpointMismatchError(
                f"{delta.path}: expected fan_in_fan_out {str(deltas[0].settings.swapped).lower()} as in "
                f"{deltas[0].path}, found {str(delta.settings.swapped).lower()}; give adapters of one base"
            )


def _task(adapters: Sequence[Adapter], deltas: Sequence[Delta]) -> str | None:
    """The task that all have, unless it asks for a head that was dropped."""
    tasks = {adapter.config.get("task_type") for adapter in adapters}
    dropped = [name.rpartition(".")[0] for delta in deltas for name in delta.dropped]
    return task_with(tasks.pop(), dropped, ()) if len(tasks) == 1 else None


def _targets(adapters: Sequence[Adapter], deltas: Sequence[Delta], modules: Sequence[str]) -> Sequence[str] | str:
    """What to write as `target_modules`: what all adapters say, if they say the same and mean the same modules."""
    keys = ("target_modules", "exclude_modules", "layers_to_transform")
    said, *others = ({key: _unordered(adapter.config.get(key)) for key in keys} for adapter in adapters)
    same = all(other == said for other in others) and all(set(delta.changes) == set(modules) for delta in deltas)
    targets = adapters[0].config.get("target_modules")
    whole = targets and not said["exclude_modules"] and said["layers_to_transform"] in (None, [])
    return sorted(targets) if same and whole and isinstance(targets, list) else modules


def _unordered(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, list) else value
