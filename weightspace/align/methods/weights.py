"""Weight matching (Git Re-Basin, Ainsworth et al. 2022, section 3.2), with balanced blocks or with the plain sum."""

from __future__ import annotations

from dataclasses import replace

from weightspace.align.journal import Journal
from weightspace.align.method import Found, Request, method
from weightspace.align.methods.activations import NEEDS, match_correlation
from weightspace.align.position import Best
from weightspace.align.search import Search
from weightspace.align.settle import settle


@method("weights", balanced=True)
def match_balanced(request: Request) -> Found:
    """Coordinate descent on the sum of inner products of balanced blocks (see `weightspace.align.balance`)."""
    return _match(request, balance=True)


@method("git-rebasin", balanced=False)
def match_plain(request: Request) -> Found:
    """Coordinate descent on the plain sum of inner products, the objective exactly as the paper has it."""
    return _match(request, balance=False)


@method("weights-activations", balanced=True, needs=NEEDS)
def match_from_activations(request: Request) -> Found:
    """As ``weights``, with activation matching as one more start: the objective is the same, and often ends higher.

    Raises:
        DataError: No data.
        SourceError: The activations of this network cannot be told apart.
    """
    found = match_correlation(request)
    problem = request.problem(balance=True)
    problem.move_to(found.element)
    sweeps = settle(problem, seed=request.seed)
    start = Best(problem.objective(), problem.element, sweeps)
    problem.move_to(request.spec.identity())
    return replace(_match(request, balance=True, start=start), figures=found.figures)


def _match(request: Request, *, balance: bool, start: Best | None = None) -> Found:
    problem = request.problem(balance=balance)
    journal = None
    if request.journal is not None:
        settings = f"balance {balance}, {request.restarts} starts, seed {request.seed}"
        if start is not None:
            settings += f", given {start.objective!r}"
        journal = Journal(request.journal, settings)
    search = Search(problem, restarts=request.restarts, seed=request.seed, progress=request.progress, journal=journal)
    if start is not None and start.objective > search.best.objective:
        search.best = start
    sweeps = search.run()
    return Found(problem.element, sweeps)
