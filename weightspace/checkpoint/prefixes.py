"""Wrapper prefixes: names that a training wrapper added to every key."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from weightspace.errors import CheckpointFormatError

# DataParallel and DistributedDataParallel, torch.compile, FSDP, activation checkpointing.
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def strip_wrappers(names: Iterable[str], path: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Remove wrapper components from dotted names, wherever they stand.

    Only whole components before the last are removed: `module.` from `module.conv.weight` and from
    `encoder.module._orig_mod.weight`, nothing from `my_module.weight` or `block.module`.

    Args:
        names: Names as stored, in file order.
        path: The checkpoint, for messages.

    Returns:
        The stored name of each normalised name, in file order, and a note per wrapper that was found.

    Raises:
        CheckpointFormatError: If two stored names become the same.
    """
    stored: dict[str, str] = {}
    stripped: Counter[str] = Counter()
    for name in names:
        *parents, last = name.split(".")
        normalised = ".".join([*(part for part in parents if part not in WRAPPERS), last])
        stripped.update({part for part in parents if part in WRAPPERS})
        if normalised in stored:
            raise CheckpointFormatError(
                f"{path}: expected one tensor named {normalised!r} without wrapper prefixes, found "
                f"{stored[normalised]!r} and {name!r}; save the state dict of one of the two models alone"
            )
        stored[normalised] = name
    notes = tuple(
        f"stripped '{wrapper}.' from {stripped[wrapper]} name{'s' * (stripped[wrapper] != 1)}"
        for wrapper in WRAPPERS
        if stripped[wrapper]
    )
    return stored, notes
