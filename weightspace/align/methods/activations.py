"""Activation matching (Git Re-Basin, Ainsworth et al. 2022, section 3.1): units that fire together belong together."""

from __future__ import annotations

from weightspace.align.dead import match_dead
from weightspace.align.freedoms.sign_layout import sign_layouts
from weightspace.align.method import Found, Request, method
from weightspace.align.nested import match_similarities
from weightspace.align.settle import settle
from weightspace.align.similarity import Measure, similarities
from weightspace.symmetry.taps import Depth

NEEDS = ("program", "batches")


@method("activations", balanced=True, needs=NEEDS)
def match_correlation(request: Request) -> Found:
    """Pearson correlation where a group is read: after activation functions, after the norm of a residual stream."""
    return match_activations(request, depth="read", measure="correlation")


@method("activations-pre", balanced=True, needs=NEEDS)
def match_before(request: Request) -> Found:
    """Pearson correlation where a group is made: before norms and activation functions."""
    return match_activations(request, depth="made", measure="correlation")


@method("activations-all", balanced=True, needs=NEEDS)
def match_everywhere(request: Request) -> Found:
    """Pearson correlation, summed over all places where a group can be seen."""
    return match_activations(request, depth="all", measure="correlation")


@method("activations-inner", balanced=True, needs=NEEDS)
def match_inner_products(request: Request) -> Found:
    """Mean products E[a b] where a group is read."""
    return match_activations(request, depth="read", measure="product")


def match_activations(request: Request, *, depth: Depth, measure: Measure) -> Found:
    """Matches every group by the similarity of its units on data.

    A group that cannot be seen in activations on its own (hidden units of token mixing) goes by the weights, with the
    others held, and so do units that never fire on the data. Where signs may change, units that always fire oppositely
    are alike.

    Args:
        request: With the network and data.
        depth: Where activations are taken, see `weightspace.symmetry.taps.Tap`.
        measure: What similarity is.

    Raises:
        DataError: No data.
        SourceError: The activations of this network cannot be told apart.
    """
    assert request.program is not None
    assert request.batches is not None
    a, b = request.held("a"), request.held("b")
    progress = request.progress
    found = similarities(
        request.program, a, b, request.spec, request.batches(), depth=depth, measure=measure,
        progress=None if progress is None else lambda done: progress(0, 1, f"batch {done}"),
    )  # fmt: skip
    similar = found.of
    if "sign" in request.kinds:  # a unit whose sign is free may fire the other way round; which, the weights say later
        signed = sign_layouts(request.spec)
        similar = {group: values.abs() if group in signed else values for group, values in similar.items()}
    element = match_similarities(request.spec, similar)
    unseen = [group.name for group in request.spec.groups if group.name not in element.perms]
    problem = request.problem(balance=True)
    problem.move_to(element)
    if unseen:
        settle(problem, seed=request.seed, only=unseen)
    match_dead(problem, similar)
    element = problem.element
    figures = {"samples": found.samples, "taps": found.taps, "unseen_groups": len(unseen)}
    return Found(element, 1, figures, by_weights=False)
