"""PLeaS (Nasery et al. 2024): least squares on networks aligned to each other, and a little distillation on top."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from weightspace.merge.distill import distill
from weightspace.merge.interpolate import interpolate
from weightspace.merge.refit import RIDGE, refit_in_turn
from weightspace.source import Inputs, Program

State = Mapping[str, Tensor]
PASSES = 8


@dataclass(frozen=True)
class Pleas:
    """Two networks merged by PLeaS.

    Attributes:
        state: The merged weights, in float32 or wider. Statistics of batch norms have to be measured again.
        residuals: For every weight that was solved for what is left of its targets, as a share of their variance.
        losses: See `weightspace.merge.distill.Distilled`.
    """

    state: dict[str, Tensor]
    residuals: Mapping[str, float]
    losses: tuple[float, ...]


def pleas(
    a: State,
    b: State,
    program: Program,
    batches: Callable[[], Iterable[Inputs]],
    *,
    ridge: float = RIDGE,
    passes: int = PASSES,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Pleas:
    """Merges two networks that need not share a base, at the size of one; labels are not used.

    Every layer that multiplies by a parameter is solved for in turn, on what reaches it in the merged network, for the
    mean of what it gives in A and B; then all is trained towards their mean outputs.

    Args:
        a: Weights of the reference.
        b: Weights of the other network, aligned to `a`.
        program: The network.
        batches: Starts a pass over calls of the network, the same ones every time.
        ridge: See `weightspace.stats.linear.LinearMoments.solve`.
        passes: Passes of distillation over the data; 0 for least squares alone.
        seed: Seed of everything random.
        progress: Called with (steps done, steps in all, what is going on), for least squares and then for distillation.

    Raises:
        CheckpointMismatchError: `a` and `b` differ in a name or a shape.
        DataError: No batch.
        SourceError: The network runs other operators than its trace.
    """
    models = (a, b)
    solved = refit_in_turn(program, models, interpolate(a, b, 0.5), batches, ridge=ridge, progress=progress)
    if not passes:
        return Pleas(solved.state, solved.residuals, ())
    trained = distill(program, models, solved.state, batches, passes=passes, seed=seed, progress=progress)
    return Pleas(trained.state, solved.residuals, trained.losses)
