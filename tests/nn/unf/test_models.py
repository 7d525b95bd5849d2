"""Models on universal neural functionals: what they promise of every network, in float64."""

from __future__ import annotations

import copy
import io
import shutil
import warnings
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.nn.unf import specs
from tests.symmetry import networks
from tests.symmetry.networks import Network
from weightspace.errors import DataError, SpecError
from weightspace.nn.blocks import Blocks
from weightspace.nn.unf import UNF, EquivariantUNF, InvariantUNF, UNFLayer
from weightspace.symmetry import Spec

KINDS: list[Callable[[], Network]] = [
    networks.mlp, networks.vgg, networks.grouped_convolutions, networks.norms, networks.attention, networks.slopes,
    networks.gru, networks.llama,
]  # fmt: skip
Batch = dict[str, Tensor]


def features_of(spec: Spec, **options: object) -> UNF:
    torch.manual_seed(0)
    settings_ = {"width": 6, "depth": 2} | options
    unf = UNF(Blocks(spec), **settings_).double()  # pyright: ignore[reportArgumentType]
    for layer in unf.layers:
        assert isinstance(layer, UNFLayer)
        for _, bias in layer.constants():
            bias.data.normal_()
    return unf


def invariant(spec: Spec, **options: object) -> InvariantUNF:
    return InvariantUNF(features_of(spec, **options), 3, hidden=8).double().eval()


def equivariant(spec: Spec, **options: object) -> EquivariantUNF:
    return EquivariantUNF(features_of(spec, **options), gamma=0.5).double().eval()


def read(spec: Spec, count: int = 3, seed: int = 0) -> Batch:
    names = Blocks(spec).names
    return {name: tensor for name, tensor in specs.random_batch(spec, count, seed).items() if name in names}


def check_symmetry(spec: Spec, **options: object) -> None:
    batch = read(spec)
    turned = specs.moved(spec, batch)
    model, editor = invariant(spec, **options), equivariant(spec, **options)
    torch.testing.assert_close(model(turned), model(batch))
    torch.testing.assert_close(editor(turned), specs.moved(spec, editor(batch)))


@pytest.mark.parametrize("make", KINDS)
def test_permuted_networks_get_the_same_prediction_and_permuted_weights(make: Callable[[], Network]) -> None:
    check_symmetry(specs.derived(make))


@settings(max_examples=30)
@given(specs.random_specs(), st.sampled_from(["own", "shared"]), st.sampled_from([1, 16]))
def test_models_of_random_specs_are_equivariant(spec: Spec, far: str, fold: int) -> None:
    check_symmetry(spec, far=far, fold=fold)


@pytest.mark.parametrize("make", [networks.mlp, networks.attention])
def test_other_weights_get_another_prediction(make: Callable[[], Network]) -> None:
    spec = specs.derived(make)
    batch, model = read(spec), invariant(spec)
    for name in batch:
        changed = batch | {name: batch[name] + 1}
        assert (model(changed) - model(batch)).abs().amin(1).max() > 1e-6, name


def test_inputs_are_told_apart() -> None:
    spec = specs.derived(networks.mlp)
    batch = read(spec)
    swapped = batch | {"0.weight": batch["0.weight"][:, :, [1, 0, 2, 3, 4, 5]]}
    for fold in (1, 16):  # by their position, and as channels
        model = invariant(spec, fold=fold)
        assert (model(swapped) - model(batch)).abs().max() > 1e-6


@settings(max_examples=20)
@given(specs.random_specs())
def test_a_network_alone_gets_what_it_gets_in_any_batch(spec: Spec) -> None:
    batch = read(spec, 4)
    model, editor = invariant(spec), equivariant(spec)
    predictions, edited = model(batch), editor(batch)
    for place in range(4):
        alone = {name: tensor[place : place + 1] for name, tensor in batch.items()}
        torch.testing.assert_close(model(alone), predictions[place : place + 1])
        torch.testing.assert_close(editor(alone), {name: tensor[place : place + 1] for name, tensor in edited.items()})


def test_nothing_is_random_in_training_or_evaluation() -> None:
    spec = specs.derived(networks.attention)
    model, batch = invariant(spec), read(spec)
    assert torch.equal(model(batch), model(batch))
    assert torch.equal(model(batch), model.train()(batch))


