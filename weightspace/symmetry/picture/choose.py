"""Which tensors a picture shows, and when there are too many to see anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

from weightspace.errors import SpecError
from weightspace.symmetry.spec import Spec

MOST_TENSORS = 200


def chosen_tensors(spec: Spec, only: str | None) -> list[str]:
    """Names of the tensors to draw, in their order; those with a single entry have no axis to show.

    Args:
        spec: What to draw.
        only: The module whose tensors are wanted; None for all.

    Raises:
        SpecError: There are none, or more than `MOST_TENSORS`.
    """
    names = [name for name, tensor in spec.tensors.items() if any(size > 1 for size in tensor.shape)]
    if only is not None:
        prefix = only.rstrip(".") + "."
        chosen = [name for name in names if f"{name}.".startswith(prefix)]
        if not chosen:
            modules = {name[:at] for name in names for at, letter in enumerate(name) if letter == "."}
            near = get_close_matches(only, sorted(modules), n=3) or sorted(modules)[:3]
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise SpecError(f"{only}: expected the name of a module with tensors, found none in it{hint}")
        names = chosen
    if not names:
        raise SpecError("expected tensors to draw, found none; name a network with parameters")
    if len(names) > MOST_TENSORS:
        part = _largest_part(names)
        example = f", for example --only {part}" if part else ""
        raise SpecError(
            f"expected at most {MOST_TENSORS} tensors, so that a picture can be read, found {len(names):,}; draw a "
            f"module of the network{example}"
        )
    return names


def _largest_part(names: Sequence[str]) -> str | None:
    """The module with the most tensors of those that can be drawn; the first of equals."""
    counts = Counter(name[:at] for name in names for at, letter in enumerate(name) if letter == ".")
    fitting = {module: count for module, count in counts.items() if count <= MOST_TENSORS}
    return max(fitting, key=lambda module: fitting[module], default=None)
