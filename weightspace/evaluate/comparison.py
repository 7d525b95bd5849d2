"""Two networks side by side: tensor by tensor, group by group, with a verdict on their lineage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from weightspace.errors import CheckpointMismatchError
from weightspace.evaluate.lineage import ROUNDINGS, Evidence, Verdict, judge
from weightspace.evaluate.nearest import Nearest, Progress, largest_distance, mean_cosine, nearest
from weightspace.evaluate.singular import SingularDifference, singular_difference
from weightspace.evaluate.tensors import TensorDifference, coarsest, difference, widened
from weightspace.evaluate.units import Recognised, recognised, together
from weightspace.source.mismatch import COUNTER
from weightspace.symmetry.freedom import KINDS
from weightspace.symmetry.verify import relative_error

if TYPE_CHECKING:
    from weightspace.source import Program
    from weightspace.symmetry import Spec


@dataclass(frozen=True, slots=True)
class GroupDifference:
    """One symmetry group of two networks.

    Attributes:
        name: The group.
        size: Number of its units.
        copies: How many permutations it has.
        moved: Units that the alignment moved; None where canonical forms led further.
        units: Units recognised as they are.
        units_aligned: Units recognised once B is aligned.
    """

    name: str
    size: int
    copies: int
    moved: int | None
    units: Recognised
    units_aligned: Recognised

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {
            "name": self.name,
            "size": self.size,
            "copies": self.copies,
            "moved": self.moved,
            "units": self.units.to_json(),
            "units_aligned": self.units_aligned.to_json(),
        }


@dataclass(frozen=True)
class Comparison:
    """What was found out about A and B.

    Attributes:
        verdict: `identical` (the same weights), `equivalent` (the same up to symmetry), `fine-tuned` (of one lineage:
            one from the other, or both from one start), or `unrelated`.
        reason: Why, in a sentence.
        evidence: The numbers behind it; None between networks of different architectures.
        tensors: One by one, counters aside.
        groups: One by one; empty where no network was needed or known.
        singular: Of every matrix that can be decomposed; empty likewise.
        kinds: Kinds of symmetry that the alignment used.
        aligned: B in the coordinates of A; None without an alignment.
    """

    verdict: Verdict
    reason: str
    evidence: Evidence | None
    tensors: tuple[TensorDifference, ...] = ()
    groups: tuple[GroupDifference, ...] = ()
    singular: tuple[SingularDifference, ...] = ()
    kinds: tuple[str, ...] = ()
    aligned: Mapping[str, Tensor] | None = None

    def to_json(self) -> dict[str, object]:
        """Everything but the aligned weights, as plain values."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "evidence": None if self.evidence is None else self.evidence.to_json(),
            "kinds": list(self.kinds),
            "tensors": [each.to_json() for each in self.tensors],
            "groups": [each.to_json() for each in self.groups],
            "singular": [each.to_json() for each in self.singular],
        }


