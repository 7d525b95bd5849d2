"""A merged network trained a little, without labels, to give the mean of what its origins give.

Layers that are solved for one by one (`weightspace.merge.refit`) are each the best for what reaches them, not for what
comes out at the end. From there few passes by gradients go a long way (distillation from an ensemble: Hinton et al.
2015, section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from weightspace.errors import DataError
from weightspace.source import Inputs, Program
from weightspace.stats import by_batch

State = Mapping[str, Tensor]
RATE = 1e-3


@dataclass(frozen=True)
class Distilled:
    """A network that was trained towards the mean outputs of some others.

    Attributes:
        state: Its weights; running statistics are as they were at the start, and have to be measured again.
        losses: Mean loss of every pass: squared distance of the outputs from the mean, over its variance.
    """

    state: dict[str, Tensor]
    losses: tuple[float, ...]


def distill(
    program: Program,
    models: Sequence[State],
    start: State,
    batches: Callable[[], Iterable[Inputs]],
    *,
    passes: int,
    rate: float = RATE,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Distilled:
    """Trains all parameters by Adam, the rate falling to zero along a cosine; batch norms normalise by the batch.

    Args:
        program: The network.
        models: Weights whose mean outputs are the target, in any coordinates.
        start: The weights to start from.
        batches: Starts a pass over unlabelled calls of the network, the same ones every time.
        passes: Passes over them.
        rate: Learning rate.
        seed: Seed of the order of calls.
        progress: Called with (steps done, steps, what is going on).

    Raises:
        DataError: No batch.
    """
    calls = list(batches())
    if not calls:
        raise DataError("distillation: expected at least one batch, found none; give data with examples")
    targets = [_mean([program.outputs(model, inputs) for model in models]) for inputs in calls]
    scales = [1.0 / max(_variance(each), torch.finfo(torch.float32).tiny) for each in zip(*targets, strict=True)]
    learned = {name: start[name].detach().clone().requires_grad_() for name in program.parameter_names if name in start}
    optimiser = torch.optim.Adam(learned.values(), lr=rate)
    steps = max(1, passes * len(calls))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    random = torch.Generator().manual_seed(seed)
    losses = []
    for done in range(passes):
        total = 0.0
        for number, at in enumerate(torch.randperm(len(calls), generator=random).tolist(), 1):
            with by_batch():
                outputs = program.outputs({**start, **learned}, calls[at], differentiable=True)
            distances = [(one - two).square().mean() for one, two in zip(outputs, targets[at], strict=True)]
            loss = torch.stack([scale * each for scale, each in zip(scales, distances, strict=True)]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
            if progress is not None:
                progress(done * len(calls) + number, steps, f"pass {done + 1}, loss {total / number:.4g}")
        losses.append(total / len(calls))
    return Distilled({**start, **{name: tensor.detach() for name, tensor in learned.items()}}, tuple(losses))


def _mean(outputs: list[list[Tensor]]) -> list[Tensor]:
    return [torch.stack(each).mean(0) for each in zip(*outputs, strict=True)]


def _variance(values: Sequence[Tensor]) -> float:
    return float(torch.cat([each.flatten() for each in values]).var(correction=0))
