"""The file in which a search writes down where it is, so that it can go on after it was killed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from weightspace.align.noted import UNREADABLE, read_noted, write_noted
from weightspace.align.position import Best, Position
from weightspace.align.problem import Problem
from weightspace.errors import AlignmentError
from weightspace.symmetry import Element

METADATA_KEY = "wsp.search"
_NOW, _BEST, _RANDOM = "now.", "best.", "random"


class Journal:
    """A file that holds where a search is; replaced whole at every note.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str | os.PathLike[str], settings: str) -> None:
        """Names the file.

        Args:
            path: Where it lies, or will.
            settings: What the search was asked for: another answer is another search.
        """
        self.path = Path(path)
        self._settings = settings

    def write(self, problem: Problem, at: Position, best: Best) -> None:
        """Notes where a search is, atomically.

        Raises:
            OutputError: If the folder or the disk refuses.
        """
        tensors = {_RANDOM: at.random}
        for prefix, element in ((_NOW, problem.element), (_BEST, best.element)):
            tensors |= {prefix + name: perm for name, perm in element.perms.items()}
        noted = {
            "search": self._fingerprint(problem),
            "start": at.start, "waiting": at.waiting, "sweep": at.sweep, "order": at.order, "moved": at.moved,
            "stale": sorted(at.stale), "held": sorted(at.held),
            "objective": best.objective, "sweeps": best.sweeps,
        }  # fmt: skip
        write_noted(self.path, METADATA_KEY, noted, tensors)

    def read(self, problem: Problem) -> tuple[Position, Best] | None:
        """Takes up a search: moves a fresh problem to where it was. None where there is no file.

        Raises:
            AlignmentError: If the file is none of ours, damaged, or of another search.
        """
        if not self.path.exists():
            return None
        try:
            noted, tensors = read_noted(self.path, METADATA_KEY)
            if noted["search"] != self._fingerprint(problem):
                raise AlignmentError(
                    f"{self.path}: expected the journal of this search, found that of other weights or settings; "
                    "name another file, or remove it"
                )
            groups = problem.spec.all_groups
            now, best = (
                Element(groups, {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
                for prefix in (_NOW, _BEST)
            )
            position = Position(
                noted["start"], noted["waiting"], noted["sweep"], noted["order"], noted["moved"],
                set(noted["stale"]), set(noted["held"]), tensors[_RANDOM],
            )  # fmt: skip
            found = Best(noted["objective"], best, noted["sweeps"])
        except UNREADABLE as error:
            raise AlignmentError(
                f"{self.path}: expected the journal of a search that wsp wrote, found none ({error}); remove it"
            ) from error
        problem.move_to(now)
        return position, found

    def _fingerprint(self, problem: Problem) -> str:
        """Of the network, the settings, and the weights, by the norms of their blocks."""
        norms = [(term.block.tensor, term.weight, *pair) for term, pair in problem.norms.items()]
        text = json.dumps([problem.spec.hash, self._settings, problem.memory, norms])
        return hashlib.sha256(text.encode()).hexdigest()
