"""Align B to A: the work that `align`, `merge` and `barrier` share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weightspace.errors import VerificationError
from wsp.console import Console, counted
from wsp.network import Network
from wsp.pair import Pair

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from weightspace.align import Alignment
    from weightspace.source import Inputs

_LARGEST_PRESERVATION_ERROR = 1e-3
_COMPARED_EXAMPLES = 64


@dataclass(frozen=True)
class AlignedPair:
    """A, B and B in the coordinates of A.

    Attributes:
        a: Tensors of the reference, read when they are asked for, as are those of B.
        b: Tensors of the other network.
        aligned: Tensors of B after the alignment; the same function as `b`.
        alignment: What was found.
    """

    a: Mapping[str, Tensor]
    b: Mapping[str, Tensor]
    aligned: Mapping[str, Tensor]
    alignment: Alignment

    def recipe(self) -> dict[str, Any]:
        """What the alignment was and achieved, as JSON values, without what differs from run to run."""
        return {key: value for key, value in self.alignment.report().items() if key not in ("seconds", "groups")}


def align_pair(pair: Pair, console: Console) -> AlignedPair:
    """Align B to A, and check on outputs that B is still the same function.

    The outputs are compared on the first examples of the data, or on random inputs.

    Args:
        pair: With a network.
        console: Shows the progress.

    Raises:
        AlignmentError: No alignment can be computed.
        VerificationError: The aligned network is another function.
    """
    from weightspace.align import align

    network = pair.network
    assert network is not None
    with console.progress("aligning") as step:
        alignment = align(
            network.under_spec_names(pair.a),
            network.under_spec_names(pair.b),
            network.spec,
            method=pair.request.method,
            restarts=pair.request.restarts,
            seed=pair.request.seed,
            device=pair.device,
            forward=_forward(pair, network),
            program=network.program,
            batches=_batches(pair, network),
            memory=None if pair.request.memory is None else int(pair.request.memory * 2**30),
            journal=pair.request.journal,
            kinds=pair.request.kinds,
            bound=pair.request.bound,
            progress=step,
        )
    error = alignment.preservation_error
    if error is None:
        console.note("a saved spec has no network to run, so the outputs of B before and after were not compared")
    elif not error <= _LARGEST_PRESERVATION_ERROR:
        raise VerificationError(
            f"{pair.b.path}: expected the same outputs after aligning, found a relative difference of {error:.1e}; "
            "nothing was written: run wsp spec --verify on this network and report it"
        )
    return AlignedPair(pair.a, pair.b, alignment.lazily(pair.b), alignment)


def show_alignment(console: Console, result: AlignedPair, title: str) -> None:
    """The table of groups and a summary, for people."""
    alignment = result.alignment
    console.table(
        ("group", "#size", "#moved", "#gain"),
        [(g.name, _size(g.size, g.copies), f"{g.moved:,}", f"{g.gain:.4g}") for g in alignment.groups],
        title=title,
    )
    console.line(
        f"{alignment.method}: inner product of the weights {alignment.objective_before:.6g} before, "
        f"{alignment.objective_after:.6g} after, in {counted(alignment.sweeps, 'sweep')} and {alignment.seconds:.1f} s"
    )
    freedoms = alignment.report()["freedoms"]
    if freedoms:
        console.line("beside permutations: " + ", ".join(f"{count} of {kind}" for kind, count in freedoms.items()))
    if alignment.figures:
        console.line(", ".join(f"{name.replace('_', ' ')}: {value:.6g}" for name, value in alignment.figures.items()))
    if alignment.objective_bound:
        share = alignment.objective_after / alignment.objective_bound
        console.line(f"no alignment exceeds {alignment.objective_bound:.6g}: this one reaches {share:.1%} of that")
    if alignment.preservation_error is not None:
        console.line(f"outputs of B before and after differ by {alignment.preservation_error:.1e} of their size")


def on(device: torch.device, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on a device, all of them; tied tensors stay one."""
    tensors = dict(tensors)
    moved = {id(tensor): tensor.to(device) for tensor in tensors.values()}
    return {name: moved[id(tensor)] for name, tensor in tensors.items()}


def _forward(pair: Pair, network: Network) -> Callable[[Mapping[str, Tensor]], list[Tensor]] | None:
    """The network on fixed inputs: the data's, where there are any."""
    program = network.program
    if program is None:
        return None
    if network.streams:
        return lambda state: program.outputs(program.streamed(state, device=pair.device))
    if pair.data is None:
        return lambda state: program.outputs(on(pair.device, state))
    x = next(iter(pair.data.evaluation(samples=_COMPARED_EXAMPLES))).x
    return lambda state: [program.prediction(on(pair.device, state), x)]


def _batches(pair: Pair, network: Network) -> Callable[[], Iterable[Inputs]] | None:
    """Calls of the network on the data, with labels where there are any that it knows."""
    program, data = network.program, pair.data
    if program is None or data is None:
        return None
    known = pair.heads is None  # else they may be those of A, of B, or of both one after the other
    samples = pair.request.match_samples
    return lambda: (program.inputs_for(x, y if known else None) for x, y in data.matching(samples))


def _size(size: int, copies: int) -> str:
    return f"{size:,}" if copies == 1 else f"{copies:,} x {size:,}"
