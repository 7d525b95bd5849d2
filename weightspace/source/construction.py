"""Build modules reproducibly, and without memory for their parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.utils.weak import WeakIdKeyDictionary

from weightspace.structure import copy_structure, on_meta


def construct(factory: Callable[[], nn.Module], *, meta: bool, seed: int = 0) -> nn.Module:
    """Call `factory`, which builds a module, with a fixed random state.

    With `meta` every parameter of the module ends on the `meta` device and ties are kept. Where the constructor allows
    it no memory is ever filled for them, and buffers keep their real values: rotary tables, masks and position indices
    belong to the architecture. Constructors that compute with their parameters run under `torch.device("meta")`, which
    empties the buffers too; those that need real numbers even so are built for real and copied.

    Registration hooks of `nn.Module` are global: two threads must not build at once.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        if not meta:
            return factory()
        for on_meta in (_parameters_on_meta, lambda: torch.device("meta")):
            try:
                with on_meta():
                    return factory()
            except RuntimeError:
                continue
        return copy_structure(factory(), meta=True)


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Put every parameter on `meta` at the moment that a module registers it."""
    replaced = WeakIdKeyDictionary()

    def to_meta(_module: nn.Module, _name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or parameter.is_meta or isinstance(parameter, nn.UninitializedParameter):
            return parameter
        # A second registration of the same parameter is a tie: it must give the same object again.
        if parameter not in replaced:
            replaced[parameter] = on_meta(parameter)
        return replaced[parameter]

    # torch annotates the hook as returning nothing, and documents that it may return a replacement.
    hook = register_module_parameter_registration_hook(to_meta)  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        hook.remove()
