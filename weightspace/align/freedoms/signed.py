"""Weight matching over permutations and signs together.

A network whose activations are odd (tanh, sin), or that multiplies its units with others (gated perceptrons), keeps its
function when a unit changes its sign. Permutations alone see two units of opposite signs as strangers, so both are
decided at once (`weightspace.align.freedoms.signed_step`).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from weightspace.align.freedoms.sign_layout import sign_layouts
from weightspace.align.freedoms.sign_state import SignState
from weightspace.align.freedoms.signed_search import SignedSearch
from weightspace.align.freedoms.signed_step import sign_step
from weightspace.align.method import Progress
from weightspace.align.problem import Problem
from weightspace.align.settle import settle
from weightspace.symmetry import Spec, Transformation

RESTARTS = 10
MOST_PASSES = 20


def settle_signed(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: Spec,
    *,
    device: torch.device,
    seed: int,
    memory: int | None = None,
    start: Transformation | None = None,
    restarts: int = RESTARTS,
    balance: bool = True,
    progress: Progress | None = None,
) -> Transformation:
    """Brings B closest to A by permutations and signs; the objective ends no lower than it is at the start.

    Signs of groups within or around others stay as they are, and so do those that act on parts of the spec's blocks.
    Where none is left this is `settle` from the start.

    Args:
        a: Weights of the reference, by the names of the spec.
        b: Weights of the model to be aligned.
        spec: The symmetry of their network.
        device: Where to compute.
        seed: Seed of visiting orders and kicks.
        memory: Bytes of blocks and costs that may be held.
        start: Where one of the starts begins; by default at B as it comes. Freedoms other than signs stay as they are
            there.
        restarts: Number of starts, at least 1; fewer where one of them cannot be beaten. The first is the one given.
        balance: Whether to weigh the blocks (`weightspace.align.balance`). Without, the sum that does not fall is that
            of all inner products, which decides the distance; with, planted transformations are found more often.
        progress: Called with (starts done, starts in all, what is going on).

    Returns:
        The best transformation, with a value for every sign that was free to change.
    """
    start = Transformation.identity(spec) if start is None else start
    layouts = sign_layouts(spec)
    signs = SignState(spec, layouts, start.values)
    others = {name: value for name, value in start.values.items() if name not in signs.values}
    if others:
        b = Transformation(spec, spec.identity(), others).apply(b)
    problem = Problem(a, b, spec, device, balance=balance, memory=memory, change=signs.act)
    problem.move_to(start.element)
    if layouts:
        SignedSearch(problem, signs, seed=seed, progress=progress).run(restarts)
    else:
        settle(problem, seed=seed)
    found = signs.transformation(problem)
    return Transformation(spec, found.element, {**others, **found.values})


def settle_signs(
    a: Mapping[str, Tensor], b: Mapping[str, Tensor], spec: Spec, *, device: torch.device, memory: int | None = None
) -> Transformation:
    """Brings B closer to A by signs alone, every unit where it is: for permutations that were found on data.

    Args:
        a: Weights of the reference, by the names of the spec.
        b: Weights of the model to be aligned.
        spec: The symmetry of their network.
        device: Where to compute.
        memory: Bytes of blocks and costs that may be held.

    Returns:
        The transformation; the sum of inner products of balanced blocks is no lower under it.
    """
    layouts = sign_layouts(spec)
    signs = SignState(spec, layouts, {})
    problem = Problem(a, b, spec, device, balance=True, memory=memory, change=signs.act)
    for _ in range(MOST_PASSES):
        changed = [sign_step(problem, signs, group) for group in layouts]
        if not any(changed):
            break
    return signs.transformation(problem)
