"""Recognise quantised checkpoints, whose stored numbers are codes and cannot be aligned or merged."""

from collections.abc import Iterable
from pathlib import Path

from weightspace.errors import CheckpointFormatError

# The end of a name -> the scheme that writes it.
_ENDINGS = {
    ".qweight": "GPTQ or AWQ",
    ".qzeros": "GPTQ or AWQ",
    ".absmax": "bitsandbytes 4-bit",
    ".quant_map": "bitsandbytes 4-bit",
    ".quant_state.bitsandbytes__nf4": "bitsandbytes 4-bit",
    ".quant_state.bitsandbytes__fp4": "bitsandbytes 4-bit",
    ".SCB": "bitsandbytes 8-bit",
    ".weight_packed": "compressed-tensors",
    ".weight_scale_inv": "block-wise FP8",
}


def check_not_quantised(names: Iterable[str], path: Path) -> None:
    """Refuse a checkpoint whose names show a quantisation scheme.

    Raises:
        CheckpointFormatError: Naming the tensor, the scheme and the way out.
    """
    for name in names:
        for ending, scheme in _ENDINGS.items():
            if name.endswith(ending):
                raise quantised(path, name, f"{scheme} codes")


def quantised(path: Path, name: str, what: str) -> CheckpointFormatError:
    """The refusal for one quantised tensor."""
    return CheckpointFormatError(
        f"{path}: tensor {name!r}: expected plain weights, found {what}; open the model from which it was quantised, "
        "or dequantise it first (in transformers: model.dequantize())"
    )
