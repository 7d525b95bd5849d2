"""Why a network cannot be traced, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from weightspace.errors import TraceError
from weightspace.structure import disposable
from weightspace.symmetry.call import Call
from weightspace.symmetry.place import place_of_call, place_of_failure

_BY_VALUE = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
_VALUES = "the control flow of the network depends on the values of its weights"


def refused_operator(call: Call, error: Exception) -> TraceError | None:
    """Why an operator does not run on tensors without values; None where that is not the reason for its error."""
    where = call.where
    if any(tag in call.op.tags for tag in _BY_VALUE):
        return TraceError(f"{_VALUES}{where} (what {call.op} returns has as many entries as they decide)")
    if call.op.namespace != "aten" and any(word in str(error).lower() for word in ("fake", "meta")):
        return TraceError(
            f"{call.op}{where} is a custom kernel that does not run without values; "
            "tell PyTorch the shape of what it returns with torch.library.register_fake"
        )
    return None


def pointer_refusal() -> TraceError:
    """Why code may not ask for the address of a tensor."""
    place = place_of_call()
    where = f" at {place}" if place else ""
    return TraceError(
        f"the network asks for the address of a tensor{where}, to hand it to a custom kernel that no trace sees; make "
        "the kernel an operator with torch.library.custom_op"
    )


def refusal(error: BaseException, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Why a forward pass failed: for want of values, or because the network's own code is at fault."""
    text = f"{type(error).__name__}: {' '.join(str(error).strip().partition(chr(10))[0].split())}".rstrip(": ")
    place = place_of_failure(error)
    where = f" at {place}" if place else ""
    fails_itself = _fails_with_values(module, args, kwargs)
    if fails_itself:
        return f"the network's own code fails{where}: {text}"
    if "to numpy" in text:
        return (
            f"the network takes values that depend on its weights out of PyTorch{where}, where they are lost sight of"
        )
    if any(word in text.lower() for word in ("item", "meta", "data-dependent", "unallocated storage")):
        return f"{_VALUES}{where} ({text})"
    if fails_itself is None:
        return f"the forward pass of the network fails{where}: {text}"
    return f"the network runs, but not on the tensors without values of a trace: it fails{where}: {text}"


def _fails_with_values(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool | None:
    """Whether the network fails by itself; None where there are no values to try."""
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    call = (state, args, dict(kwargs))
    if any(leaf.is_meta for leaf in tree_leaves(call) if isinstance(leaf, Tensor)):
        return None
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=()):
            # On copies: what the network writes in place is not its own.
            torch.func.functional_call(disposable(module), *tree_map(_copy, call))
    except (Exception, SystemExit):
        return True
    return False


def _copy(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf
