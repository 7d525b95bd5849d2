"""Running a network in float64 throughout, though its code asks for less on the way."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from typing_extensions import override

aten = torch.ops.aten
_LOWER = (torch.float32, torch.bfloat16, torch.float16)


class InDouble(TorchDispatchMode):
    """Gives float64 wherever the code of a network asks for a lower precision.

    Many networks take norms, rotary angles or softmax in float32 whatever the type of their weights is. That leaves
    errors of 1e-7, in which small mistakes disappear. Here such casts keep float64, and tensors that the code makes are
    float64 too. An operator without a kernel for float64 is composed of others.
    """

    @override
    def __enter__(self) -> Self:
        self._default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        super().__enter__()
        return self

    @override
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        super().__exit__(exc_type, exc_value, traceback)
        torch.set_default_dtype(self._default)

    @override
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in _LOWER and not func.is_view:
            kwargs["dtype"] = torch.float64
        if func is aten._grouped_mm.default and args[0].dtype == torch.float64:
            return _grouped_mm(*args, **kwargs)
        return func(*args, **kwargs)


def _grouped_mm(x: Tensor, weight: Tensor, offs: Tensor | None = None, bias: Tensor | None = None, **_: Any) -> Tensor:
    """Rows (n, k) in consecutive groups that end at `offs`, each times its own matrix of `weight` (groups, k, m).

    Rows after the last group are zero, where the kernel leaves them undefined.
    """
    if x.dim() != 2 or weight.dim() != 3 or offs is None:
        raise NotImplementedError(f"grouped products of shapes {tuple(x.shape)} and {tuple(weight.shape)} in float64")
    result = x.new_zeros(len(x), weight.shape[2])
    start = 0
    for group, end in enumerate(offs.tolist()):
        product = x[start:end] @ weight[group]
        result[start:end] = product if bias is None else product + bias[group]
        start = end
    return result
