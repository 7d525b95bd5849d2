"""Open any checkpoint."""

from os import PathLike
from pathlib import Path

from weightspace.checkpoint.checkpoint import Checkpoint
from weightspace.checkpoint.identify import Format, identify
from weightspace.checkpoint.locate import INDEX_SUFFIX, locate
from weightspace.checkpoint.pickle_file import PickleReader
from weightspace.checkpoint.prefixes import strip_wrappers
from weightspace.checkpoint.quantised import check_not_quantised
from weightspace.checkpoint.reader import Reader
from weightspace.checkpoint.safetensors_file import SafetensorsReader
from weightspace.checkpoint.sharded import ShardedReader
from weightspace.errors import CheckpointFormatError


def open_checkpoint(path: str | PathLike[str], *, prefer: str | None = None) -> Checkpoint:
    """Open a checkpoint lazily, whatever wrote it, and run none of its code.

    Read are safetensors files and what torch.save wrote (zip files and the older format), single or sharded by an
    index, and inside the latter a state dict however deep it is wrapped (`state_dict`, `model`, Lightning, ...).
    Prefixes that wrappers added (`module.`, `_orig_mod.`, ...) are removed from the names, and so reported in `notes`.

    Args:
        path: A file, an index of shards, or a folder: one with `model.safetensors` or `pytorch_model.bin` (or the index
            of either), else one with a single checkpoint in it.
        prefer: Where a PyTorch file holds several state dicts, the key of the one to read; `"ema"` means the averaged
            weights, whatever their key. Averaged weights are otherwise read only if there are no others.

    Raises:
        CheckpointFormatError: If it is missing, truncated, damaged, quantised, empty, or of a foreign format.
        UnsafeCheckpointError: If it can only be opened by running code.
    """
    path = Path(path)
    location = locate(path)
    if location.weights.name.endswith(INDEX_SUFFIX):
        reader: Reader = ShardedReader(location.weights, lambda shard: _open_file(shard, prefer))
    else:
        reader = _open_file(location.weights, prefer)
    names = reader.names()
    if not names:
        raise CheckpointFormatError(f"{path}: expected weights, found no tensor; save model.state_dict() in it")
    check_not_quantised(names, path)
    stored_names, stripped = strip_wrappers(names, path)
    return Checkpoint(
        path,
        reader,
        stored_names,
        notes=(*location.notes, *reader.notes, *stripped),
        config_path=location.config,
    )


def _open_file(path: Path, prefer: str | None) -> Reader:
    kind = identify(path)
    if kind is Format.SAFETENSORS:
        if prefer is not None:
            raise CheckpointFormatError(
                f"{path}: expected a PyTorch file in which {prefer!r} can be chosen, found a safetensors file, which "
                "holds one state dict; leave prefer out"
            )
        return SafetensorsReader(path)
    return PickleReader(path, kind, prefer)
