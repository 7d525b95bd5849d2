"""Lay tensors out for safetensors: ties stored once, each shard within a size."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch

from weightspace.checkpoint.safetensors_header import DTYPES
from weightspace.errors import OutputError


@dataclass
class Shard:
    """The tensors of one file.

    Attributes:
        tensors: Stored tensors, contiguous, on the CPU, none sharing storage with another.
        order: All names of the shard in the order given, each followed by its aliases.
        aliases: Tied names -> the stored name.
        nbytes: Size of the tensors.
        storages: Addresses of their storages.
    """

    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    aliases: dict[str, str] = field(default_factory=dict)
    nbytes: int = 0
    storages: set[int] = field(default_factory=set)


def split(
    tensors: Iterable[tuple[str, torch.Tensor]], aliases: Mapping[str, str], max_bytes: int | None
) -> Iterator[Shard]:
    """Fill shards in the order given; each is complete, and may be written and dropped, when it is yielded.

    A tensor larger than `max_bytes` has a shard for itself. An alias goes to the shard of its tensor, and counts
    nothing; if its own tensor is among those given, it must be equal.

    Raises:
        OutputError: If a name comes twice, an alias has no tensor, an alias differs from its tensor, or a type cannot
            be stored.
    """
    names_of: dict[str, list[str]] = {}
    for alias, name in aliases.items():
        names_of.setdefault(name, []).append(alias)
    seen: set[str] = set()
    tied: dict[str, torch.Tensor] = {}  # one tensor of each tie, to compare its other names with
    shard = Shard()
    for name, tensor in tensors:
        if name in seen:
            raise OutputError(
                f"tensor {name!r}: expected each name once, found it twice; give every tensor its own name"
            )
        seen.add(name)
        stored = aliases.get(name, name)
        if stored in names_of:
            _check_equal(name, tensor, stored, tied.setdefault(stored, tensor))
        if name in aliases:
            continue
        tensor = _storable(name, tensor)
        if tensor.untyped_storage().data_ptr() in shard.storages:
            tensor = tensor.clone()
        size = tensor.numel() * tensor.element_size()
        if max_bytes is not None and shard.tensors and shard.nbytes + size > max_bytes:
            yield shard
            shard = Shard()
        shard.tensors[name] = tensor
        shard.nbytes += size
        shard.storages.add(tensor.untyped_storage().data_ptr())
        shard.order.extend([name, *names_of.get(name, ())])
        shard.aliases.update(dict.fromkeys(names_of.get(name, ()), name))
    for name, others in names_of.items():
        if name not in seen:
            raise OutputError(
                f"tensor {name!r}: expected it among the tensors to write, because {others[0]!r} is tied to it, "
                "found no such tensor; give it, or leave the tie out"
            )
    if not seen:
        raise OutputError("expected tensors to write, found none; give at least one")
    yield shard


def _storable(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype not in DTYPES.values():
        raise OutputError(
            f"tensor {name!r}: expected a type that safetensors stores, found {tensor.dtype}; convert it first"
        )
    tensor = tensor.detach().cpu().contiguous()
    # safetensors writes whole storages: a view of a larger or shared one gets its own.
    if tensor.untyped_storage().nbytes() != tensor.numel() * tensor.element_size():
        tensor = tensor.clone()
    return tensor


def _check_equal(name: str, tensor: torch.Tensor, stored: str, first: torch.Tensor) -> None:
    if tensor is first:
        return
    same = tensor.shape == first.shape and tensor.dtype == first.dtype
    if not same or not torch.equal(_bits(tensor), _bits(first)):
        raise OutputError(
            f"tensor {name!r}: expected the same numbers as {stored!r}, to which it is tied, found others; "
            "change both, or leave the tie out"
        )


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The bytes, so that NaN equals itself."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
