"""`align`: one call from two checkpoints and a spec to an alignment with its report."""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.align.alignment import Alignment, GroupReport
from weightspace.align.problem import Problem
from weightspace.align.term import Term
from weightspace.align.weights import Progress, match_weights
from weightspace.errors import AlignmentError, CheckpointMismatchError
from weightspace.symmetry import Element, Group, Spec
from weightspace.symmetry.action import act_on_block
from weightspace.symmetry.verify import relative_error

DEFAULT_RESTARTS = 10


@dataclass(frozen=True, slots=True)
class Method:
    """A way to align.

    Attributes:
        match: Brings a fresh `Problem` to its best element and returns the number of sweeps.
        balanced: Whether the blocks of the objective are weighed (see `weightspace.align.balance`).
    """

    match: Callable[..., int]
    balanced: bool


METHODS: Mapping[str, Method] = {
    "weights": Method(match_weights, balanced=True),
    "git-rebasin": Method(match_weights, balanced=False),  # the objective exactly as the paper has it
}


def check_method(name: str) -> None:
    """Refuses a name that is not in `METHODS`, before any work.

    Raises:
        AlignmentError: With the nearest name.
    """
    if name not in METHODS:
        nearest = difflib.get_close_matches(name, METHODS, n=1, cutoff=0.0)[0]
        raise AlignmentError(f"method '{name}': expected one of {', '.join(METHODS)}; did you mean '{nearest}'?")


def align(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: Spec,
    *,
    method: str = "weights",
    restarts: int = DEFAULT_RESTARTS,
    seed: int = 0,
    device: str | torch.device = "cpu",
    forward: Callable[[Mapping[str, Tensor]], list[Tensor]] | None = None,
    progress: Progress | None = None,
) -> Alignment:
    """Finds the group element that brings B closest to A.

    Args:
        a: Weights of the reference, by the names of the spec (tied tensors under the spec's name for them).
        b: Weights of the model to be aligned.
        spec: The symmetry of their network.
        method: Name in `METHODS`: weight matching with balanced blocks, or with the plain sum of Git Re-Basin.
        restarts: Number of starts of the descent; the best result is kept.
        seed: Seed of everything random; equal seeds give equal results.
        device: Where costs are formed, in float32.
        forward: The network as a function of its weights on fixed inputs. When given, the change of the output of B
            under the element found is measured, in float64.
        progress: Called with (starts done, starts in all, what is going on).

    Returns:
        The alignment; ``alignment.apply(b)`` are the aligned weights.

    Raises:
        AlignmentError: If the method is unknown or the weights hold NaN or infinity.
        CheckpointMismatchError: If a tensor of the spec is missing or has another shape.
    """
    check_method(method)
    if restarts < 1:
        raise AlignmentError(f"restarts: expected at least 1, found {restarts}")
    _check(a, spec, "A")
    _check(b, spec, "B")
    began = time.perf_counter()
    problem = Problem(a, b, spec, torch.device(device), balance=METHODS[method].balanced)
    before = problem.objective()
    sweeps = METHODS[method].match(problem, restarts=restarts, seed=seed, progress=progress)
    element = problem.element
    return Alignment(
        spec=spec,
        element=element,
        method=method,
        objective_before=before,
        objective_after=problem.objective(),
        preservation_error=None if forward is None else preservation_error(spec, element, b, forward),
        groups=tuple(_report(problem, group) for group in spec.groups),
        sweeps=sweeps,
        seconds=time.perf_counter() - began,
        seed=seed,
    )


def preservation_error(
    spec: Spec, element: Element, state: Mapping[str, Tensor], forward: Callable[[Mapping[str, Tensor]], list[Tensor]]
) -> float:
    """Relative change of the network's output under a group element, with the weights in float64."""
    wide = {name: t.double() if t.is_floating_point() else t for name, t in state.items() if name not in spec.aliases}
    return relative_error(forward(spec.apply(element, wide)), forward(wide))


def _check(state: Mapping[str, Tensor], spec: Spec, which: str) -> None:
    for name, tensor in spec.tensors.items():
        if name not in state:
            raise CheckpointMismatchError(
                f"tensor '{name}': expected in checkpoint {which}, found missing; check --arch"
            )
        found = state[name]  # a checkpoint reads the tensor anew every time
        if tuple(found.shape) != tensor.shape:
            raise CheckpointMismatchError(
                f"tensor '{name}' of {which}: expected shape {tensor.shape}, found {tuple(found.shape)}; "
                "both checkpoints must be of the architecture of the spec"
            )
        if found.is_floating_point() and not bool(torch.isfinite(found).all()):
            raise AlignmentError(f"tensor '{name}' of {which}: expected finite values, found NaN or infinity")


def _report(problem: Problem, group: Group) -> GroupReport:
    """What one group did; its gain is what the objective loses when this group alone is put back."""
    name, element = group.name, problem.element
    perm = element.perm(name)
    back = Element(problem.spec.all_groups, {name: perm.argsort(dim=-1)} if name in element.perms else {})
    gain = math.fsum(
        term.value() - Term(term.block, term.a, act_on_block(term.block, back, term.b)).value()
        for term in problem.by_group[name]
    )
    return GroupReport(name, group.size, perm.numel() // group.size, element.moved(name), gain)
