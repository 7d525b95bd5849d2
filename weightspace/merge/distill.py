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
from weightspace.merge.blocks import masks_of
from weightspace.merge.matching import FeatureMatching
from weightspace.merge.wide import Wide
from weightspace.source import Inputs, Program
from weightspace.stats import by_batch

State = Mapping[str, Tensor]
RATE = 1e-3
ATTEMPTS, SLOWER = 3, 10
FEATURES = 5.0
HELD_OUT = 10  # of so many calls one is held out, where there are as many


@dataclass(frozen=True)
class Distilled:
    """A network that was trained towards the mean outputs of some others.

    Attributes:
        state: Its weights; running statistics are as they were at the start, and have to be measured again.
        losses: Loss at the start and after every pass, on the calls that were held out: squared distance of the outputs
            from the mean, over its variance.
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
    wide: Wide | None = None,
    features: float = FEATURES,
    rate: float = RATE,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Distilled:
    """Trains all parameters by Adam, the rate falling to zero along a cosine; batch norms normalise by the batch.

    A tenth of the calls is held out, and the best that was met on these is returned: never less than the start. Where
    the first pass leads away from the start, it begins anew at a tenth of the rate.

    Args:
        program: The network of the models.
        models: Weights whose mean outputs are the target.
        start: The weights to start from.
        batches: Starts a pass over unlabelled calls of the network, the same ones every time.
        passes: Passes over them.
        wide: The network to be trained, where it is of another width; what is zero between units of different networks
            stays so.
        features: Weight of the distance from the mean features, for models that are aligned to each other; 0 for the
            outputs alone, of models in any coordinates.
        rate: Learning rate.
        seed: Seed of the order of calls.
        progress: Called with (steps done, steps, what is going on).

    Raises:
        DataError: No batch.
    """
    calls = list(batches())
    if not calls:
        raise DataError("distillation: expected at least one batch, found none; give data with examples")
    random = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(calls), generator=random).tolist()
    held = len(calls) // HELD_OUT
    student, homes = (program, None) if wide is None else (wide.program, wide.homes)
    teacher = _Teacher(program, models, student, calls)
    if features:
        teacher.match(FeatureMatching(program, models, student, homes, calls[0]), features)
    masks = {} if wide is None else masks_of(wide)
    judged, seen = order[:held] or order, order[held:]
    steps = max(1, passes * len(seen))
    best, best_loss = dict(start), teacher.judge(start, judged)
    for attempt in range(ATTEMPTS):
        course = _Course(teacher, start, student.parameter_names, masks, rate / SLOWER**attempt, steps)
        losses = [best_loss]
        for done in range(passes):
            for number, at in enumerate(torch.randperm(len(seen), generator=random).tolist(), 1):
                course.step(seen[at])
                if progress is not None:
                    progress(done * len(seen) + number, steps, f"pass {done + 1}, loss {losses[-1]:.4g}")
            current = course.state()
            losses.append(teacher.judge(current, judged))
            if losses[-1] < best_loss:
                best, best_loss = current, losses[-1]
            elif done == 0 and attempt + 1 < ATTEMPTS:
                break  # too fast for this network
        else:
            break
    return Distilled(best, tuple(losses))


class _Course:
    """One attempt: parameters that learn, at a rate that falls to zero."""

    def __init__(
        self,
        teacher: _Teacher,
        start: State,
        names: Iterable[str],
        masks: Mapping[str, Tensor],
        rate: float,
        steps: int,
    ) -> None:
        self._teacher, self._start, self._masks = teacher, start, masks
        self._learned = {name: start[name].detach().clone().requires_grad_() for name in names if name in start}
        self._optimiser = torch.optim.Adam(self._learned.values(), lr=rate)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimiser, steps)

    def step(self, at: int) -> None:
        """Learns from one call; where a mask is zero nothing changes."""
        self._optimiser.zero_grad()
        self._teacher.loss({**self._start, **self._learned}, at).backward()
        for name, mask in self._masks.items():
            gradient = self._learned[name].grad
            assert gradient is not None
            gradient.mul_(mask)
        self._optimiser.step()
        self._schedule.step()

    def state(self) -> dict[str, Tensor]:
        """A copy of the weights as they are now."""
        return {**self._start, **{name: tensor.detach().clone() for name, tensor in self._learned.items()}}


class _Teacher:
    """The mean outputs of some networks on calls, and how far others are from them."""

    def __init__(self, program: Program, models: Sequence[State], student: Program, calls: Sequence[Inputs]) -> None:
        self._student, self._given, self._calls = student, calls, [student.call_of(inputs) for inputs in calls]
        self._targets = [_mean([program.outputs(model, inputs) for model in models]) for inputs in calls]
        spreads = [_variance(each) for each in zip(*self._targets, strict=True)]
        self._scales = [1.0 / max(spread, torch.finfo(torch.float32).tiny) for spread in spreads]
        self._matching: FeatureMatching | None = None
        self._weight = 0.0

    def match(self, matching: FeatureMatching, weight: float) -> None:
        """Adds so many times the distance from the mean features to the loss, where there are such features."""
        if matching.names:
            self._matching, self._weight = matching, weight

    def loss(self, state: State, at: int) -> Tensor:
        """What is to become small, on one call, with gradients."""
        if self._matching is None:
            return self._distance(state, at)
        targets = self._matching.targets(self._given[at])
        with by_batch():
            outputs, far = self._matching.run(state, self._calls[at], targets)
        return self._from_mean(outputs, at) + self._weight * far

    def judge(self, state: State, chosen: Sequence[int]) -> float:
        """Squared distance from the mean outputs over their variance, mean of some calls."""
        with torch.no_grad():
            return sum(float(self._distance(state, at)) for at in chosen) / len(chosen)

    def _distance(self, state: State, at: int) -> Tensor:
        with by_batch():
            outputs = self._student.outputs(state, self._calls[at], differentiable=True)
        return self._from_mean(outputs, at)

    def _from_mean(self, outputs: list[Tensor], at: int) -> Tensor:
        distances = [(one - two).square().mean() for one, two in zip(outputs, self._targets[at], strict=True)]
        return torch.stack([scale * each for scale, each in zip(self._scales, distances, strict=True)]).mean()


def _mean(outputs: list[list[Tensor]]) -> list[Tensor]:
    return [torch.stack(each).mean(0) for each in zip(*outputs, strict=True)]


def _variance(values: Sequence[Tensor]) -> float:
    return float(torch.cat([each.flatten() for each in values]).var(correction=0))
