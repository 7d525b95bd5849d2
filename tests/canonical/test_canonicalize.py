"""All weights of an orbit have one canonical form, which is the same function."""

from __future__ import annotations

import pytest
import torch

from tests.canonical.orbits import ALL, State, difference, image, narrowed, network, same, weights
from weightspace.canonical import DEFAULT_KINDS, canonicalize
from weightspace.errors import SpecError
from weightspace.source import Program
from weightspace.symmetry import Spec
from weightspace.symmetry.transformation import Transformation
from weightspace.symmetry.verify import relative_error

NAMES = (
    "perceptron", "recurrent", "mlp", "cnn", "gru", "gpt2", "llama", "resnet20", "vgg", "dense", "residual", "norms",
    "grouped_convolutions", "depthwise_separable", "attention", "encoder", "lstm", "mixer", "slopes", "autoencoder",
)  # fmt: skip
SEEDS = (1, 2, 3)

Built = tuple[Program, Spec, State]


@pytest.fixture(scope="module", params=NAMES)
def built(request: pytest.FixtureRequest) -> Built:
    if request.param in ("gpt2", "llama"):
        pytest.importorskip("transformers")
    program, spec = network(request.param)
    return program, spec, weights(program, spec)


def test_permuted_weights_become_the_same_bit_for_bit(built: Built):
    _, spec, state = built
    for start in (state, narrowed(state)):
        form = canonicalize(start, spec, ("permutation",))
        assert form.unresolved == 0
        for seed in SEEDS:
            moved = spec.apply(spec.random_element(torch.Generator().manual_seed(seed)), start)
            assert same(canonicalize(moved, spec, ("permutation",)).tensors, form.tensors)
        assert same(canonicalize(form.tensors, spec, ("permutation",)).tensors, form.tensors)


@pytest.mark.parametrize("kinds", [DEFAULT_KINDS, ("permutation", "sign"), ("scale", "sign"), ("permutation", "scale")])
def test_equivalent_weights_become_the_same(built: Built, kinds: tuple[str, ...]):
    _, spec, state = built
    form = canonicalize(state, spec, kinds)
    assert form.unresolved == 0
    for seed in SEEDS:
        moved = image(spec, state, seed, kinds)
        assert difference(canonicalize(moved, spec, kinds).tensors, form.tensors) < 1e-10
    moved = image(spec, narrowed(state), 7, kinds)
    assert difference(canonicalize(moved, spec, kinds).tensors, form.tensors) < 1e-5


def test_the_function_is_preserved_and_nothing_is_left_to_do(built: Built):
    program, spec, state = built
    form = canonicalize(state, spec)
    assert relative_error(program.outputs(form.tensors), program.outputs(state)) < 1e-12
    assert difference(form.transformation.apply(state), form.tensors) < 1e-14
    assert difference(canonicalize(form.tensors, spec).tensors, form.tensors) < 1e-10


@pytest.mark.parametrize("name", ["gpt2", "llama", "encoder"])
def test_maps_inside_of_heads_become_the_same(name: str):
    program, spec = network(name)
    state = weights(program, spec)
    for kinds in (("permutation", "linear"), ALL):
        form = canonicalize(state, spec, kinds)
        assert form.unresolved == 0
        assert relative_error(program.outputs(form.tensors), program.outputs(state)) < 1e-12
        for seed in SEEDS:
            moved = image(spec, state, seed, kinds)
            assert difference(canonicalize(moved, spec, kinds).tensors, form.tensors) < 1e-9


def test_a_wide_linear_bottleneck_has_no_canonical_map_and_says_so():
    program, spec = network("attention")
    state = weights(program, spec)
    form = canonicalize(state, spec, ("linear",))
    loose = {gauge.name: gauge.unresolved for gauge in form.gauges if gauge.unresolved}
    assert loose == {"embed:linear": 8, "head:linear": 8}  # products of rank below 8
    assert relative_error(program.outputs(form.tensors), program.outputs(state)) < 1e-12


def test_inputs_are_left_alone():
    program, spec = network("cnn")
    state = narrowed(weights(program, spec))
    for tensor in state.values():
        if tensor.is_floating_point():
            tensor.requires_grad_()
    before = {name: tensor.detach().clone() for name, tensor in state.items()}
    form = canonicalize(state, spec)
    assert same({name: tensor.detach() for name, tensor in state.items()}, before)
    assert all(tensor.grad is None for tensor in state.values())
    assert not any(tensor.requires_grad for tensor in form.tensors.values())
    assert {name: tensor.dtype for name, tensor in form.tensors.items()} == {n: t.dtype for n, t in state.items()}


