"""The dispatch mode that records every operator of a forward pass, on tensors of the meta device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from weightspace.errors import TraceError
from weightspace.symmetry.call import Call, TensorRef, bind
from weightspace.symmetry.place import called_by_network, place_of_call
from weightspace.symmetry.refusal import pointer_refusal, refused_operator

LARGEST_CONSTANT = 1 << 24  # entries of a constant that we look at to see along which dimensions it varies
LARGEST_VALUE = 1 << 20  # entries of a constant whose values are kept
RECURRENT = (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)


class Recorder(TorchDispatchMode):
    """Records every operator; where meta and real tensors meet, the real ones are taken to meta.

    Tensors on meta that do not depend on parameters (positions, masks: models make them on the device of their weights)
    keep a real shadow, so that code which looks at their values can run. Real tensors that the network makes itself may
    receive values that depend on parameters: their own values are stale from then on, and never read again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.kept: list[Any] = []  # every tensor stays alive, so that identities are never reused
        self.made: set[int] = set()
        self.constants: dict[int, tuple[bool, ...]] = {}
        self.shadows: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}  # of constants that meet values which depend on the weights
        self.inputs: set[int] = set()  # storages of the example inputs
        self.measured: set[int] = set()  # storages whose values depend on a floating input
        self.looks: dict[str, None] = {}  # where the code of the network asks for such values
        self.given: set[int] = set()  # storages of constants
        self.stale: set[int] = set()  # storages of real tensors that were written with values that are not known

    def ref(self, tensor: Tensor) -> TensorRef:
        """Describes a tensor as it is now."""
        self.kept.append(tensor)
        return TensorRef(
            id(tensor),
            tuple(tensor.shape),
            tensor.dtype,
            tuple(tensor.stride()) if tensor.layout == torch.strided else None,
            _storage(tensor),
        )

    def refs(self, value: Any) -> Any:
        """Nested values with every tensor described."""
        return tree_map(lambda leaf: self.ref(leaf) if isinstance(leaf, Tensor) else leaf, value)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten.index.Tensor:
            args = (args[0], self._numbers(args[1]))
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        for tensor in tensors:
            if id(tensor) not in self.made and id(tensor) not in self.constants:
                self.constants[id(tensor)] = _varies(tensor)
                if func is not torch.ops.aten.lift_fresh.default:  # torch.tensor(...): the network makes it here
                    self.given.add(_storage(tensor))
        call = Call(func, bind(func, self.refs(args), self.refs(kwargs)), (), place_of_call())
        if any(ref.storage in self.inputs for ref in call.written):
            raise TraceError(f"{func}{call.where}: the network overwrites its input in place; let it work on a copy")
        shadow = self._shadow(call, tensors, args, kwargs)
        from_input = any(_storage(tensor) in self.measured for tensor in tensors)
        if shadow is None:
            self._remember(tensors)
        if call.name == "_local_scalar_dense":  # a number that code asks for: nothing to label
            number = func(*args, **kwargs) if shadow is None else shadow
            if from_input:
                self.looks[call.place or "a layer of PyTorch"] = None
            return number
        if any(tensor.is_meta or self._is_stale(tensor) for tensor in tensors) and not func.is_view:
            result = self._on_meta(call, tensors, args, kwargs)
        else:
            result = func(*args, **kwargs)
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if any(self._is_stale(tensor) for tensor in tensors):
            self.stale.update(_storage(output) for output in outputs if not output.is_meta)
        if shadow is not None:
            values = [leaf for leaf in tree_leaves(shadow) if isinstance(leaf, Tensor)]
            self.shadows.update({id(output): value for output, value in zip(outputs, values, strict=True)})
        self.made.update(id(output) for output in outputs)
        if from_input:
            self.measured.update(map(_storage, outputs))
            self.measured.update(ref.storage for ref in call.written)
        self.calls.append(Call(func, call.arguments, tuple(self.ref(output) for output in outputs), call.place))
        return result

    def _shadow(self, call: Call, tensors: list[Tensor], args: Any, kwargs: Any) -> Any:
        """What the operator gives on real values, where all are known and its result will be on meta; else None."""
        to_meta = torch.device(kwargs.get("device") or "cpu").type == "meta"
        if not to_meta and not any(tensor.is_meta or self._is_stale(tensor) for tensor in tensors):
            return None
        if all(id(tensor) in self.shadows if tensor.is_meta else not self._is_stale(tensor) for tensor in tensors):

            def value(leaf: Any) -> Any:
                if isinstance(leaf, torch.device):
                    return torch.device("cpu")
                return self.shadows.get(id(leaf), leaf) if isinstance(leaf, Tensor) else leaf

            args, kwargs = tree_map(value, (args, kwargs))
            return call.op(*args, **kwargs)
        for ref in call.written:
            if ref.storage in self.given:
                raise TraceError(
                    f"{call.op}: a constant is overwritten in place with values that depend on the weights"
                )
            self._forget(ref.key)
            self.stale.update(_storage(tensor) for tensor in tensors if id(tensor) == ref.key and not tensor.is_meta)
        return None

    def _remember(self, tensors: list[Tensor]) -> None:
        """Keeps the values of what meets tensors that depend on the weights."""
        known = [self.shadows.get(id(tensor), tensor) for tensor in tensors]
        if any(value.is_meta for value in known):
            for tensor, value in zip(tensors, known, strict=True):
                if (
                    id(tensor) not in self.values
                    and not value.is_meta
                    and not self._is_stale(value)
                    and value.numel() <= LARGEST_VALUE
                    and value.layout == torch.strided
                ):
                    self.values[id(tensor)] = value.clone()

    def _is_stale(self, tensor: Tensor) -> bool:
        return not tensor.is_meta and _storage(tensor) in self.stale

    def _on_meta(self, call: Call, tensors: list[Tensor], args: Any, kwargs: Any) -> Any:
        """Runs an operator with all its tensors taken to meta; what it writes in place stays the same object."""
        args, kwargs = tree_map(lambda leaf: leaf.to("meta") if isinstance(leaf, Tensor) else leaf, (args, kwargs))
        if call.name == "_to_copy":  # to another device: there is nothing to take there
            kwargs["device"] = "meta"
        try:
            result = call.op(*args, **kwargs)
        except (RuntimeError, NotImplementedError) as error:
            refused = refused_operator(call, error)
            if refused is None:
                raise
            raise refused from error
        written = {ref.key for ref in call.written}
        real = [tensor for tensor in tensors if id(tensor) in written and not tensor.is_meta]
        return real[0] if real and isinstance(result, Tensor) else result

    def _numbers(self, indices: list[Tensor | None]) -> list[Tensor | None]:
        """The indices of a look-up, with masks whose values are known replaced by the numbers of what they choose."""
        numbers: list[Tensor | None] = []
        for index in indices:
            known = index if index is None or not index.is_meta else self.shadows.get(id(index))
            if known is None or known.dtype not in (torch.bool, torch.uint8) or self._is_stale(known):
                numbers.append(index)
            else:
                numbers.extend(known.nonzero(as_tuple=True))
        return numbers

    def _forget(self, key: int) -> None:
        """Drops the shadows that share storage with one that was written with unknown values."""
        if key in self.shadows:
            storage = self.shadows[key].untyped_storage()._cdata
            self.shadows = {k: v for k, v in self.shadows.items() if v.untyped_storage()._cdata != storage}


