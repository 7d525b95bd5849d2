"""The loss barrier on the straight line between two networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from weightspace.errors import WeightspaceError
from weightspace.evaluate.score import evaluate
from weightspace.merge import interpolate
from weightspace.stats import reset_batchnorm

if TYPE_CHECKING:
    from weightspace.data import Batch
    from weightspace.source import Program

Batches = Callable[[], Iterable["Batch"]]


@dataclass(frozen=True)
class Curve:
    """Loss and accuracy along a path of networks.

    Attributes:
        t: Positions from 0 (the first network) to 1 (the second), increasing.
        loss: Mean cross-entropy at each position, nats.
        accuracy: Share classified correctly at each position, 0 to 1.
        samples: Number of examples behind each value.
    """

    t: tuple[float, ...]
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    samples: int

    @property
    def barrier(self) -> float:
        """Max over t of L(t) - [(1 - t) L(0) + t L(1)] (Entezari et al. 2022): zero or more, NaN if a loss is NaN."""
        return _above_chord(self.t, self.loss)

    @property
    def accuracy_barrier(self) -> float:
        """The same for the loss of accuracy: max over t of [(1 - t) A(0) + t A(1)] - A(t)."""
        return _above_chord(self.t, [-value for value in self.accuracy])

    @property
    def barrier_over_mean(self) -> float:
        """Max over t of L(t) - (L(0) + L(1)) / 2 (Frankle et al. 2020; Ainsworth et al. 2022)."""
        return _above_mean(self.loss)

    @property
    def accuracy_barrier_over_mean(self) -> float:
        """The same for the loss of accuracy: max over t of (A(0) + A(1)) / 2 - A(t)."""
        return _above_mean([-value for value in self.accuracy])

    def to_json(self) -> dict[str, object]:
        """The curve and its barriers as plain values; what is not finite becomes None, which JSON can hold."""
        return {
            "t": list(self.t),
            "loss": [_finite(value) for value in self.loss],
            "accuracy": list(self.accuracy),
            "samples": self.samples,
            "barrier": _finite(self.barrier),
            "accuracy_barrier": self.accuracy_barrier,
            "barrier_over_mean": _finite(self.barrier_over_mean),
            "accuracy_barrier_over_mean": self.accuracy_barrier_over_mean,
        }


def loss_curve(
    program: Program,
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    batches: Batches,
    *,
    points: int = 25,
    reset: Batches | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Curve:
    """Measure loss and accuracy at equal steps from one network to another.

    Args:
        program: The network as a function of its weights.
        a: Weights at t = 0.
        b: Weights at t = 1.
        batches: Called once per position; gives the examples to measure on, the same each time.
        points: Number of positions, both ends included; an odd number has the midpoint among them.
        reset: If given, the statistics of batch norms are re-estimated at every position, the ends included, on the
            batches that it gives.
        progress: Called after each position with how many are done and how many there are.

    Returns:
        The curve. Where `a` equals `b` it is flat, and its barrier exactly zero.

    Raises:
        CheckpointMismatchError: `a` and `b` differ in a name or a shape.
        DataError: The examples do not fit the network.
    """
    if points < 3:
        raise WeightspaceError(f"points: expected at least 3, both ends and one between, found {points}; ask for more")
    t = tuple(i / (points - 1) for i in range(points))
    scores = []
    for position in t:
        state = interpolate(a, b, position)
        if reset is not None:
            state = reset_batchnorm(program, state, reset())
        scores.append(evaluate(program, state, batches()))
        if progress is not None:
            progress(len(scores), points)
    losses, accuracies = tuple(score.loss for score in scores), tuple(score.accuracy for score in scores)
    return Curve(t, losses, accuracies, scores[0].samples)


def _above_chord(t: Sequence[float], values: Sequence[float]) -> float:
    start, end = values[0], values[-1]
    # At the ends the difference is zero by definition; rounding must not make it anything else.
    inner = [value - (start + s * (end - start)) for s, value in zip(t[1:-1], values[1:-1], strict=True)]
    return _maximum([0.0, *inner])


def _above_mean(values: Sequence[float]) -> float:
    mean = values[0] + (values[-1] - values[0]) / 2
    return _maximum([value - mean for value in values])


def _maximum(values: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else max(values)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
