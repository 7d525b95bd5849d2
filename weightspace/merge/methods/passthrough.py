"""One model as it is, or scaled."""

from __future__ import annotations

from torch import Tensor

from weightspace.merge.methods.chunk import Chunk
from weightspace.merge.methods.method import Measured, MergeMethod
from weightspace.merge.methods.option import Option, Settings


def _passthrough(chunk: Chunk, settings: Settings, _: Measured) -> Tensor:
    return chunk.tensors[0] * settings.of_models("scale")[0]


PASSTHROUGH = MergeMethod(
    "passthrough", "Passthrough", "the one model itself, for merges that stack layers", "none: there is no merging",
    _passthrough, options=(Option("scale", "what tensors are multiplied by", 1.0, per_model=True),), models=(1, 1),
)  # fmt: skip
