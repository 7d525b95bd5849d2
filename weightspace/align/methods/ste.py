"""The straight-through estimator (Git Re-Basin, Ainsworth et al. 2022, section 3.3): permutations learned on a loss.

Latent weights start at A. Each step matches B to them, warm-started from the last match; the loss is taken in the
middle between A and the matched B, and its gradient goes straight through the matching to the latent weights. Freedoms
beside permutations are learned in the same steps, by their own gradients (learned matching: Theus et al. 2025). What is
returned is the best that was met, by its loss on the same few calls, and never worse than where it started.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor

from weightspace.align.freedoms import freed
from weightspace.align.freedoms.learned import LearnedFreedoms
from weightspace.align.loss import DataLoss, endless
from weightspace.align.method import Found, Request, method
from weightspace.align.methods.activations import match_activations
from weightspace.align.problem import Problem
from weightspace.align.search import Search
from weightspace.align.settle import settle
from weightspace.align.term import moving_blocks
from weightspace.errors import DataError
from weightspace.symmetry import Element, Transformation

STEPS = 100
RATE, MOMENTUM = 1e-2, 0.9
FREE_STEPS, FREE_RATE = 200, 1e-2  # with freedoms to learn, by Adam; the rate falls to 0 along a cosine
JUDGING = 4  # calls on which what was met is compared
EVERY = 10  # steps after which values of freedoms are judged anew


@method("ste", balanced=True, needs=("program", "batches"))
def match_straight_through(request: Request) -> Found:
    """Learns the transformation by gradients, from the better of weight matching and activation matching.

    Raises:
        DataError: No data, or labels that do not fit.
    """
    assert request.program is not None
    assert request.batches is not None
    a, b = request.held("a"), request.held("b")
    loss = DataLoss(request.program, a, b, request.loss)
    judging = list(islice(request.batches(), JUDGING))
    if not judging:
        raise DataError("ste: expected at least one batch, found none; give data with examples")

    def judged(transformation: Transformation) -> float:
        return loss.mean(_middle(a, transformation.apply(b)), judging)

    starts = (freed(request, element) for element in _starts(request))
    start, start_loss = min(((each, judged(each)) for each in starts), key=lambda pair: pair[1])
    best, best_loss = start, start_loss
    freedoms = LearnedFreedoms(start, request.kinds, request.device)
    steps = FREE_STEPS if freedoms.parameters else STEPS
    moving = dict.fromkeys(block.tensor for block in moving_blocks(request.spec))
    latent = {name: a[name].clone().requires_grad_() for name in moving}
    optimisers: list[torch.optim.Optimizer] = [torch.optim.SGD(latent.values(), lr=RATE, momentum=MOMENTUM)]
    if freedoms.parameters:
        optimisers.append(torch.optim.Adam(freedoms.parameters, lr=FREE_RATE))
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(each, steps) for each in optimisers[1:]]
    element, seen = request.spec.identity(), 0
    for step, inputs in enumerate(islice(endless(request.batches), steps), 1):
        there = freedoms.transformation().apply(b)
        problem = Problem(
            {**a, **{name: tensor.detach() for name, tensor in latent.items()}},
            {name: tensor.detach() for name, tensor in there.items()},
            request.spec, request.device, balance=True, memory=request.memory,
        )  # fmt: skip
        problem.move_to(element)
        settle(problem, seed=request.seed + step)
        changed = not _equal(problem.element, element)
        element = problem.element
        if changed or (freedoms.parameters and step % EVERY == 0):
            seen += changed
            met = freedoms.settled().then(Transformation(request.spec, element))
            found = judged(met)
            if found < best_loss:
                best, best_loss = met, found
        moved = request.spec.apply(element, there)
        through = {name: moved[name] + (latent[name] - latent[name].detach()) for name in latent}
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss(_middle(a, {**moved, **through}), inputs).backward()
        for each in (*optimisers, *schedules):
            each.step()
        if request.progress is not None:
            request.progress(step, steps, f"loss in the middle {best_loss:.4g}")
    figures = {"loss": best_loss, "loss_at_start": start_loss, "elements_tried": seen}
    return Found(best.element, steps, figures, freed=best)


def _starts(request: Request) -> Iterator[Element]:
    """Weight matching; activation matching as it is, and taken on by the weights."""
    problem = request.problem(balance=True)
    Search(problem, restarts=request.restarts, seed=request.seed).run()
    yield problem.element
    element = match_activations(request, depth="read", measure="correlation").element
    yield element
    problem.move_to(element)
    settle(problem, seed=request.seed)
    yield problem.element


def _middle(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: (tensor + b[name]) / 2 if tensor.is_floating_point() else tensor for name, tensor in a.items()}


def _equal(one: Element, other: Element) -> bool:
    return all(torch.equal(one.perm(group.name), other.perm(group.name)) for group in one.groups if group.movable)
