"""Recording the ATen operators that a network runs, on tensors of the meta device.

Parameters live on the meta device, so a 7B network costs nothing. Example inputs are real: mask code that looks at
values sees them, and whatever touches a parameter becomes meta.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from weightspace.errors import TraceError

LARGEST_CONSTANT = 1 << 24  # entries of a constant that we look at to see along which dimensions it varies


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor as it was when an operator saw it (metadata may change in place later).

    Attributes:
        key: Identifies the tensor object within one trace.
        shape: Its sizes.
        dtype: Its element type.
        stride: Its strides, None for layouts without.
        storage: Identifies its storage, so that writes through views are seen.
    """

    key: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    stride: tuple[int, ...] | None
    storage: int


@dataclass(frozen=True, slots=True)
class Call:
    """One operator call: the overload, its arguments by schema name (defaults filled in), and its outputs."""

    op: torch._ops.OpOverload
    arguments: Mapping[str, Any]
    outputs: tuple[TensorRef, ...]

    def __getitem__(self, name: str) -> Any:
        """An argument by the name it has in the operator's schema."""
        return self.arguments[name]

    @property
    def output(self) -> TensorRef:
        """The first output."""
        return self.outputs[0]

    @property
    def inputs(self) -> list[TensorRef]:
        """All tensor arguments, in order."""
        return refs_in(self.arguments)

    @property
    def name(self) -> str:
        """Name of the operator without namespace and overload."""
        return self.op._schema.name.split("::")[1]

    @property
    def written(self) -> list[TensorRef]:
        """Tensor arguments that the operator writes in place."""
        return [
            ref
            for argument in self.op._schema.arguments
            if argument.alias_info is not None and argument.alias_info.is_write
            for ref in refs_in(self.arguments.get(argument.name))
        ]


@dataclass(frozen=True)
class Trace:
    """The operators of one forward pass.

    Attributes:
        calls: In the order in which they ran.
        tensors: Parameters and persistent buffers by name, each tied tensor once.
        parameters: Names in ``tensors`` that are parameters.
        aliases: Other names of tied tensors: alias -> name in ``tensors``.
        inputs: The example inputs.
        outputs: The outputs of the network.
        constants: For tensors that no operator made (constants of the code, buffers outside the state dict): along
            which dimensions their values vary.
    """

    calls: tuple[Call, ...]
    tensors: Mapping[str, TensorRef]
    parameters: frozenset[str]
    aliases: Mapping[str, str]
    inputs: tuple[TensorRef, ...]
    outputs: tuple[TensorRef, ...]
    constants: Mapping[int, tuple[bool, ...]]


def refs_in(value: Any) -> list[TensorRef]:
    """All tensor references within nested lists, tuples and dictionaries."""
    return [leaf for leaf in _leaves(value) if isinstance(leaf, TensorRef)]


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


class _Recorder(TorchDispatchMode):
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
        self.inputs: set[int] = set()  # storages of the example inputs
        self.given: set[int] = set()  # storages of constants
        self.stale: set[int] = set()  # storages of real tensors that were written with values that are not known

    def ref(self, tensor: Tensor) -> TensorRef:
        self.kept.append(tensor)
        return TensorRef(
            id(tensor),
            tuple(tensor.shape),
            tensor.dtype,
            tuple(tensor.stride()) if tensor.layout == torch.strided else None,
            _storage(tensor),
        )

    def refs(self, value: Any) -> Any:
        return tree_map(lambda leaf: self.ref(leaf) if isinstance(leaf, Tensor) else leaf, value)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        for tensor in tensors:
            if id(tensor) not in self.made and id(tensor) not in self.constants:
                self.constants[id(tensor)] = _varies(tensor)
                if func is not torch.ops.aten.lift_fresh.default:  # torch.tensor(...): the network makes it here
                    self.given.add(_storage(tensor))
        call = Call(func, _bind(func, self.refs(args), self.refs(kwargs)), ())
        if any(ref.storage in self.inputs for ref in call.written):
            raise TraceError(f"{func}: the network overwrites its input in place; let it work on a copy")
        shadow = self._shadow(call, tensors, args, kwargs)
        if call.name == "_local_scalar_dense" and shadow is not None:
            return shadow
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
        self.calls.append(Call(func, call.arguments, tuple(self.ref(output) for output in outputs)))
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

    def _is_stale(self, tensor: Tensor) -> bool:
        return not tensor.is_meta and _storage(tensor) in self.stale

    def _on_meta(self, call: Call, tensors: list[Tensor], args: Any, kwargs: Any) -> Any:
        """Runs an operator with all its tensors taken to meta; what it writes in place stays the same object."""
        args, kwargs = tree_map(lambda leaf: leaf.to("meta") if isinstance(leaf, Tensor) else leaf, (args, kwargs))
        if call.name == "_to_copy":  # to another device: there is nothing to take there
            kwargs["device"] = "meta"
        result = call.op(*args, **kwargs)
        written = {ref.key for ref in call.written}
        real = [tensor for tensor in tensors if id(tensor) in written and not tensor.is_meta]
        return real[0] if real and isinstance(result, Tensor) else result

    def _forget(self, key: int) -> None:
        """Drops the shadows that share storage with one that was written with unknown values."""
        if key in self.shadows:
            storage = self.shadows[key].untyped_storage()._cdata
            self.shadows = {k: v for k, v in self.shadows.items() if v.untyped_storage()._cdata != storage}


