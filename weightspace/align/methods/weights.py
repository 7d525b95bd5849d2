"""Weight matching (Git Re-Basin, Ainsworth et al. 2022, section 3.2), with balanced blocks or with the plain sum."""

from __future__ import annotations

from weightspace.align.descent import descend_from_starts
from weightspace.align.method import Found, Request, method


@method("weights", balanced=True)
def match_balanced(request: Request) -> Found:
    """Coordinate descent on the sum of inner products of balanced blocks (see `weightspace.align.balance`)."""
    return _match(request, balance=True)


@method("git-rebasin", balanced=False)
def match_plain(request: Request) -> Found:
    """Coordinate descent on the plain sum of inner products, the objective exactly as the paper has it."""
    return _match(request, balance=False)


def _match(request: Request, *, balance: bool) -> Found:
    problem = request.problem(balance=balance)
    sweeps = descend_from_starts(problem, restarts=request.restarts, seed=request.seed, progress=request.progress)
    return Found(problem.element, sweeps)
