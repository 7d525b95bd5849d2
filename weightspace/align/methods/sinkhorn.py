"""Sinkhorn re-basin (Pena et al. 2023): soft permutations by gradient descent, rounded by assignment at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from weightspace.align.loss import DataLoss, endless
from weightspace.align.method import Found, Request, method
from weightspace.align.sinkhorn import apply_softly, rounded, sinkhorn
from weightspace.errors import DataError

STEPS = 300
RATE = 0.1
WARM, COLD = 1.0, 0.1  # temperature at the first step and at the last

State = Mapping[str, Tensor]


@method("sinkhorn", balanced=True)
def match_weights_softly(request: Request) -> Found:
    """Minimises the squared distance of the weights, over balanced blocks; needs no data."""
    terms = request.problem(balance=True).terms
    a = request.held("a")

    def distance(moved: State) -> Tensor:
        parts = [
            term.weight
            * (term.block.read(a[term.block.tensor]) - term.block.read(moved[term.block.tensor])).square().sum()
            for term in terms
        ]
        return torch.stack(parts).sum()

    return _descend(request, distance)


@method("sinkhorn-loss", balanced=True, needs=("program", "batches"))
def match_on_the_loss(request: Request) -> Found:
    """Minimises the loss on data at random points of the path from A to the soft copy of B.

    Raises:
        DataError: No data, or labels that do not fit.
    """
    assert request.program is not None
    assert request.batches is not None
    a, b = request.held("a"), request.held("b")
    loss = DataLoss(request.program, a, b, request.loss)
    calls = endless(request.batches)
    generator = torch.Generator().manual_seed(request.seed)

    def at_a_random_point(moved: State) -> Tensor:
        t = float(torch.rand((), generator=generator))
        inputs = next(calls, None)
        if inputs is None:
            raise DataError("sinkhorn-loss: expected at least one batch, found none; give data with examples")
        point = {
            name: tensor + t * (moved[name] - tensor) if tensor.is_floating_point() else tensor
            for name, tensor in a.items()
        }
        return loss(point, inputs)

    return replace(_descend(request, at_a_random_point), by_weights=False)


def _descend(request: Request, loss: Callable[[State], Tensor]) -> Found:
    """Gradient descent on the latent scores of all groups, ever colder; every step costs one loss and its gradient."""
    b = request.held("b")
    generator = torch.Generator().manual_seed(request.seed)
    latent = {
        group.name: (
            1e-3 * torch.randn(*request.spec.identity().perm(group.name).shape, group.size, generator=generator)
        )
        .to(request.device)
        .requires_grad_()
        for group in request.spec.groups
    }
    if not latent:
        return Found(request.spec.identity(), 0)
    optimiser = torch.optim.Adam(latent.values(), lr=RATE)
    value = torch.zeros(())
    for step in range(STEPS):
        temperature = WARM * (COLD / WARM) ** (step / (STEPS - 1))
        soft = {name: sinkhorn(scores, temperature=temperature) for name, scores in latent.items()}
        value = loss(apply_softly(request.spec, soft, b))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        if request.progress is not None:
            request.progress(step + 1, STEPS, f"loss {float(value.detach()):.4g}")
    figures = {"soft_loss": float(value.detach())}
    return Found(rounded(request.spec, latent), STEPS, figures)
