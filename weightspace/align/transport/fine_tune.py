"""A fine-tune of one base, carried over to another: B + g (F - A), with g the element that brings A to B.

Task arithmetic (Ilharco et al. 2023) across bases that do not share coordinates; TransFusion (Rinaldi et al. 2025,
section 4) does it for transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from weightspace.align.alignment import Alignment
from weightspace.align.transport.permuting import check_permuting
from weightspace.align.transport.whole import moved_whole
from weightspace.errors import CheckpointMismatchError


@dataclass
class Transported(Mapping[str, Tensor]):
    """The fine-tune on the other base, each tensor made when it is read.

    Attributes:
        fine: F, the fine-tune of A.
        base: A.
        target: B.
        alignment: Brings A to B.
        scale: How much of the difference is added.
        replaced: Names of tensors that were taken over whole, known once they were read: A has none of that shape.
    """

    fine: Mapping[str, Tensor]
    base: Mapping[str, Tensor]
    target: Mapping[str, Tensor]
    alignment: Alignment
    scale: float = 1.0
    replaced: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Tensor:
        tuned, base = self.fine[name], self.base[name]
        spec, element = self.alignment.spec, self.alignment.element
        if tuned.shape != base.shape and spec.aliases.get(name, name) in spec.tensors:
            if name not in self.replaced:
                self.replaced.append(name)
            return moved_whole(spec, element, spec.aliases.get(name, name), tuned, f"tensor '{name}' of the fine-tune")
        if not tuned.is_floating_point():
            return tuned
        target = self.target[name].double()
        moved = target + self.scale * spec.apply_tensor(element, name, tuned.double() - base.double())
        known = spec.tensors.get(spec.aliases.get(name, name))
        if known is not None and known.kind == "statistic" and bool((target >= 0).all() and (tuned >= 0).all()):
            moved = moved.clamp(min=0)  # a variance
        return moved.to(tuned.dtype)

    def __contains__(self, name: object) -> bool:
        return name in self.fine

    def __iter__(self) -> Iterator[str]:
        return iter(self.fine)

    def __len__(self) -> int:
        return len(self.fine)


def transport_fine_tune(
    fine: Mapping[str, Tensor],
    base: Mapping[str, Tensor],
    target: Mapping[str, Tensor],
    alignment: Alignment,
    *,
    scale: float = 1.0,
) -> Transported:
    """Carries a fine-tune over to another base.

    Args:
        fine: F, fine-tuned from `base`. A tensor whose size differs from that of the base along axes that no group
            moves, as a classifier with other classes has, is taken over whole in the new coordinates.
        base: A.
        target: B, of the same architecture as A.
        alignment: Of A to B: `align(target, base, spec)`.
        scale: How much of the difference is added.

    Returns:
        B + scale * g (F - A), lazily, in the types of F. Running variances are kept from becoming negative.

    Raises:
        AlignmentError: If the alignment does more than permute.
        CheckpointMismatchError: If F has a tensor that A or B lacks, or lacks one of theirs.
    """
    check_permuting(alignment)
    for name in fine:
        missing = [which for which, state in (("A", base), ("B", target)) if name not in state]
        if missing:
            raise CheckpointMismatchError(
                f"tensor '{name}' of the fine-tune: expected it in {missing[0]}, too, found none; give the bases with "
                "the architecture of the fine-tune"
            )
    for name in base:
        if name not in fine:
            raise CheckpointMismatchError(f"tensor '{name}' of A: expected it in the fine-tune, too, found none")
    return Transported(fine, base, target, alignment, scale)
