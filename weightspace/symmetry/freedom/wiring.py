"""Which calls of a trace make and read each tensor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from weightspace.symmetry.call import Call
from weightspace.symmetry.trace import Trace


class Wiring:
    """Which calls of a trace make and read each tensor."""

    def __init__(self, trace: Trace) -> None:
        self.values = trace.values
        self.owned = {ref.key: name for name, ref in trace.tensors.items()}
        self.outputs = {ref.key for ref in trace.outputs}
        self.makers = {ref.key: call for call in trace.calls for ref in call.outputs}
        self.order = {id(call): number for number, call in enumerate(trace.calls)}
        self.readers: dict[int, list[Call]] = defaultdict(list)
        for call in trace.calls:
            for ref in call.inputs:
                self.readers[ref.key].append(call)

    def in_order(self, calls: Iterable[Call]) -> list[Call]:
        """Calls in the order in which they ran."""
        return sorted(calls, key=lambda call: self.order[id(call)])
