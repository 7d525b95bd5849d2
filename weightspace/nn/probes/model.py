"""Predictions from what networks answer to learned inputs (ProbeGen, Kahana et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from typing_extensions import override

from weightspace.errors import SpecError
from weightspace.nn.batch import networks_in
from weightspace.nn.heads import InvariantHead
from weightspace.nn.probes.graph import Graph, record, run_batch
from weightspace.nn.probes.inputs import FreeProbes, ProbeGenerator
from weightspace.nn.probes.pooling import pooled
from weightspace.source import Program
from weightspace.symmetry import Spec
from weightspace.symmetry.taps import Taps


class ProbeModel(nn.Module):
    """Runs learned inputs through every network of a batch, and predicts from what comes out.

    Invariant to all that leaves the function of a network alone: permutations, scales, signs and whatever else. With
    activations only to permutations, since scales and signs of units show in them. Networks that learned the same from
    independent initialisations look alike too, which no symmetry of weights brings about.

    It reads networks of one architecture that take one floating tensor, examples first: images, features, coordinates.
    Networks on tokens, or with several inputs, are refused; so are those that branch on what they compute.

    Args:
        program: The network.
        spec: Its symmetry; says which tensors a network consists of.
        probes: The learned inputs.
        outputs: Number of values predicted.
        activations: Also read the activations of every movable group where it is read, pooled over its units.
        hidden: Width of the head.
        depth: Number of hidden layers of the head.

    Raises:
        SpecError: The network takes other inputs than the probes.
        SourceError: The network fails on them, or cannot be recorded.
        TraceError: Activations are asked for, and its forward pass cannot be traced.
    """

    def __init__(
        self,
        program: Program,
        spec: Spec,
        probes: FreeProbes | ProbeGenerator,
        outputs: int,
        *,
        activations: bool = False,
        hidden: int = 128,
        depth: int = 2,
    ) -> None:
        super().__init__()
        _check_inputs(program, probes)
        self.program, self.probes = program, probes
        self._shapes = {name: each.shape for name, each in spec.tensors.items() if each.kind != "buffer"}
        self._known = spec.tensors.keys() | spec.aliases.keys()
        self._graphs: dict[tuple[torch.dtype, torch.device], Graph] = {}
        self._taps: Taps | None = None
        if activations:
            self._taps = program.taps(program.inputs_for(torch.zeros(probes.shape))).chosen("read")
        own = {name: tensor[None] for name, tensor in program.state().items() if name in self._shapes}
        with torch.no_grad():
            features = self.features(own).shape[1]
        self.head = InvariantHead(features, outputs, hidden=hidden, depth=depth)

    @override
    def forward(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Predictions (networks, outputs); as for `features`."""
        return self.head(self.features(tensors))

    def features(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """What the networks answer.

        Args:
            tensors: By name (networks, *shape), parameters and running statistics. Other buffers may be missing: they
                are the program's own. Networks run in the type of the weights, at least in float32.

        Returns:
            (networks, features) in the type of the probes: outputs, then mean and root mean square of activations.

        Raises:
            SpecError: A tensor is missing or has another shape.
            SourceError: An operator of the network cannot run for several networks at once.
        """
        networks = networks_in(tensors, self._shapes)
        probes = self.probes()
        tensors = {name: tensor for name, tensor in tensors.items() if name in self._known}
        dtype = torch.promote_types(next(tensors[name].dtype for name in self._shapes), torch.float32)
        device = probes.device
        tensors = {name: _cast(tensor, dtype, device) for name, tensor in tensors.items()}
        shared = {
            name: _cast(tensor, dtype, device)
            for name, tensor in self.program.state().items()
            if name not in tensors and name not in self._shapes and name not in self.program.aliases
        }
        x = probes.to(dtype)
        if (dtype, device) not in self._graphs:
            first = {name: tensor[0] for name, tensor in tensors.items()}
            self._graphs[dtype, device] = record(self.program, {**shared, **first}, x, self._taps)
        outputs, seen = run_batch(self._graphs[dtype, device], tensors, shared, x)
        outputs = [torch.view_as_real(output) if output.is_complex() else output for output in outputs]
        found = [output.reshape(networks, -1) for output in outputs] + [pooled(each, len(x)) for each in seen]
        return torch.cat(found, 1).to(probes.dtype)


def _check_inputs(program: Program, probes: FreeProbes | ProbeGenerator) -> None:
    tensors = program.inputs.tensors()
    if len(tensors) != 1 or not tensors[0].is_floating_point():
        kinds = ", ".join(str(tensor.dtype) for tensor in tensors) or "none"
        raise SpecError(
            f"probes: expected a network of one floating input, found inputs {kinds}; probe networks that take images, "
            "features or coordinates"
        )
    if tuple(tensors[0].shape[1:]) != probes.shape[1:]:
        raise SpecError(
            f"probes: expected inputs of shape {tuple(tensors[0].shape[1:])} as the network takes them, found "
            f"{probes.shape[1:]}; make probes of that shape"
        )


def _cast(tensor: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)
