"""Which operators of a forward pass its outputs depend on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from weightspace.symmetry.call import Call, TensorRef


def reaching(calls: Sequence[Call], outputs: Iterable[TensorRef]) -> tuple[Call, ...]:
    """The calls that reach an output, in their order.

    Networks compute things that nobody asked for: a pooled state beside the one that is returned, the scores of a head
    that is thrown away. Such operators constrain nothing, and weights that only they read have no function to keep.

    Args:
        calls: In the order in which they ran.
        outputs: What the network returns.
    """
    # By storage, so that a write through a view reaches whoever reads it through another.
    live = {ref.storage for ref in outputs}
    kept = []
    for call in reversed(calls):
        if any(ref.storage in live for ref in (*call.outputs, *call.written)):
            live.update(ref.storage for ref in call.inputs)
            kept.append(call)
    return tuple(reversed(kept))
