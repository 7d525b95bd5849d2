"""Weight matching (Git Re-Basin, Ainsworth et al. 2022, section 3.2), with balanced blocks or with the plain sum."""

from __future__ import annotations

from weightspace.align.journal import Journal
from weightspace.align.method import Found, Request, method
from weightspace.align.search import Search


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
    journal = None
    if request.journal is not None:
        journal = Journal(request.journal, f"balance {balance}, {request.restarts} starts, seed {request.seed}")
    search = Search(problem, restarts=request.restarts, seed=request.seed, progress=request.progress, journal=journal)
    sweeps = search.run()
    return Found(problem.element, sweeps)
