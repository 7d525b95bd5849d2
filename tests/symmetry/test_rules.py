"""Every rule against numbers: operators run on permuted operands, and the derived symmetry must be all there is."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.symmetry import rules
from tests.symmetry.samples import Sample, check, check_values, derived, sample
from weightspace.symmetry.call import Call
from weightspace.symmetry.context import Context
from weightspace.symmetry.label import Atom, Labels
from weightspace.symmetry.rules import Rule, covered, find_rule, registry
from weightspace.symmetry.rules.factory import constant
from weightspace.symmetry.rules.pointwise import pointwise
from weightspace.symmetry.rules.registry import rule

aten = torch.ops.aten
FAMILIES = sorted(module.name for module in pkgutil.iter_modules(rules.__path__))
SAMPLES = [
    pytest.param(entry, id=f"{family}-{entry}")
    for family in FAMILIES
    for entry in importlib.import_module(f"tests.symmetry.rules.{family}").SAMPLES
]


@pytest.mark.parametrize("entry", SAMPLES)
def test_derived_symmetry_is_that_of_the_operator(entry: Sample):
    check(entry)


def test_every_rule_has_a_sample():
    sampled = {param.values[0].op for param in SAMPLES}
    assert [str(op) for op in covered() if op not in sampled] == []


def test_every_family_of_rules_has_a_family_of_samples():
    package = importlib.import_module("weightspace.symmetry.rules").__path__
    families = {module.name for module in pkgutil.iter_modules(package)} - {"registry"}
    assert families == set(FAMILIES)


def alike(context: Context, call: Call) -> Labels:
    """The labels of the first operand, whatever the operator does."""
    return context.get(call.inputs[0])


@pytest.mark.parametrize(
    ("op", "wrong", "run", "shapes"),
    [
        (aten.mm.default, pointwise, torch.mm, [(4, 4), (4, 4)]),
        (aten.cumsum.default, alike, lambda x: x.cumsum(1), [(3, 4)]),
        (aten.t.default, alike, torch.t, [(4, 4)]),
        (aten.add.Tensor, alike, torch.add, [(3, 4), (4,)]),
        (aten.neg.default, constant, torch.neg, [(3, 4)]),
        # Independent permutations of the columns in every row: the softmax over the rows has none.
        (aten._softmax.default, alike, lambda x, y: (x.softmax(0) * y).sum(1), [(3, 4), (3, 4)]),
    ],
)
def test_wrong_rules_are_found_by_the_values(
    op: torch._ops.OpOverload,
    wrong: Rule,
    run: Callable[..., Tensor],
    shapes: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(registry._TABLE, op, wrong)
    entry = sample(op, "", run, *shapes)
    with pytest.raises(AssertionError, match="not close"):
        check_values(entry, derived(entry))


WITHOUT_RULE = [
    (aten.linalg_householder_product.default, lambda x: torch.linalg.householder_product(x, x[0])),
    (aten._cdist_backward.default, lambda x: aten._cdist_backward(x, x, x, 2.0, x)),
    (aten.take.default, lambda x: x.take(torch.tensor([[0, 1, 1, 0]] * 4))),
    (aten._linalg_det.default, lambda x: x * torch.linalg.det(x)),
    (aten.put_.default, lambda x: put(x)),
]


def put(x: Tensor) -> Tensor:
    """Writes through a view, by an operator that no rule understands, into storage that is read elsewhere."""
    z = torch.zeros_like(x)
    z += x
    z[1:].put_(torch.tensor([0, 2, 5, 6]), x[0])
    return z


@pytest.mark.parametrize(("op", "run"), WITHOUT_RULE, ids=[str(op) for op, _ in WITHOUT_RULE])
def test_operators_without_a_rule_freeze_what_they_touch(op: torch._ops.OpOverload, run: Callable[[Tensor], Tensor]):
    assert find_rule(op) is None, "it has a rule by now: give it samples, and take another operator here"
    entry = sample(op, "", lambda u, v, w, b: (u @ v @ run(w), b.exp()), (3, 4), (4, 4), (4, 4), (5,))
    found = derived(entry)
    uncovered = found.context.uncovered[str(op)]
    assert uncovered.calls == 1
    assert uncovered.place is not None
    assert uncovered.place.rpartition(":")[0] == Path(__file__).name
    reasons = {label.frozen for label in found.operands[2] if isinstance(label, Atom)}
    assert reasons == {f"no rule for {op} at {uncovered.place}"}
    assert all(isinstance(label, Atom) and label.frozen is None for label in (*found.operands[0], *found.operands[3]))
    check_values(entry, found)


def test_an_overload_has_one_rule():
    with pytest.raises(ValueError, match=r"aten.mm.default has two rules"):
        rule(aten.mm.default)(lambda context, call: [])