@settings(max_examples=20)
@given(specs.random_specs(), st.sampled_from(["own", "shared"]), st.sampled_from([1, 16]))
def test_gradients_reach_every_parameter(spec: Spec, far: str, fold: int) -> None:
    for model in (invariant(spec, far=far, fold=fold, width=16), equivariant(spec, far=far, fold=fold, width=16)):
        result = model(read(spec, 5))
        loss = (
            result.sin().sum()
            if isinstance(result, Tensor)
            else torch.stack([t.sin().sum() for t in result.values()]).sum()
        )
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("make", KINDS)
def test_zero_weights_are_fine(make: Callable[[], Network]) -> None:
    spec = specs.derived(make)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in read(spec).items()}
    model = invariant(spec)
    model.features.fit_standardisation([zeros])
    prediction = model(zeros)
    prediction.sum().backward()
    assert prediction.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_standardisation_is_measured_over_all_batches() -> None:
    spec = specs.derived(networks.grouped_convolutions)
    batch = {name: 3 * tensor + 5 for name, tensor in read(spec, 7).items()}
    batch["0.bias"][:] = 0.1
    one, several = features_of(spec), features_of(spec)
    one.fit_standardisation([batch])
    several.fit_standardisation([{n: t[:2] for n, t in batch.items()}, {n: t[2:] for n, t in batch.items()}])
    torch.testing.assert_close(one.state_dict(), several.state_dict())
    scaled = one.standardise(one.values(batch))
    for block, part in zip(one.blocks.all, scaled, strict=True):
        constant = block.tensor == "0.bias"
        assert part.mean().item() == pytest.approx(0, abs=1e-12), block.tensor
        assert part.std(correction=0).item() == pytest.approx(0 if constant else 1), block.tensor


def test_standardisation_of_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="expected networks of the training split, found none"):
        features_of(specs.recurrent()).fit_standardisation([])


@pytest.mark.parametrize("make", [invariant, equivariant])
def test_a_state_dict_brings_a_model_back(make: Callable[[Spec], nn.Module]) -> None:
    spec = specs.derived(networks.vgg)
    model, other, batch = make(spec), make(spec), read(spec)
    for parameter in other.parameters():
        parameter.data.normal_()
    model.features.fit_standardisation([batch])  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    torch.testing.assert_close(other(batch), model(batch), rtol=0, atol=0)
    torch.testing.assert_close(copy.deepcopy(model)(batch), model(batch), rtol=0, atol=0)


def test_weights_and_gradients_are_read_together() -> None:
    spec = specs.derived(networks.mlp)
    weights, gradients = read(spec), read(spec, seed=1)
    editor = EquivariantUNF(features_of(spec, channels=2)).double()
    editor.features.fit_standardisation([(weights, gradients)])
    turned = specs.moved(spec, weights), specs.moved(spec, gradients)
    torch.testing.assert_close(editor(*turned), specs.moved(spec, editor(weights, gradients)))
    updates = editor.update(weights, gradients)
    torch.testing.assert_close(editor(weights, gradients), {n: weights[n] + updates[n] for n in weights})
    with pytest.raises(SpecError, match="expected 2 values of every weight, found 1"):
        editor(weights)


def test_many_sets_of_parameters_run_at_once() -> None:
    spec = specs.derived(networks.gru)
    model, batch = invariant(spec), read(spec)
    parameters = {name: torch.stack([p.detach(), 2 * p.detach()]) for name, p in model.named_parameters()}

    def predict(own: Batch) -> Tensor:
        return torch.func.functional_call(model, own, (batch,))

    found = torch.func.vmap(predict)(parameters)
    slopes = torch.func.vmap(torch.func.grad(lambda own: predict(own).sum()))(parameters)
    for place in range(2):
        own = {name: stacked[place] for name, stacked in parameters.items()}
        torch.testing.assert_close(found[place], predict(own))
        expected = torch.func.grad(lambda own: predict(own).sum())(own)
        torch.testing.assert_close({name: slope[place] for name, slope in slopes.items()}, expected)


def test_half_precision_of_matrix_products_works() -> None:
    spec = specs.derived(networks.attention)
    model, batch = invariant(spec).float(), {name: tensor.float() for name, tensor in read(spec).items()}
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(batch)
    rounded.float().sum().backward()
    torch.testing.assert_close(rounded.float(), model(batch), rtol=0.2, atol=0.2)


@pytest.mark.parametrize(
    "backend",
    [
        "aot_eager",
        pytest.param("inductor", marks=[
            pytest.mark.slow,
            pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler"),
        ]),
    ],
)  # fmt: skip
def test_compiled_models_predict_the_same(backend: str) -> None:
    spec = specs.derived(networks.mlp)
    model, batch = invariant(spec), read(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(model, backend=backend, fullgraph=True)
        result = compiled(batch)
        result.sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    expected = model(batch)
    expected.sum().backward()
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(gradients, [parameter.grad for parameter in model.parameters()])
