"""What alignment and the reset of statistics do to the barrier between two networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from weightspace.evaluate.barrier import Batches, Curve, loss_curve
from weightspace.stats import has_batchnorm

if TYPE_CHECKING:
    from weightspace.source import Program


@dataclass(frozen=True)
class BarrierReport:
    """The paths from A to B, to B aligned to A, and the same with the statistics of batch norms reset.

    Attributes:
        naive: From A to B as they are.
        aligned: From A to the aligned B.
        aligned_reset: As `aligned`, statistics re-estimated at every position. In a network without batch norm the
            reset changes nothing and this is `aligned` itself.
    """

    naive: Curve
    aligned: Curve
    aligned_reset: Curve

    @property
    def has_reset(self) -> bool:
        """Whether there were statistics to reset."""
        return self.aligned_reset is not self.aligned

    def curves(self) -> dict[str, Curve]:
        """The curves that were measured, by name."""
        curves = {"naive": self.naive, "aligned": self.aligned}
        return {**curves, "aligned_reset": self.aligned_reset} if self.has_reset else curves

    def to_json(self) -> dict[str, object]:
        """`{"naive": ..., "aligned": ..., "aligned_reset": ...}`, each as `Curve.to_json`."""
        return {
            "naive": self.naive.to_json(),
            "aligned": self.aligned.to_json(),
            "aligned_reset": self.aligned_reset.to_json(),
        }


def measure_barriers(
    program: Program,
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    aligned: Mapping[str, Tensor],
    batches: Batches,
    statistics: Batches,
    *,
    points: int = 25,
    progress: Callable[[str, int, int], None] | None = None,
) -> BarrierReport:
    """Measure the three curves of a `BarrierReport`.

    Args:
        program: The network as a function of its weights.
        a: Weights of the reference.
        b: Weights of the other network, as they are.
        aligned: Weights of the other network, aligned to `a`.
        batches: Gives the examples for loss and accuracy, once per position.
        statistics: Gives the examples for the statistics of batch norms, once per position; not called without any.
        points: Number of positions on each curve.
        progress: Called after each position with the name of the curve, how many are done and how many there are.

    Returns:
        The report.

    Raises:
        CheckpointMismatchError: The weights differ in a name or a shape.
        DataError: The examples do not fit the network.
    """

    def curve(name: str, end: Mapping[str, Tensor], reset: Batches | None) -> Curve:
        step = None if progress is None else partial(progress, name)
        return loss_curve(program, a, end, batches, points=points, reset=reset, progress=step)

    naive = curve("naive", b, None)
    straight = curve("aligned", aligned, None)
    return BarrierReport(
        naive, straight, curve("aligned_reset", aligned, statistics) if has_batchnorm(program) else straight
    )
