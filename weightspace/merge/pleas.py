"""PLeaS (Nasery et al. 2024): least squares on networks aligned to each other, and a little distillation on top."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from weightspace.merge.distill import distill
from weightspace.merge.in_turn import refit_in_turn
from weightspace.merge.interpolate import average
from weightspace.merge.refit import RIDGE
from weightspace.merge.stored import Stored
from weightspace.merge.wide import Wide
from weightspace.source import Inputs, Program

State = Mapping[str, Tensor]
PASSES = 8


@dataclass(frozen=True)
class Pleas:
    """Networks merged by PLeaS.

    Attributes:
        program: The merged network: that of the networks, or the wide one as it is stored.
        state: Its weights, in float32 or wider. Statistics of batch norms have to be measured again.
        residuals: For every weight that was solved for what is left of its targets, as a share of their variance.
        losses: See `weightspace.merge.distill.Distilled`.
        stored: The form of the wide network; None at the size of one.
    """

    program: Program
    state: dict[str, Tensor]
    residuals: Mapping[str, float]
    losses: tuple[float, ...]
    stored: Stored | None = None


def pleas(
    models: Sequence[State],
    program: Program,
    batches: Callable[[], Iterable[Inputs]],
    *,
    wide: Wide | None = None,
    ridge: float = RIDGE,
    passes: int = PASSES,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Pleas:
    """Merges networks that need not share a base; labels are not used.

    Every layer that multiplies by a parameter is solved for in turn, on what reaches it in the merged network, for the
    mean of what it gives in the networks; then all is trained towards their mean outputs.

    Args:
        models: Weights of the networks, aligned to the first.
        program: Their network.
        batches: Starts a pass over calls of the network, the same ones every time.
        wide: The merged network, where it is to have another width, see `weightspace.merge.sized.sized`.
        ridge: See `weightspace.stats.linear.LinearMoments.solve`.
        passes: Passes of distillation over the data; 0 for least squares alone.
        seed: Seed of everything random.
        progress: Called with (steps done, steps in all, what is going on), for least squares and then for distillation.

    Raises:
        CheckpointMismatchError: The networks differ in a name or a shape.
        DataError: No batch.
        SourceError: The network runs other operators than its trace.
    """
    start = average(models) if wide is None else wide.state
    solved = refit_in_turn(program, models, start, batches, wide=wide, ridge=ridge, progress=progress)
    state, losses = solved.state, ()
    if passes:
        trained = distill(program, models, state, batches, passes=passes, wide=wide, seed=seed, progress=progress)
        state, losses = trained.state, trained.losses
    if wide is None:
        return Pleas(program, state, solved.residuals, losses)
    stored = Stored.of(wide)
    return Pleas(stored.program, stored.state(state), solved.residuals, losses, stored)
