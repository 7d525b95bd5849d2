"""`align_many`: one call from several checkpoints and a spec to their alignment with its report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from weightspace.align.check import check_restarts, check_state
from weightspace.align.many.cycle_consistent import climb
from weightspace.align.many.family import Family
from weightspace.align.many.merge_many import merge_many
from weightspace.align.many.pairwise import align_with_first
from weightspace.align.many.result import ManyAlignment
from weightspace.align.method import Progress, known_method
from weightspace.errors import AlignmentError
from weightspace.symmetry import Element, Spec

DEFAULT_RESTARTS = 5

Finding = tuple[list[Element], dict[str, float]]


def align_many(
    states: Sequence[Mapping[str, Tensor]],
    spec: Spec,
    *,
    method: str = "cycle-consistent",
    restarts: int = DEFAULT_RESTARTS,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> ManyAlignment:
    """Finds for each of several networks the group element that brings all of them together, in one universe.

    All are held in float32 while they are aligned.

    Args:
        states: Weights of the networks, by the names of the spec (tied tensors under the spec's name for them), in any
            floating dtypes.
        spec: The symmetry of their network.
        method: "cycle-consistent" (C2M3, Crisostomi et al. 2024), "merge-many" (each with the mean of the others, Git
            Re-Basin, Ainsworth et al. 2022), or "pairwise" (each with the first). Each starts from what the next one
            finds and so is no worse than it on the objective, for equal restarts and seeds.
        restarts: Starts of every search, or of Frank-Wolfe; the best result is kept.
        seed: Seed of everything random; equal seeds give equal results.
        device: Where values are held and costs are formed.
        progress: Called with (steps done, steps in all, what is going on).

    Returns:
        The alignment; ``alignment.mean(states)`` is the merged network. The universe is that of the first network.

    Raises:
        AlignmentError: No network, an unknown method, no restart, or weights that hold NaN or infinity.
        CheckpointMismatchError: A tensor of the spec is missing or has another shape.
    """
    chosen = known_method(method, METHODS)
    check_restarts(restarts)
    if not states:
        raise AlignmentError("networks: expected at least one to align, found none")
    for number, state in enumerate(states, 1):
        check_state(state, spec, f"network {number}")
    began = time.perf_counter()
    family = Family(states, spec, torch.device(device))
    before = family.objective(family.states)
    elements, figures = chosen(family, restarts, seed, progress)
    to_first = elements[0].inverse()
    elements = [element.then(to_first) for element in elements]
    return ManyAlignment(
        spec=spec,
        elements=tuple(elements),
        method=method,
        objective_before=before,
        objective_after=family.objective(family.moved(elements)),
        seconds=time.perf_counter() - began,
        seed=seed,
        figures=figures,
    )


def _pairwise(family: Family, restarts: int, seed: int, progress: Progress | None) -> Finding:
    return align_with_first(family, restarts=restarts, seed=seed, progress=progress), {}


def _merge_many(family: Family, restarts: int, seed: int, progress: Progress | None) -> Finding:
    start = align_with_first(family, restarts=restarts, seed=seed)
    found = merge_many(family, start, restarts=restarts, seed=seed, progress=progress)
    return found.elements, {"rounds": found.rounds}


def _cycle_consistent(family: Family, restarts: int, seed: int, progress: Progress | None) -> Finding:
    start = align_with_first(family, restarts=restarts, seed=seed)
    found = climb(family, start, restarts=restarts, seed=seed, progress=progress)
    return found.best.elements, {
        "iterations": found.iterations,
        "relaxed_objective": found.relaxed,
        "merge_many_objective": found.merge_many,
    }


METHODS: dict[str, Callable[[Family, int, int, Progress | None], Finding]] = {
    "cycle-consistent": _cycle_consistent,
    "merge-many": _merge_many,
    "pairwise": _pairwise,
}
