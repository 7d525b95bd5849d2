"""Everything that a command about two checkpoints checks and opens before its work starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightspace.errors import SourceError
from wsp import heads
from wsp.console import Console
from wsp.data import CommandData, command_data
from wsp.device import checked_device
from wsp.network import Network, network_of, open_pair, require_activation, require_verified

if TYPE_CHECKING:
    import torch

    from weightspace.checkpoint import Checkpoint, Provenance
    from weightspace.merge import JointHeads
    from weightspace.source import Source


@dataclass(frozen=True)
class PairRequest:
    """What the user asked for, as every command about two checkpoints takes it; see `wsp.options`."""

    a: Path
    b: Path
    arch: str | None
    activation: str | None
    input_shape: tuple[int, ...] | None
    data: Path | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    method: str
    restarts: int
    seed: int
    device: str
    match_samples: int
    kinds: tuple[str, ...] = ("permutation",)
    bound: bool = False
    memory: float | None = None
    journal: Path | None = None
    heads: tuple[float, float] | None = None


@dataclass(frozen=True)
class Pair:
    """Two opened checkpoints of one network, with what else the command needs.

    Attributes:
        request: What was asked for.
        a: The reference.
        b: The other.
        network: Their network, whose derived symmetry has passed a check; None where the command can do without.
        data: The data, whose first examples the network has classified; None if none were given.
        device: Where to compute.
        heads: Where A and B were given the outputs of both: which are whose.
    """

    request: PairRequest
    a: Checkpoint
    b: Checkpoint
    network: Network | None
    data: CommandData | None
    device: torch.device
    heads: JointHeads | None = None

    @property
    def dtypes(self) -> dict[str, torch.dtype]:
        """Type of every tensor of A."""
        return {name: self.a.info(name).dtype for name in self.a}

    def provenance(self, command: str, recipe: dict[str, Any]) -> Provenance:
        """Where a file that is made of the two comes from."""
        from weightspace.checkpoint import Provenance

        common: dict[str, Any] = {
            "arch": None if self.network is None else self.network.label,
            "activation": self.request.activation,
            "spec": None if self.network is None else self.network.spec.hash,
            "data": None if self.data is None else self.data.recipe(),
            "kinds": list(self.request.kinds),
            "match_samples": None if self.data is None else self.request.match_samples,
            "device": self.device.type,
        }
        inputs = {str(checkpoint.path): checkpoint.sha256() for checkpoint in (self.a, self.b)}
        return Provenance(command, common | heads.recipe(self) | recipe, inputs, seed=self.request.seed)


def opened(request: PairRequest, console: Console, *, evaluates: bool, network: bool = True) -> Pair:
    """Open and check everything: device, weights, network, symmetry, data.

    Args:
        request: What the user asked for.
        console: For notes.
        evaluates: Whether losses will be measured, for which labels and the true function of the network are needed.
        network: Whether the network is needed at all.

    Raises:
        WeightspaceError: Something is missing or does not fit.
    """
    from weightspace.align import check_kinds, check_method

    by_data = bool(check_method(request.method).needs)
    more = check_kinds(request.kinds)
    device = checked_device(request.device)
    a, b = open_pair(request.a, request.b, console, same=request.heads is None)
    both = None
    if request.heads is not None:
        a, b, both = heads.joined(a, b, request, console)
    elif not network:
        return Pair(request, a, b, None, None, device)
    found = network_of(
        (a, b), arch=request.arch, activation=request.activation, input_shape=request.input_shape,
        source=None if both is None else both.source,
    )  # fmt: skip
    tell_inferred(found.source, console)
    if more:
        _check_freedoms(request, found)
    refusal = found.source.evaluation_refusal() if found.source is not None else no_network(found)
    if refusal is not None and (evaluates or by_data):
        raise SourceError(refusal)
    data = command_data(request.data, request.mean, request.std, found.source, console, seed=request.seed)
    if data is not None:
        _try_data(data, a, found, evaluates=evaluates)
    if found.program is not None:
        require_verified(found, console, seed=request.seed)
    return Pair(request, a, b, found, data, device, both)


def _try_data(data: CommandData, checkpoint: Checkpoint, network: Network, *, evaluates: bool) -> None:
    """Run a few examples, so that data that do not fit are told before the long work."""
    from weightspace.evaluate import evaluate

    if network.program is None:
        raise SourceError(no_network(network))
    batches = data.evaluation(samples=2)
    if evaluates:
        evaluate(network.program, checkpoint.tensors(), batches)
    else:
        network.program.prediction(checkpoint.tensors(), next(iter(batches)).x)


def _check_freedoms(request: PairRequest, network: Network) -> None:
    """Whether more than permutations can be used here."""
    require_activation(request.a, network.source)
    if network.streams:
        raise SourceError(
            f"{request.a}: expected weights that fit into memory twice for --kinds {','.join(request.kinds)}, found "
            "a network that is read block by block; pass --kinds permutation"
        )


def no_network(network: Network) -> str:
    """Why a saved spec is not enough here."""
    return f"{network.label}: a saved spec has no network to run; pass --arch with the network itself"


def tell_inferred(source: Source | None, console: Console) -> None:
    """Note what an architecture that nobody named was taken for."""
    from weightspace.source import StackSource

    if isinstance(source, StackSource):
        layers = " > ".join(layer.name for layer in source.layers)
        between = source.activation or "relu (assumed, for checks only)"
        console.note(f"architecture read off the tensors of A: {layers}, {between} between them")