def test_names_and_ties_are_kept():
    program, spec = network("llama")
    assert spec.aliases
    state = weights(program, spec)
    alias, name = next(iter(spec.aliases.items()))
    given = {alias: state[name], **state, "extra": torch.ones(3)}
    form = canonicalize(given, spec)
    assert list(form.tensors) == list(given)
    assert form.tensors[alias] is form.tensors[name]
    assert torch.equal(form.tensors["extra"], given["extra"])


def test_the_report_counts_what_was_done():
    program, spec = network("perceptron")
    form = canonicalize(weights(program, spec), spec)
    assert [(gauge.name, gauge.kind, gauge.units) for gauge in form.gauges] == [
        ("0:scale", "scale", 16), ("4:scale", "scale", 12), ("2:sign", "sign", 16),
    ]  # fmt: skip
    assert all(0 < gauge.changed <= gauge.units for gauge in form.gauges)
    assert [(group.name, group.size, group.copies) for group in form.groups] == [
        ("0", 16, 1),
        ("2", 16, 1),
        ("4", 12, 1),
    ]
    assert form.report()["unresolved"] == 0
    again = canonicalize(form.tensors, spec)
    assert all(gauge.changed == 0 for gauge in again.gauges)
    assert all(group.moved == 0 for group in again.groups)


def test_only_the_kinds_asked_for_are_used():
    program, spec = network("perceptron")
    state = weights(program, spec)
    assert canonicalize(state, spec, ("scale", "sign")).transformation.element.is_identity()
    form = canonicalize(state, spec, ("permutation",))
    assert not form.transformation.values
    assert form.gauges == ()
    assert canonicalize(state, spec, ()).groups == ()


@pytest.mark.parametrize("kind", ["phase", "scales"])
def test_a_kind_without_canonical_form_is_refused(kind: str):
    program, spec = network("perceptron")
    with pytest.raises(SpecError, match=f"kind '{kind}': expected some of permutation, scale, sign, linear, rotation"):
        canonicalize(weights(program, spec), spec, ("permutation", kind))


def test_weights_that_do_not_fit_are_refused():
    program, spec = network("perceptron")
    state = weights(program, spec)
    with pytest.raises(SpecError, match=r"2\.bias.*expected it as in the spec, found none"):
        canonicalize({name: t for name, t in state.items() if name != "2.bias"}, spec)
    with pytest.raises(SpecError, match=r"2\.bias.*expects shape \(16,\), found \(3,\)"):
        canonicalize({**state, "2.bias": torch.ones(3)}, spec)
    with pytest.raises(SpecError, match=r"2\.bias.*finite"):
        canonicalize({**state, "2.bias": torch.full((16,), float("nan"))}, spec)


def test_a_type_too_small_for_the_scales_is_refused():
    program, spec = network("cnn")
    state = weights(program, spec)
    state["stem.weight"] = state["stem.weight"].mul(1e4).half()
    state["norm1.running_var"] = torch.full_like(state["norm1.running_var"], 1e-8)
    with pytest.raises(SpecError, match=r"stem\.weight.*overflows; convert the weights to float32"):
        canonicalize(state, spec)


def test_two_scales_of_one_variance_act_together():
    """Each alone would make the variance negative; the two together do not."""
    program, spec = network("cnn")
    state = weights(program, spec)
    shrunk = torch.full((8,), 1e-4, dtype=torch.float64)
    both = Transformation(spec, spec.identity(), {"stem:scale#2": shrunk, "stem:scale#3": 1 / shrunk})
    assert relative_error(program.outputs(both.apply(state)), program.outputs(state)) < 1e-12
    with pytest.raises(SpecError, match="variance stays positive"):
        Transformation(spec, spec.identity(), {"stem:scale#2": shrunk}).apply(state)
    form = canonicalize(state, spec)
    assert difference(canonicalize(both.apply(state), spec).tensors, form.tensors) < 1e-10
    assert float((form.tensors["norm2.running_var"] + 1e-5 - 1).abs().max()) < 1e-14
