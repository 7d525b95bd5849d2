"""What `wsp spec` says about a spec: tables for people, a document for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weightspace.symmetry.acting import acting_groups
from weightspace.symmetry.freedom.freedom import KINDS
from weightspace.symmetry.frozen import frozen_shares
from wsp.console import Console, counted
from wsp.folding import fold
from wsp.reasons import kind_of, meaning_of

if TYPE_CHECKING:
    from weightspace.symmetry.spec import Spec
    from weightspace.symmetry.verify import Verification

_AXES_SHOWN = 3
_EXAMPLES_SHOWN = 1
_ROWS_UNFOLDED = 24


def show_spec(
    console: Console, model: str, spec: Spec, verification: Verification | None, written: Mapping[str, str | None]
) -> None:
    """Write everything about a spec to stdout; `written` names the files that were made of it, for the document."""
    if spec.looks:
        console.note(
            f"the network looks at the values of its input at {', '.join(spec.looks)}: what is derived holds where "
            "they lead the same way as those of the example"
        )
    console.document({**_document(model, spec, verification), **written, "notes": console.notes})
    _show_groups(console, model, spec)
    beside = Counter(freedom.kind for freedom in spec.freedoms.all)
    share = f"{100 * spec.completeness:.1f} % of the parameters lie on an axis that moves"
    console.line(f"{counted(len(spec.groups), 'group')} of permutations; {share}")
    if beside:
        kinds = ", ".join(f"{beside[kind]:,} of {kind}" for kind in KINDS if beside[kind])
        console.line(f"{counted(beside.total(), 'further freedom')}: {kinds}")
    _show_frozen(console, spec)
    if spec.uncovered:
        operators = sorted(spec.uncovered, key=lambda operator: -operator.calls)
        console.table(
            ("operators without a rule", "#calls", "first at"),
            [(each.operator, f"{each.calls:,}", each.place or "") for each in operators],
        )
    if verification is not None:
        _show_verification(console, verification)


def _show_groups(console: Console, model: str, spec: Spec) -> None:
    rows = []
    for each in fold(acting_groups(spec), longest=_ROWS_UNFOLDED):
        first = each.groups[0]
        size = f"{first.group.size:,}"
        rows.append(
            (
                each.name,
                size if len(each.groups) == 1 else f"{len(each.groups)} groups of {size}",
                ", ".join(first.words),
                _some(each.without_folder(each.axes), _AXES_SHOWN),
                ", ".join(each.without_folder(each.depends_on)),
            )
        )
    if rows:
        console.table(("group", "#size", "kinds", "tensors [axis]", "depends on"), rows, title=model)
    else:
        console.line(f"{model}: nothing can be permuted")


def _show_frozen(console: Console, spec: Spec) -> None:
    rows = [
        (
            share.reason,
            f"{len(share.axes):,}",
            f"{share.parameters:,}",
            f"{share.unmoved:,}",
            meaning_of(share.reason),
            _some([f"{axis.tensor}[{axis.axis}]" for axis in share.axes], _EXAMPLES_SHOWN),
        )
        for share in frozen_shares(spec, kind_of)
    ]
    if rows:
        console.table(("frozen by", "#axes", "#parameters", "#never moved", "that is", "for example"), rows)


def _show_verification(console: Console, result: Verification) -> None:
    console.line(
        f"{'verified' if result.verified else 'NOT verified'}: random elements change the output by at most "
        f"{result.max_error:.1e} (allowed {result.tolerance:.1e}, rounding alone {result.noise:.1e})"
    )
    if result.wrong:
        console.line(f"these groups change the function: {', '.join(result.wrong)}")
    if result.idle:
        console.line(f"the output does not depend on the weights of these: {', '.join(result.idle)}")
    if result.insensitive:
        console.line(f"a wrong element of these did not change the function: {', '.join(result.insensitive)}")


def _some(items: tuple[str, ...] | list[str], most: int) -> str:
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most:,} more"


def _document(model: str, spec: Spec, verification: Verification | None) -> dict[str, Any]:
    return {
        "model": model,
        "hash": spec.hash,
        "groups": [
            {
                "name": each.group.name,
                "size": each.group.size,
                "kinds": list(each.kinds),
                "freedoms": {kind: count for kind, count in each.kinds.items() if kind != "permutation"},
                "depends_on": list(each.group.depends_on),
                "axes": [{"tensor": tensor, "axis": axis} for tensor, axis in each.axes],
            }
            for each in acting_groups(spec)
        ],
        "completeness": spec.completeness,
        "frozen": [{"tensor": f.tensor, "axis": f.axis, "size": f.size, "reason": f.reason} for f in spec.frozen],
        "frozen_by_reason": [share.to_json() for share in frozen_shares(spec)],
        "uncovered": [operator.to_json() for operator in spec.uncovered],
        "looks_at_input": list(spec.looks),
        "verified": None if verification is None else verification.verified,
        "max_error": None if verification is None else verification.max_error,
        "verification": None if verification is None else verification.to_json(),
    }
