"""Activation matching (Git Re-Basin, Ainsworth et al. 2022, section 3.1): units that fire together belong together."""

from __future__ import annotations

from weightspace.align.method import Found, Request, method
from weightspace.align.nested import match_similarities
from weightspace.align.similarity import Measure, similarities
from weightspace.symmetry.taps import Depth

NEEDS = ("program", "batches")


@method("activations", balanced=True, needs=NEEDS)
def match_correlation(request: Request) -> Found:
    """Pearson correlation, summed over all places where a group can be seen."""
    return match_activations(request, depth="all", measure="correlation")


def match_activations(request: Request, *, depth: Depth, measure: Measure) -> Found:
    """Matches every group by the similarity of its units on data.

    A group that cannot be seen in activations on its own (hidden units of token mixing) stays where it is.

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
    a, b = ({name: tensor.to(request.device) for name, tensor in state.items()} for state in (request.a, request.b))
    found = similarities(
        request.program, a, b, request.spec, request.batches(), depth=depth, measure=measure,
        progress=None if request.progress is None else lambda done: request.progress(done, done, "batches"),
    )  # fmt: skip
    element = match_similarities(request.spec, found.of)
    figures = {
        "samples": found.samples,
        "taps": found.taps,
        "unseen_groups": sum(group.name not in element.perms for group in request.spec.groups),
    }
    return Found(element, 1, figures)
