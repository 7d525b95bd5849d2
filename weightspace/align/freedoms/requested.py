"""The freedoms that a request asks for, on top of what a method has found."""

from __future__ import annotations

from weightspace.align.freedoms.settle import settle_freedoms
from weightspace.align.method import Progress, Request
from weightspace.symmetry import Element, Transformation


def freed(
    request: Request, element: Element, *, permuting: bool = True, progress: Progress | None = None
) -> Transformation:
    """The element as it is where no freedoms are asked for, else what `settle_freedoms` makes of it.

    Args:
        request: What is to be aligned, and how.
        element: What a method has found.
        permuting: See `settle_freedoms`.
        progress: See `settle_freedoms`.
    """
    start = Transformation(request.spec, element)
    if not request.kinds:
        return start
    return settle_freedoms(
        request.held("a"), request.held("b"), start, request.kinds,
        device=request.device, restarts=request.restarts, seed=request.seed, memory=request.memory,
        permuting=permuting, progress=progress,
    )  # fmt: skip
