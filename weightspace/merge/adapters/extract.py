"""An adapter out of a fine-tune: the difference from its base, weight by weight, at a low rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from weightspace.errors import CheckpointMismatchError, MergeError
from weightspace.merge.adapters.layers import Layers
from weightspace.merge.adapters.low_rank import Kind, LowRank
from weightspace.merge.adapters.made import Layer, MadeAdapter, targets_for
from weightspace.merge.adapters.names import PREFIX, is_named
from weightspace.merge.adapters.places import under_names_of
from weightspace.merge.adapters.task import heads_of, task_with
from weightspace.merge.adapters.truncate import truncated


@dataclass(frozen=True)
class Extracted:
    """An adapter out of a fine-tune.

    Attributes:
        adapter: It.
        dropped: Names of tensors whose difference is not in it, as wanted.
        only_base: Names of tensors that the fine-tune lacks, such as those of another head.
        error: Frobenius norm of all that low ranks lost over that of all differences of the same weights.
    """

    adapter: MadeAdapter
    dropped: tuple[str, ...]
    only_base: tuple[str, ...]
    error: float


def extract(
    base: Mapping[str, Tensor],
    tuned: Mapping[str, Tensor],
    layers: Layers,
    *,
    rank: int | None = None,
    energy: float | None = None,
    drop: Sequence[str] = (),
    whole: Sequence[str] = (),
    task: str | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> Extracted:
    """The difference of a fine-tune from its base as an adapter, by truncated singular value decompositions.

    Linear layers, convolutions without groups and embeddings that changed get factors; their biases get what LoRA calls
    `lora_bias`. Any other module that changed (norms, a head of the fine-tune's own) is saved whole, so that nothing
    but what low ranks lose is lost. Beside biases embeddings are saved whole, since PEFT knows no biases of theirs;
    layers without a bias it then runs, but merges only layers with one (`fuse` does all).

    Args:
        base: What was fine-tuned.
        tuned: The fine-tune, of the same names but for heads.
        layers: The modules of its network, see `layers_of`.
        rank: Largest rank.
        energy: Share of the energy of each difference to keep, at the least rank that does.
        drop: Modules to leave as they are in the base, by the last components of their names.
        whole: Modules to save whole where they changed, likewise.
        task: PEFT's name of the task, see `task_of`; the head of a classifier is always saved whole then.
        progress: Told (done, total, what).

    Raises:
        MergeError: If neither rank nor energy is given, one is out of range, or nothing changed.
        CheckpointMismatchError: If the two are not of one network, or what changed cannot be in an adapter.
    """
    _check_size(rank, energy)
    base = under_names_of(tuned, base)
    common = [name for name in tuned if name in base and tuned[name].shape == base[name].shape]
    if not common:
        raise CheckpointMismatchError(
            "the fine-tune: expected tensors of its base, found none of the same name and shape; give the base that it "
            "was trained from"
        )
    changed = [name for name in tuned if name not in common or not _equal(base[name], tuned[name])]
    dropped = tuple(name for name in changed if is_named(name.rpartition(".")[0], drop))
    changed = [name for name in changed if name not in dropped]
    _check_ties(changed, layers.ties)
    heads = [head for head in heads_of(task, layers.names) if not is_named(head, drop)]
    ranked, saved = _sorted_out(changed, set(common), layers, whole, heads)
    if not changed:
        raise MergeError("the fine-tune: expected weights that differ from those of its base, found none")
    changes, told = {}, []
    lost = size = 0.0
    for done, module in enumerate(ranked):
        progress(done, len(ranked), module)
        changes[module], layer, energies = _change(base, tuned, module, layers.kinds[module], rank, energy)
        told.append(layer)
        lost, size = lost + energies[0], size + energies[1]
    adapter = MadeAdapter(
        changes,
        {f"{PREFIX}{name}": tuned[name] for name in tuned if _within(name, saved)},
        targets_for(ranked, layers.names),
        saved,
        any(layers.kinds[module] == "swapped" for module in ranked),
        task=task_with(task, layers.names, saved),
        layers=tuple(told),
    )
    only_base = tuple(name for name in base if name not in tuned)
    return Extracted(adapter, dropped, only_base, (lost / size) ** 0.5 if size else 0.0)


def _check_size(rank: int | None, energy: float | None) -> None:
    if rank is None and energy is None:
        raise MergeError("expected a rank or a share of the energy, found neither; name one")
    if rank is not None and rank < 1:
        raise MergeError(f"rank: expected at least 1, found {rank}")
    if energy is not None and not 0 < energy <= 1:
        raise MergeError(f"energy: expected a share above 0 and at most 1, found {energy:g}")


def _check_ties(changed: Sequence[str], ties: Mapping[str, str]) -> None:
    for name in changed:
        other = ties.get(name) or next((alias for alias, first in ties.items() if first == name), None)
        if other is not None:
            raise CheckpointMismatchError(
                f"tensor '{name}' of the fine-tune: expected one of its own, found it changed and tied to '{other}', "
                "which no adapter of one of them keeps; wsp untie both first, or drop its module"
            )


def _sorted_out(
    changed: Sequence[str], common: set[str], layers: Layers, whole: Sequence[str], heads: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Which modules get factors, and which are saved whole, both in order."""
    low: dict[str, None] = {}
    saved = set(heads)
    for name in changed:
        module, _, leaf = name.rpartition(".")
        if module in layers.kinds and leaf in ("weight", "bias") and name in common and not is_named(module, whole):
            low[module] = None
        elif module in layers.names:
            saved.add(module)
        else:
            raise CheckpointMismatchError(
                f"tensor '{name}' of the fine-tune: expected what changed to be in a module of the network, found none "
                "there; if the architecture is the right one, an adapter cannot hold it: use the fine-tune as it is"
            )
    if any(name.endswith(".bias") and name.removesuffix(".bias") in low for name in changed):
        saved |= {module for module in low if layers.kinds[module] == "embedding"}
    # PEFT saves every module whose name ends like one of these.
    while more := {module for module in layers.names if saved and module.endswith(tuple(saved))} - saved:
        saved |= more
    outer = [module for module in layers.names if module in saved and not _within(module, saved - {module})]
    return [module for module in low if not _within(f"{module}.", saved)], outer


def _within(name: str, modules: set[str] | Sequence[str]) -> bool:
    """Whether a tensor or module lies in one of the modules."""
    return any(name.startswith(f"{module}.") for module in modules)


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b.to(a.dtype)) and torch.equal(a.to(b.dtype), b)


