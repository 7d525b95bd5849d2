"""A network on inputs of one shape as a graph of operators, with what it computes on the way.

To see its units, a network runs under a mode that watches every operator. Under such a mode there are no gradients, and
not several networks at once; a graph that is recorded under it is a plain function, which has both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import functionalize
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from weightspace.errors import SourceError
from weightspace.source import Program
from weightspace.source.user_error import describe
from weightspace.symmetry.taps import Taps
from weightspace.symmetry.trace import without_fast_path

LABEL = "the probed network"

Seen = tuple[list[Tensor], list[Tensor]]
"""Outputs of a network, and its values at taps, (samples, sizes of the outer groups..., n) each."""

Graph = Callable[[Mapping[str, Tensor], Tensor], Seen]
"""What a network gives for weights by name and inputs (probes, *shape)."""


def run(program: Program, state: Mapping[str, Tensor], x: Tensor, taps: Taps | None) -> Seen:
    """Runs a network without gradients.

    Args:
        program: The network.
        state: Its weights.
        x: Inputs (probes, *shape).
        taps: Places whose values to return beside the outputs, of a call on inputs of this shape; None for none.

    Raises:
        SourceError: The network's own code fails, or it runs other operators than its trace.
    """
    inputs = program.inputs_for(x.clone())  # a network may write into its input, which others get too
    seen: list[Tensor] = []
    if taps is None:
        with sdpa_kernel(SDPBackend.MATH), without_fast_path():
            return program.outputs(state, inputs), seen
    return program.visit(state, inputs, taps, lambda _, values: seen.append(values)), seen


def record(program: Program, state: Mapping[str, Tensor], x: Tensor, taps: Taps | None) -> Graph:
    """Records what `run` does, once and for all weights and inputs of these shapes and this type.

    Returns:
        A function that is differentiable in weights and inputs, and that `torch.func.vmap` runs for several networks.

    Raises:
        SourceError: The network branches on what it computes, or `run` fails.
    """
    state = {name: tensor.detach() for name, tensor in state.items()}
    x = x.detach()
    run(program, state, x, taps)  # what is wrong with the network itself shows here; and the taps know their places
    try:
        graph = make_fx(lambda state, x: run(program, state, x, taps))(state, x)
        # What is common to all networks cannot be written to once for each.
        return make_fx(functionalize(graph, remove="mutations"))(state, x)
    except Exception as error:
        raise SourceError(
            f"{LABEL}: expected operators that do not depend on what it computes: "
            f"{describe(error.__cause__ or error)}; predict from its weights instead"
        ) from error


def run_batch(graph: Graph, tensors: Mapping[str, Tensor], shared: Mapping[str, Tensor], x: Tensor) -> Seen:
    """Runs a recorded network with several weights at once, on the same inputs.

    Args:
        graph: From `record`.
        tensors: What differs between the networks, by name (networks, *shape).
        shared: What they have in common, by name.
        x: Inputs (probes, *shape).

    Returns:
        As `run`, with the networks as first dimension.

    Raises:
        SourceError: One of its operators cannot run for several networks at once.
    """
    try:
        return torch.vmap(lambda own: graph({**shared, **own}, x))(dict(tensors))
    except RuntimeError as error:
        raise SourceError(
            f"{LABEL}: expected operators that run for several networks at once: {describe(error)}; predict from its "
            "weights instead"
        ) from error
