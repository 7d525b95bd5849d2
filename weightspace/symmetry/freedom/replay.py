"""Running a part of a trace again, on real numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from weightspace.symmetry.call import Call, TensorRef

# Linear in one operand when the others are constants.
LINEAR = frozenset(
    (
        "_reshape_alias", "_to_copy", "_unsafe_view", "add", "alias", "cat", "clone", "contiguous", "detach", "div",
        "expand", "flip", "index_select", "mul", "neg", "permute", "repeat", "reshape", "roll", "select", "slice",
        "split", "split_with_sizes", "squeeze", "stack", "sub", "t", "transpose", "unbind", "unsqueeze", "view",
    )
)  # fmt: skip


def replay(calls: Sequence[Call], known: Mapping[int, Tensor], constants: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Runs calls in float64.

    Args:
        calls: In order; each reads known tensors, constants and results of the calls before it.
        known: Values by tensor key, float64.
        constants: Values of constants by tensor key, of any type.

    Returns:
        Values of everything that is known afterwards, by tensor key.
    """
    values = dict(known)

    def value(argument: Any) -> Any:
        if isinstance(argument, TensorRef):
            if argument.key in values:
                return values[argument.key]
            constant = constants[argument.key]
            return constant.double() if constant.is_floating_point() else constant
        if isinstance(argument, (list, tuple)):
            return [value(item) for item in argument]
        if isinstance(argument, torch.device):
            return torch.device("cpu")
        return torch.float64 if argument in (torch.float16, torch.bfloat16, torch.float32) else argument

    for call in calls:
        result = call.op(**{name: value(argument) for name, argument in call.arguments.items()})
        results = result if isinstance(result, (list, tuple)) else [result]
        values.update({ref.key: tensor for ref, tensor in zip(call.outputs, results, strict=True)})
    return values
