"""The network that a command is about: its source, its program and its derived symmetry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from weightspace.errors import CheckpointMismatchError, SourceError, VerificationError
from wsp.console import Console

if TYPE_CHECKING:
    from torch import Tensor

    from weightspace.checkpoint import Checkpoint
    from weightspace.source import Program, Source
    from weightspace.symmetry.spec import Spec
    from weightspace.symmetry.verify import Verification
    from weightspace.views import TensorView


@dataclass(frozen=True)
class Network:
    """What is known about the network of one or two checkpoints.

    Attributes:
        spec: Its symmetry.
        source: Where it comes from; None where a saved spec was given.
        program: It as a function of its weights; None where a saved spec was given, or it will not be run.
        label: What to call it.
    """

    spec: Spec
    source: Source | None
    program: Program | None
    label: str

    def under_spec_names(self, tensors: Mapping[str, Tensor]) -> TensorView:
        """Tensors by the names of the spec, read when they are asked for: a tied one may be stored under another."""
        from weightspace.views import TensorView

        named = {self.spec.aliases.get(name, name): name for name in tensors}
        return TensorView(tensors, names=named | {name: name for name in tensors if name in self.spec.tensors})

    def untied(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors by the names of the spec, tied ones once."""
        named = self.under_spec_names(tensors)
        return {name: named[name] for name in named if name not in self.spec.aliases}

    def under_all_names(self, state: Mapping[str, Tensor], whole: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The way back: tied tensors under every name, and what is not in the state as it is in the whole."""
        return {name: state.get(self.spec.aliases.get(name, name), tensor) for name, tensor in whole.items()}

    @property
    def streams(self) -> bool:
        """Whether it is too large to be run with all its weights in memory."""
        from weightspace.source.deriving import LARGEST_HELD

        return self.program is not None and self.program.parameters > LARGEST_HELD


def is_saved_spec(arch: str | None) -> bool:
    """Whether `--arch` names a saved spec."""
    return arch is not None and arch.endswith(".json")


def open_pair(a: Path, b: Path, console: Console, *, same: bool = True) -> tuple[Checkpoint, Checkpoint]:
    """Open two checkpoints and check, before any work, that they fit each other and hold numbers.

    Args:
        a: Path of the reference.
        b: Path of the other.
        console: For notes.
        same: Whether all their shapes are to be the same.

    Raises:
        CheckpointError: One cannot be read, holds NaN, or they are of different architectures.
    """
    from weightspace.checkpoint import check_compatible, check_finite, open_checkpoint

    first, second = open_checkpoint(a), open_checkpoint(b)
    for checkpoint in (first, second):
        for note in checkpoint.notes:
            console.note(f"{checkpoint.path}: {note}")
    if same:
        check_compatible(first, second)
    for checkpoint in (first, second):
        check_finite(checkpoint)
    return first, second


def network_of(
    checkpoints: tuple[Checkpoint, ...],
    *,
    arch: str | None,
    activation: str | None = None,
    input_shape: tuple[int, ...] | None = None,
    runs: bool = True,
    source: Source | None = None,
) -> Network:
    """Find the network of one or more checkpoints, derive its symmetry, and check that the weights are its own.

    Args:
        checkpoints: The checkpoints, of which the first decides where the network comes from; may be empty if `arch`
            says so.
        arch: What the user gave.
        activation: For an inferred stack.
        input_shape: Shape of one input.
        runs: Whether the network will be run; if not, no memory is spent on it and it has no program.
        source: The network, where it was found before.

    Raises:
        WeightspaceError: The network cannot be found, built or traced, or a checkpoint is not one of it.
    """
    from weightspace.source import Program, resolve_source
    from weightspace.source.deriving import LARGEST_HELD, derived
    from weightspace.symmetry.spec import Spec

    if arch is not None and is_saved_spec(arch):
        if activation is not None or input_shape is not None:
            raise SourceError(f"{arch}: a saved spec needs neither --activation nor --input-shape; drop them")
        spec = Spec.load(arch)
        for checkpoint in checkpoints:
            _check_against_spec(checkpoint, spec, arch)
        return Network(spec, None, None, arch)
    first = checkpoints[0] if checkpoints else None
    if source is None:
        source = resolve_source(arch, checkpoint=first, activation=activation, input_shape=input_shape)
    program = Program.from_source(source, meta=True)
    if runs and program.parameters <= LARGEST_HELD:
        program = Program.from_source(source)
    for checkpoint in checkpoints:
        program.check_state(checkpoint)
    return Network(derived(source), source, program if runs else None, source.label)


def verified(network: Network, console: Console, *, seed: int, thorough: bool) -> Verification:
    """Check a derived symmetry numerically on random weights in float64.

    Args:
        network: With a program.
        console: Shows the progress.
        seed: Seed of weights and elements.
        thorough: Check every group and every freedom on its own, each with a negative control; else the permutations
            of all groups once.
    """
    from weightspace.symmetry.verify import randomized, verify
    from weightspace.symmetry.verify_freedoms import verify_freedoms

    assert network.program is not None
    spec, forward = network.spec, network.program.outputs
    state = randomized(network.program.state(), spec, seed)
    if not thorough:
        with console.progress("verifying") as step:
            return verify(spec, forward, state, seed=seed, elements=1, groups=0, progress=step)
    with console.progress("verifying permutations") as step:
        permutations = verify(spec, forward, state, seed=seed, progress=step)
    if not spec.freedoms.all:
        return permutations
    with console.progress("verifying scales, signs and maps") as step:
        return permutations.joined(verify_freedoms(spec, forward, state, seed=seed, progress=step))


def require_activation(path: Path, source: Source | None) -> None:
    """Refuse kinds of symmetry that depend on an activation that nobody named.

    Raises:
        SourceError: The layers were read off the tensors, and no activation was given.
    """
    from weightspace.source import StackSource

    if isinstance(source, StackSource) and source.activation is None:
        raise SourceError(
            f"{path}: its layers were read off its tensors, but which scales and signs are free depends on what "
            "stands between them; pass --activation relu (tanh, gelu, ...), or --kinds permutation"
        )


def require_verified(network: Network, console: Console, *, seed: int) -> None:
    """The cheap check, which every use of a derived symmetry begins with, on random weights.

    Not of networks that are too large for that: what is done to their weights is checked on the weights themselves.

    Raises:
        VerificationError: A random element of the group changes the function.
    """
    if network.streams:
        return
    result = verified(network, console, seed=seed, thorough=False)
    if not result.verified:
        raise VerificationError(
            f"{network.label}: expected the derived symmetry to keep the outputs to {result.tolerance:.0e}, found an "
            f"error of {result.max_error:.1e} (groups {', '.join(result.wrong) or 'unknown'}); nothing was changed: "
            "report this network as a bug"
        )


def _check_against_spec(checkpoint: Checkpoint, spec: Spec, path: str) -> None:
    given = {spec.aliases.get(name, name): name for name in checkpoint}
    for name, tensor in spec.tensors.items():
        if name not in given:
            raise CheckpointMismatchError(
                f"{checkpoint.path}: {name}: expected a tensor of shape {tensor.shape} as in {path}, found none; give "
                "the spec of this architecture"
            )
        shape = tuple(checkpoint.info(given[name]).shape)
        if shape != tensor.shape:
            raise CheckpointMismatchError(
                f"{checkpoint.path}: {given[name]}: expected shape {tensor.shape} as in {path}, found {shape}; give "
                "the spec of this architecture"
            )
