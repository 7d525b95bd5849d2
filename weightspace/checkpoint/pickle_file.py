"""Read what torch.save wrote, without running any code that the file may hold."""

import argparse
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from weightspace.checkpoint.identify import Format
from weightspace.checkpoint.nesting import find_state_dict
from weightspace.checkpoint.quantised import quantised
from weightspace.checkpoint.reader import Reader, TensorInfo
from weightspace.checkpoint.ties import find_ties
from weightspace.errors import CheckpointFormatError, UnsafeCheckpointError

# The functions that rebuild a pickled NumPy scalar and array.
_NUMPY_SCALAR = np.float64(0).__reduce__()[0]
_NUMPY_ARRAY = np.zeros(0).__reduce__()[0]

# Plain containers that training scripts save beside the weights (arguments, best accuracy). Rebuilding one stores
# values and calls nothing else, so they are safe to allow; everything else that torch blocks stays blocked.
_PLAIN_DATA = [
    argparse.Namespace,
    np.dtype,
    *(type(np.dtype(code)) for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")),
    *((_NUMPY_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),  # NumPy 1 and 2
    *((_NUMPY_ARRAY, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    np.ndarray,
]

_BLOCKED_GLOBAL = re.compile(r"unsupported (?:global: GLOBAL|GLOBAL|class) (\S+)", re.IGNORECASE)


class PickleReader(Reader):
    """A PyTorch file. Zip files are memory-mapped; the older format has to be read as a whole."""

    def __init__(self, path: Path, kind: Format, prefer: str | None = None) -> None:
        """Open `path`.

        Args:
            path: The file.
            kind: `Format.ZIP` or `Format.LEGACY`.
            prefer: See `weightspace.checkpoint.nesting.find_state_dict`.

        Raises:
            CheckpointFormatError: If the file is damaged or holds no state dict.
            UnsafeCheckpointError: If it needs code to be opened.
        """
        self.format = kind.value
        self.files = (path,)
        state_dict = find_state_dict(_load(path, kind), path, prefer)
        self._tensors = {
            name: _plain(value.detach(), name, path)
            for name, value in state_dict.entries.items()
            if isinstance(name, str) and isinstance(value, torch.Tensor)
        }
        self._aliases = find_ties(self._tensors)
        self.notes = (*state_dict.notes, *_note_ignored(state_dict.entries, self._tensors))

    def names(self) -> tuple[str, ...]:
        """Names in the order of the state dict."""
        return tuple(self._tensors)

    def info(self, name: str) -> TensorInfo:
        """Shape and type of the (mapped) tensor."""
        tensor = self._tensors[name]
        return TensorInfo(tuple(tensor.shape), tensor.dtype)

    def read(self, name: str) -> torch.Tensor:
        """The tensor; from a zip file, its data are read when they are used."""
        return self._tensors[name]

    def aliases(self) -> dict[str, str]:
        """Names that share one view of one storage."""
        return dict(self._aliases)


def _load(path: Path, kind: Format) -> object:
    try:
        # Newer versions of torch take the suffix for the content, so under this one they get the open file.
        mapped = kind is Format.ZIP and path.suffix != ".safetensors"
        with safe_globals(_PLAIN_DATA), path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch on its own deprecations, which are not the user's
            return torch.load(str(path) if mapped else file, map_location="cpu", weights_only=True, mmap=mapped)
    # A damaged pickle fails in as many ways as there are opcodes, so every other exception means: not readable.
    except Exception as error:
        blocked = _blocked_globals(path, kind, error)
        if blocked:
            shown = ", ".join(blocked[:3]) + (f" and {len(blocked) - 3} more" if len(blocked) > 3 else "")
            raise UnsafeCheckpointError(
                f"{path}: expected weights, found a pickle that needs code ({shown}), which weightspace never runs; "
                "load it in the project that wrote it and save model.state_dict()"
            ) from error
        if isinstance(error, MemoryError) or "Cannot allocate memory" in str(error):
            raise CheckpointFormatError(
                f"{path}: expected a checkpoint that fits in memory, found one that does not, or that is damaged; "
                "save it again as safetensors, whose tensors are read one by one"
            ) from error
        raise CheckpointFormatError(
            f"{path}: expected a complete PyTorch file, found one that torch cannot read ({_reason(error)}); "
            "it is truncated or damaged: download or save it again"
        ) from error


def _blocked_globals(path: Path, kind: Format, error: Exception) -> list[str]:
    """Code that the pickle asks for: the author's own classes first, torch's after them."""
    found = set(_BLOCKED_GLOBAL.findall(str(error)))
    if found and kind is Format.ZIP:
        with safe_globals(_PLAIN_DATA):
            found.update(get_unsafe_globals_in_checkpoint(str(path)))
    return sorted(found, key=lambda name: (name.startswith("torch."), name))


def _reason(error: Exception) -> str:
    """The part of torch's message that is about the file, on one line."""
    text = str(error).split("WeightsUnpickler error:")[-1].split("Check the documentation")[0]
    text = " ".join(text.split()).split(". ")[0]
    return text[:160] or type(error).__name__


def _plain(tensor: torch.Tensor, name: str, path: Path) -> torch.Tensor:
    if tensor.is_quantized:
        raise quantised(path, name, f"torch's {tensor.dtype}".replace("torch.", "", 1))
    if tensor.layout != torch.strided or tensor.is_nested:
        raise CheckpointFormatError(
            f"{path}: tensor {name!r}: expected a dense tensor, found layout {tensor.layout}; save tensor.to_dense()"
        )
    if tensor.is_meta:
        raise CheckpointFormatError(
            f"{path}: tensor {name!r}: expected data, found a meta tensor, which has none; save the initialised model"
        )
    return tensor


def _note_ignored(entries: Mapping[object, object], tensors: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    ignored = [str(name) for name in entries if name not in tensors]
    if not ignored:
        return ()
    shown = ", ".join(repr(name) for name in ignored[:3]) + (", ..." if len(ignored) > 3 else "")
    one = len(ignored) == 1
    return (
        f"ignored {len(ignored)} {'entry that is not a tensor' if one else 'entries that are not tensors'}: {shown}",
    )
