"""Wrong rules, injected on purpose, are caught by the verifier (benchmarks/mutants.py does it for the whole table)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from tests.symmetry import networks
from tests.symmetry.mutation import judge
from tests.symmetry.mutation.exercises import Exercise, of_networks, of_samples, overloads, permutations, samples
from tests.symmetry.mutation.judge import Verdict, generators, judged, judged_shared, share_caught, sound
from tests.symmetry.mutation.operators import OPERATORS, injected
from tests.symmetry.mutation.shared import SHARED, shared
from weightspace.symmetry import Spec, Verification
from weightspace.symmetry.verify import Forward

aten = torch.ops.aten
LEAST = 0.95  # share of mutants that the verifier has to catch
RULES = (
    aten._linalg_det.default,  # has none
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._softmax.default,
    aten.add.Tensor,
    aten.addmm.default,
    aten.bmm.default,
    aten.cat.default,
    aten.convolution.default,
    aten.cumsum.default,
    aten.embedding.default,
    aten.expand.default,
    aten.max_pool2d_with_indices.default,
    aten.native_group_norm.default,
    aten.slice.Tensor,
    aten.stack.default,
    aten.topk.default,
    aten.transpose.int,
    aten.view.default,
)


@pytest.fixture(scope="module")
def exercises() -> tuple[Exercise, ...]:
    return of_samples(RULES)[0] + of_networks((networks.mlp, networks.grouped_convolutions, networks.attention))


@pytest.mark.parametrize("overload", RULES, ids=str)
def test_wrong_rules_are_caught(overload: torch._ops.OpOverload, exercises: tuple[Exercise, ...]):
    verdicts = [judged(overload, fault, exercises, samples()) for fault in OPERATORS]
    assert [(v.fault, v.passed) for v in verdicts if v.status == "escaped" or v.passed] == []
    assert sum(v.status in ("caught", "error") for v in verdicts) >= 2
    assert sum(len(v.refused) for v in verdicts) >= 2


@pytest.mark.parametrize("fault", SHARED)
def test_faults_of_what_rules_share_are_caught(fault: str, exercises: tuple[Exercise, ...]):
    found = judged_shared(fault, exercises[::2], ())
    assert found.status in ("caught", "error", "equivalent")
    assert found.passed == ()


@pytest.mark.slow
def test_wrong_rules_of_the_whole_table_are_caught():
    every, without = of_samples()
    every += of_networks()
    assert len(without) < 5
    verdicts = [judged(overload, fault, every, samples()) for overload in overloads() for fault in OPERATORS]
    verdicts += [judged_shared(fault, every, samples()) for fault in SHARED]
    counts = Counter(verdict.status for verdict in verdicts)
    assert counts["caught"] > 900
    assert share_caught(verdicts) >= LEAST, [v for v in verdicts if v.status == "escaped"]
    assert [v for v in verdicts if v.passed] == []
    # Tensors without values that differ, and reductions of all dimensions, leave little to get wrong.
    shown = {v.rule for v in verdicts if v.status in ("caught", "error", "restricting")}
    assert len(shown) > 0.9 * len({v.rule for v in verdicts})


# ----------------------------------------------------------------------------------------------- the judge itself


@pytest.fixture(scope="module")
def scans() -> tuple[Exercise, ...]:
    return of_samples((aten.cumsum.default,))[0]


def verdict_of(fault: str, scans: tuple[Exercise, ...]) -> Verdict:
    return judged(aten.cumsum.default, fault, scans, samples())


def test_a_blind_verifier_lets_mutants_escape(scans: tuple[Exercise, ...], monkeypatch: pytest.MonkeyPatch):
    def blind(spec: Spec, forward: Forward, state: Mapping[str, Tensor]) -> Verification:
        return Verification(True, 0.0, 0.0, 1e-6, (), (), ())

    assert verdict_of("fresh outputs", scans).status == "caught"
    monkeypatch.setattr(judge, "verify", blind)
    found = verdict_of("fresh outputs", scans)
    assert found.status == "escaped"
    assert found.passed
    assert not found.refused
    assert share_caught([found, found, verdict_of("wrong factor", scans)]) == 0


def test_a_fault_that_the_rule_has_no_place_for_is_equivalent(scans: tuple[Exercise, ...]):
    assert verdict_of("wrong part", scans).status == "equivalent"
    assert verdict_of("operand 4 ignored", scans).exercises == len(scans) > 0


def test_a_failing_derivation_is_an_error(scans: tuple[Exercise, ...], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(OPERATORS, "fails", lambda rule: lambda context, call: 1 / 0)
    found = verdict_of("fails", scans)
    assert found.status == "error"
    assert share_caught([found]) == 1


def test_freezing_everything_is_restricting(scans: tuple[Exercise, ...], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(OPERATORS, "unknown", lambda rule: lambda context, call: context.unknown(call))
    assert verdict_of("unknown", scans).status == "restricting"


def test_a_fault_is_gone_when_its_block_ends(scans: tuple[Exercise, ...]):
    (exercise, *_) = scans
    for injection in (injected(aten.cumsum.default, "fresh outputs"), shared("freeze does nothing")):
        with injection:
            assert permutations(exercise.recorded).hash != exercise.spec.hash
        assert permutations(exercise.recorded).hash == exercise.spec.hash


def test_generators_reach_every_inner_index_of_a_wreath_product(exercises: tuple[Exercise, ...]):
    attention = exercises[-1]
    group = next(group for group in attention.spec.groups if group.depends_on)
    size = next(outer.size for outer in attention.spec.groups if outer.name == group.depends_on[0])
    found = [element for element in generators(attention.spec) if group.name in element.perms]
    assert len(found) == size * (group.size - 1)
    assert len({tuple(element.perms[group.name].flatten().tolist()) for element in found}) == len(found)
    assert all(element.moved(group.name) == 2 for element in found)
    assert sound(attention.spec, attention)
