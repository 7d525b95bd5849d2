"""The straight-through estimator (Git Re-Basin, Ainsworth et al. 2022, section 3.3): permutations learned on a loss.

Latent weights start at A. Each step matches B to them, warm-started from the last match; the loss is taken in the
middle between A and the matched B, and its gradient goes straight through the matching to the latent weights. What is
returned is the best element met, by its loss on the same few calls, and never one worse than where it started.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from torch import Tensor

from weightspace.align.loss import DataLoss, endless
from weightspace.align.method import Found, Request, method
from weightspace.align.methods.activations import match_activations
from weightspace.align.problem import Problem
from weightspace.align.search import Search
from weightspace.align.settle import settle
from weightspace.align.term import moving_blocks
from weightspace.errors import DataError
from weightspace.symmetry import Element

STEPS = 100
RATE, MOMENTUM = 1e-2, 0.9
JUDGING = 4  # calls on which elements are compared


@method("ste", balanced=True, needs=("program", "batches"))
def match_straight_through(request: Request) -> Found:
    """Learns the element by gradients, from the better of weight matching and activation matching.

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

    def judged(element: Element) -> float:
        return loss.mean(_middle(a, request.spec.apply(element, b)), judging)

    best, best_loss = min(((each, judged(each)) for each in _starts(request)), key=lambda pair: pair[1])
    start_loss, element, seen = best_loss, best, 0
    moving = dict.fromkeys(block.tensor for block in moving_blocks(request.spec))
    latent = {name: a[name].clone().requires_grad_() for name in moving}
    optimiser = torch.optim.SGD(latent.values(), lr=RATE, momentum=MOMENTUM)
    for step, inputs in enumerate(islice(endless(request.batches), STEPS), 1):
        problem = Problem(
            {**a, **{name: tensor.detach() for name, tensor in latent.items()}}, b, request.spec, request.device,
            balance=True, memory=request.memory,
        )  # fmt: skip
        problem.move_to(element)
        settle(problem, seed=request.seed + step)
        if not _equal(problem.element, element):
            element = problem.element
            seen += 1
            found = judged(element)
            if found < best_loss:
                best, best_loss = element, found
        moved = request.spec.apply(element, b)
        through = {name: latent[name] + (moved[name] - latent[name]).detach() for name in latent}
        optimiser.zero_grad()
        loss(_middle(a, {**moved, **through}), inputs).backward()
        optimiser.step()
        if request.progress is not None:
            request.progress(step, STEPS, f"loss in the middle {best_loss:.4g}")
    return Found(best, STEPS, {"loss": best_loss, "loss_at_start": start_loss, "elements_tried": seen})


def _starts(request: Request) -> Iterator[Element]:
    """Weight matching; and activation matching as it is, and taken on by the weights."""
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
