"""The plainest way to align many networks: every one with the first, and no other."""

from __future__ import annotations

from weightspace.align.many.family import Family
from weightspace.align.method import Progress
from weightspace.align.search import Search
from weightspace.symmetry import Element


def align_with_first(family: Family, *, restarts: int, seed: int, progress: Progress | None = None) -> list[Element]:
    """Aligns every network with the first by a search over weights (Git Re-Basin, Ainsworth et al. 2022, section 3.2).

    Args:
        family: The networks.
        restarts: Starts of every search.
        seed: Seed of everything random.
        progress: Told how many networks are done.
    """
    elements = [family.spec.identity()]
    for index in range(1, len(family)):
        if progress is not None:
            progress(index, len(family), f"network {index + 1} with the first")
        problem = family.pair(family.states[0], family.states[index])
        Search(problem, restarts=restarts, seed=seed).run()
        elements.append(problem.element)
    return elements