class BeforeDispatch(TorchFunctionMode):
    """Sees to what happens before there is an operator to record.

    Recurrent layers refuse to mix devices: their operands are taken to meta. A tensor on meta has no memory: code
    that asks where it lies would hand that address to a kernel of its own, and crash. Numbers that stand in the code
    as an index would be lost on meta: consecutive ones are a slice.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.data_ptr and args[0].is_meta and called_by_network():
            raise pointer_refusal()
        if func is Tensor.__getitem__ and (index := _with_slice(args[1])) is not None:
            return func(args[0], index).clone()
        if func in RECURRENT:
            args = tree_map(lambda leaf: leaf.to("meta") if isinstance(leaf, Tensor) else leaf, args)
        return func(*args, **(kwargs or {}))


def _storage(tensor: Tensor) -> int:
    """Identifies the storage of a tensor; the tensor itself for layouts without."""
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)


def _varies(tensor: Tensor) -> tuple[bool, ...]:
    """Along which dimensions a constant varies; all of them where its values cannot be seen."""
    if tensor.is_meta or tensor.layout != torch.strided or tensor.numel() > LARGEST_CONSTANT or tensor.numel() == 0:
        return tuple(size > 1 for size in tensor.shape)
    return tuple(
        size > 1 and not bool((tensor == tensor.narrow(dim, 0, 1)).all()) for dim, size in enumerate(tensor.shape)
    )


def _with_slice(index: Any) -> tuple[Any, ...] | None:
    """An index with a slice in place of its one list of consecutive numbers; None where it is of another kind."""
    parts = index if isinstance(index, tuple) else (index,)
    lists = [part for part in parts if isinstance(part, list)]
    if len(lists) != 1 or any(isinstance(part, Tensor) for part in parts) or not all(type(n) is int for n in lists[0]):
        return None
    (numbers,) = lists
    if not numbers or numbers != list(range(numbers[0], numbers[-1] + 1)) or numbers[0] < 0 <= numbers[-1]:
        return None
    end = numbers[-1] + 1
    return tuple(slice(numbers[0], end if end else None) if part is numbers else part for part in parts)