def _change(
    base: Mapping[str, Tensor],
    tuned: Mapping[str, Tensor],
    module: str,
    kind: str,
    rank: int | None,
    energy: float | None,
) -> tuple[LowRank, Layer, tuple[float, float]]:
    """The change of one module, and how much of its energy is lost, and was there."""
    difference = _difference(base, tuned, f"{module}.weight")
    difference = difference.T if kind == "swapped" else difference
    flat = difference.flatten(1)
    energies = (0.0, float(flat.double().square().sum()))
    if energies[1] == 0:
        # A changed bias alone: factors have at least one column.
        left, right, error = flat.new_zeros(len(flat), 1), flat.new_zeros(1, flat.shape[1]), 0.0
    else:
        cut = truncated(flat, rank=rank, energy=energy)
        left, right, error = cut.left, cut.right, cut.error
        energies = (error**2 * energies[1], energies[1])
    called: Kind = "linear" if kind == "swapped" else kind  # pyright: ignore[reportAssignmentType]
    change = LowRank(called, left, right.reshape(-1, *difference.shape[1:]))
    bias = f"{module}.bias"
    if bias in tuned and bias in base:
        added = _difference(base, tuned, bias)
        change = replace(change, bias=added) if added.any() else change
    return change, Layer(module, tuple(difference.shape), change.rank, error), energies


def _difference(base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], name: str) -> Tensor:
    first, second = base[name], tuned[name]
    dtype = torch.promote_types(torch.promote_types(first.dtype, second.dtype), torch.float32)
    return second.to(dtype) - first.to(dtype)