def _bind(func: torch._ops.OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by schema name, with defaults."""
    bound = {
        argument.name: argument.default_value for argument in func._schema.arguments if argument.has_default_value()
    }
    bound.update({argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)})
    bound.update(kwargs)
    return bound


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


def trace(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> Trace:
    """Records one forward pass of a network.

    Args:
        module: In eval mode, on any device; it is not changed.
        args: Example inputs; real tensors on the CPU, or meta.
        kwargs: Further example inputs.

    Raises:
        TraceError: If the network is in training mode, its control flow depends on its weights, it writes an input in
            place, or an output is not the result of a recorded operator.
    """
    if module.training:
        raise TraceError("the network is in training mode, where its function is random; call eval() first")
    kwargs = dict(kwargs or {})
    names = _names(module)
    canonical = {id(tensor): name for name, tensor in reversed(names)}
    meta = {name: tensor.detach().to("meta") for name, tensor in names if canonical[id(tensor)] == name}
    recorder = _Recorder()
    tensors = {name: recorder.ref(tensor) for name, tensor in meta.items()}
    inputs = tuple(recorder.ref(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
    recorder.made.update(ref.key for ref in (*tensors.values(), *inputs))
    recorder.inputs.update(ref.storage for ref in inputs)
    try:
        with torch.no_grad(), _without_fast_path(), recorder:
            result = torch.func.functional_call(module, meta, args, kwargs)
    except TraceError:
        raise
    except Exception as error:
        raise TraceError(_explain(error)) from error
    outputs = tuple(recorder.ref(leaf) for leaf in _output_tensors(result))
    known = recorder.made
    if not outputs or any(ref.key not in known for ref in outputs):
        raise TraceError("an output of the network is not the result of an operator of its forward pass")
    parameters = {id(parameter) for parameter in module.parameters()}
    return Trace(
        tuple(recorder.calls),
        tensors,
        frozenset(name for name, tensor in names if name in meta and id(tensor) in parameters),
        {name: canonical[id(tensor)] for name, tensor in names if canonical[id(tensor)] != name},
        inputs,
        outputs,
        recorder.constants,
    )


def _names(module: nn.Module) -> list[tuple[str, Tensor]]:
    """(name, tensor) pairs of the state dict in its order, tied tensors under each of their names."""
    known: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
    known.update(module.named_buffers(remove_duplicate=False))
    return [(name, known[name]) for name in module.state_dict() if name in known]


def _output_tensors(result: Any) -> list[Tensor]:
    if hasattr(result, "to_tuple"):
        result = result.to_tuple()
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]


class _without_fast_path:  # noqa: N801 - a context manager
    """The fused transformer kernel is one opaque operator: run its parts instead."""

    def __enter__(self) -> None:
        self.enabled = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)

    def __exit__(self, *exception: object) -> None:
        torch.backends.mha.set_fastpath_enabled(self.enabled)


def _explain(error: Exception) -> str:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    where = ""
    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if "/torch/" not in file and not file.startswith("<") and not file.endswith("symmetry/trace.py"):
            where = f" at {file}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    if any(word in text.lower() for word in ("item", "meta", "data-dependent", "unallocated storage")):
        return f"the control flow of the network depends on the values of its weights{where} ({text})"
    return f"the forward pass of the network fails{where}: {text}"
