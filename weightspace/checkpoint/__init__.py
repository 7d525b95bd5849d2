"""Open any checkpoint lazily, check it, and write weights atomically with their provenance."""

from weightspace.checkpoint.adapter import Adapter, check_adapter_output, is_adapter, open_adapter, write_adapter
from weightspace.checkpoint.checkpoint import Checkpoint
from weightspace.checkpoint.companions import companions_of
from weightspace.checkpoint.compare import check_compatible, check_finite
from weightspace.checkpoint.guard import check_output
from weightspace.checkpoint.open import open_checkpoint
from weightspace.checkpoint.provenance import Provenance
from weightspace.checkpoint.reader import TensorInfo
from weightspace.checkpoint.write import write_checkpoint

__all__ = [
    "Adapter",
    "Checkpoint",
    "Provenance",
    "TensorInfo",
    "check_adapter_output",
    "check_compatible",
    "check_finite",
    "check_output",
    "companions_of",
    "is_adapter",
    "open_adapter",
    "open_checkpoint",
    "write_adapter",
    "write_checkpoint",
]
