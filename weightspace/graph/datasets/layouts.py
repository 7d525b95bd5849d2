"""The graph layouts of several specs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from weightspace.graph.layout import GraphLayout, graph_layout
from weightspace.symmetry import Spec


class Layouts(Mapping[str, GraphLayout]):
    """Layouts by the hash of their spec; each is laid out once, when it is first asked for.

    Args:
        specs: Of the networks.
    """

    def __init__(self, specs: Iterable[Spec] = ()) -> None:
        self._specs: dict[str, Spec] = {}
        self._laid_out: dict[str, GraphLayout] = {}
        for spec in specs:
            self.add(spec)

    def add(self, spec: Spec) -> GraphLayout:
        """The layout of a spec; of one with the same hash, where that was added before."""
        return self[self._specs.setdefault(spec.hash, spec).hash]

    def __getitem__(self, spec_hash: str) -> GraphLayout:
        if spec_hash not in self._laid_out:
            self._laid_out[spec_hash] = graph_layout(self._specs[spec_hash])
        return self._laid_out[spec_hash]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)