def compare_stored(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Comparison | None:
    """What can be said without a network; tensors are read one at a time.

    Args:
        a: Weights of A.
        b: Weights of B.

    Returns:
        The verdict where A and B hold the same numbers or are of different architectures, else None.
    """
    apart = unlike(a, b)
    if apart is not None:
        return Comparison("unrelated", f"different architectures: {apart}", None)
    names = [name for name in a if not name.endswith(COUNTER)]
    rows = []
    for name in names:
        row = difference(name, a[name], b[name])
        if not row.equal:
            return None
        rows.append(row)
    verdict, reason = judge(Evidence(True, 0.0, 0.0, 1.0))
    return Comparison(verdict, reason, Evidence(True, 0.0, 0.0, 1.0), tuple(rows))


def unlike(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> str | None:
    """The first tensor in which two architectures differ, in words; None where they are the same, counters aside."""
    for here, there, which, other in ((a, b, "A", "B"), (b, a, "B", "A")):
        missing = [name for name in here if name not in there and not name.endswith(COUNTER)]
        if missing:
            more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
            return f"{missing[0]} of {which} is not in {other}{more}"
    for name in a:
        if name in b and tuple(a[name].shape) != tuple(b[name].shape):
            return f"{name} has shape {tuple(a[name].shape)} in A and {tuple(b[name].shape)} in B"
    return None


def compare(
    a: Mapping[str, Tensor],
    b: Mapping[str, Tensor],
    spec: Spec,
    *,
    program: Program | None = None,
    kinds: Sequence[str] = ("permutation", *KINDS),
    restarts: int = 1,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Comparison:
    """Compares two networks of one architecture, as they are and with B aligned, and judges where they come from.

    Lineage goes by units. In networks that were trained apart the order of units is arbitrary, so that those of the
    same number have nothing to do with each other; training from common weights keeps every unit where it is, and
    nearest to what it was. Networks of one lineage whose units were permuted since show it once they are aligned.

    Args:
        a: Weights of A, by the names of the spec; counters of seen batches may be missing.
        b: Weights of B.
        spec: The symmetry.
        program: The network, to compare outputs on its example inputs.
        kinds: Kinds of symmetry to align by; those that the network has not are passed over.
        restarts: Starts of the alignment.
        seed: Seed of everything random.
        device: Where to align.
        progress: Called with (steps done, steps in all, what is going on).

    Returns:
        Rows, evidence and verdict.

    Raises:
        AlignmentError: The weights hold NaN or infinity.
        CheckpointMismatchError: A tensor of the spec is missing or has another shape.
    """
    apart = unlike(a, b)
    if apart is not None:
        raise CheckpointMismatchError(f"expected two networks of one architecture, found that {apart}")
    a, b = (_counted(state, spec) for state in (a, b))
    step = coarsest(a, b)
    found = nearest(
        a, b, spec, kinds=kinds, enough=ROUNDINGS * step, restarts=restarts, seed=seed, device=device, progress=progress
    )
    moved = found.tensors
    names = [name for name in spec.tensors if not name.endswith(COUNTER)]
    rows = tuple(difference(name, a[name], b[name], moved[name]) for name in names)
    before, after = recognised(spec, a, b), recognised(spec, a, moved)
    matrices = [name for name in names if spec.tensors[name].kind == "parameter" and a[name].dim() > 1]
    evidence = Evidence(
        equal=all(row.equal for row in rows),
        step=step,
        distance=largest_distance(spec, a, b),
        cosine=mean_cosine(spec, a, b),
        distance_aligned=found.distance,
        entries_aligned=_entries(spec, a, moved),
        cosine_aligned=mean_cosine(spec, a, moved),
        units=together(spec, before),
        units_aligned=together(spec, after),
        outputs=None if program is None else relative_error(*(program.outputs(widened(state)) for state in (b, a))),
    )
    singular = (singular_difference(name, a[name], b[name], moved[name]) for name in matrices)
    verdict, reason = judge(evidence)
    return Comparison(
        verdict, reason, evidence, rows, _groups(spec, found, before, after),
        tuple(each for each in singular if each is not None), found.kinds, moved,
    )  # fmt: skip


def _counted(state: Mapping[str, Tensor], spec: Spec) -> dict[str, Tensor]:
    """The tensors of the spec, with a counter where a file has none."""
    return {
        name: torch.tensor(0) if name.endswith(COUNTER) and name not in state else state[name]
        for name in spec.tensors
        if name in state or name.endswith(COUNTER)
    }


def _groups(
    spec: Spec, found: Nearest, before: Mapping[str, Recognised], after: Mapping[str, Recognised]
) -> tuple[GroupDifference, ...]:
    element = None if found.alignment is None else found.alignment.element
    rows = []
    for group in spec.groups:
        copies = spec.identity().perm(group.name).numel() // group.size
        moved = 0 if found.as_it_is else None if element is None else element.moved(group.name)
        units = before.get(group.name, Recognised()), after.get(group.name, Recognised())
        rows.append(GroupDifference(group.name, group.size, copies, moved, *units))
    return tuple(rows)


def _entries(spec: Spec, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """The largest |B - A| / |A| of a single parameter; where A is 0, infinite unless B is too."""
    largest = 0.0
    for name, tensor in spec.tensors.items():
        if tensor.kind == "parameter" and a[name].is_floating_point() and a[name].numel():
            x, y = a[name].double(), b[name].double()
            ratio = torch.where(x == y, 0.0, (y - x).abs() / x.abs())
            largest = max(largest, float(ratio.max()))
    return largest
