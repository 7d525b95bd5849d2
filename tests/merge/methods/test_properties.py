"""What holds of merge methods whatever the tensors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.merge.methods.cases import count, normal, takes_base
from weightspace.merge.methods import MERGE_METHODS, known_merge_method, merge_tensors

# Those that give back what all models are, at their defaults; the others add task vectors up, or take a part of them.
IDEMPOTENT = [
    *("linear", "slerp", "nuslerp", "nlerp", "multislerp", "karcher", "model_stock"),
    *("ties", "della", "sce", "passthrough"),
]  # fmt: skip
WITH_DENSITY = [name for name, method in MERGE_METHODS.items() if method.option("density")]
SCALED = [name for name in MERGE_METHODS if name != "nearswap"]

SHAPES = st.sampled_from([(1,), (7,), (1, 4), (4, 1), (5, 6), (2, 3, 2, 2)])


def merged(method: str, tensors: list[Tensor], base: Tensor, **more) -> Tensor:
    return merge_tensors(method, tensors, base if takes_base(method) else None, **more)


@pytest.mark.parametrize("method", IDEMPOTENT)
@given(shape=SHAPES, seed=st.integers(0, 1000), size=st.sampled_from([1e-4, 1.0, 1e4]))
def test_equal_models_give_themselves(method, shape, seed, size) -> None:
    (model,), base = normal(1, shape, seed)
    base = model if method == "slerp" else base
    found = merged(method, [size * model] * count(method), size * base)
    torch.testing.assert_close(found, size * model, rtol=1e-5, atol=1e-6 * size)


@pytest.mark.parametrize("method", [name for name in MERGE_METHODS if takes_base(name)])
@given(shape=SHAPES, seed=st.integers(0, 1000))
def test_no_task_vectors_leave_the_base(method, shape, seed) -> None:
    _, base = normal(0, shape, seed)
    options = {"density": 0.5} if method in WITH_DENSITY else {}
    found = merged(method, [base] * count(method), base, options=options)
    torch.testing.assert_close(found, base)


@pytest.mark.parametrize("method", WITH_DENSITY)
@pytest.mark.parametrize("normalize", [True, False])
def test_all_of_one_task_vector_is_task_arithmetic(method, normalize) -> None:
    (model,), base = normal(1, (5, 6))
    options = {"weight": 0.7, "lambda": 1.5, "normalize": normalize}
    found = merged(method, [model], base, options=options)
    torch.testing.assert_close(found, merged("task_arithmetic", [model], base, options=options))


@pytest.mark.parametrize("method", ["dare_linear", "della_linear", "breadcrumbs"])
@given(shape=SHAPES, seed=st.integers(0, 1000))
def test_density_one_without_election_is_task_arithmetic(method, shape, seed) -> None:
    tensors, base = normal(3, shape, seed)
    options = {"weight": [0.3, -0.5, 1.0]}
    found = merged(method, tensors, base, options=options)
    assert torch.equal(found, merged("task_arithmetic", tensors, base, options=options))


@pytest.mark.parametrize("method", [name for name in MERGE_METHODS if count(name) > 2])
@given(shape=SHAPES, seed=st.integers(0, 1000), order=st.permutations([0, 1, 2]))
def test_the_order_of_models_does_not_matter(method, shape, seed, order) -> None:
    tensors, base = normal(3, shape, seed)
    weights = [0.5, 1.0, 0.25]

    def ordered(order: list[int]) -> Tensor:
        options = {"weight": [weights[at] for at in order]} if known_merge_method(method).option("weight") else {}
        if method in WITH_DENSITY:
            options["density"] = [0.6, 0.8, 0.5]
            options["density"] = [options["density"][at] for at in order]
        masks = [torch.rand(shape, generator=torch.Generator().manual_seed(at)).reshape(-1) for at in range(3)]

        def draw(_, model: int, likely: Tensor) -> Tensor:
            return masks[order[model]].reshape(likely.shape) < likely

        return merged(method, [tensors[at] for at in order], base, options=options, draw=draw)

    torch.testing.assert_close(ordered(order), ordered([0, 1, 2]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("method", SCALED)
@given(shape=SHAPES, seed=st.integers(0, 1000), power=st.integers(-12, 12), negative=st.booleans())
def test_scaled_models_give_the_scaled_merge(method, shape, seed, power, negative) -> None:
    """Exactly by powers of two, but for the `eps` of Multi-SLERP; signs too."""
    tensors, base = normal(count(method), shape, seed)
    options = {"density": 0.5} if method in WITH_DENSITY else {}
    factor = -(2.0**power) if negative else 2.0**power
    found = merged(method, [tensor * factor for tensor in tensors], base * factor, options=options)
    wanted = merged(method, tensors, base, options=options) * factor
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6 * abs(factor))


@pytest.mark.parametrize("method", ["dare_linear", "dare_ties", "della", "della_linear"])
def test_masks_depend_on_seed_and_name_alone(method) -> None:
    tensors, base = normal(2, (40, 8))
    options = {"density": 0.5}
    one = merged(method, tensors, base, options=options, seed=1, name="a", chunk=64)
    assert torch.equal(one, merged(method, tensors, base, options=options, seed=1, name="a", chunk=64))
    assert not torch.equal(one, merged(method, tensors, base, options=options, seed=2, name="a", chunk=64))
    assert not torch.equal(one, merged(method, tensors, base, options=options, seed=1, name="b", chunk=64))


def test_dare_keeps_its_share_and_the_sum_of_magnitudes() -> None:
    (model,), base = normal(1, (300, 300))
    base.zero_()
    found = merged("dare_linear", [model], base, options={"density": 0.25}, chunk=1000)
    assert abs(float((found != 0).float().mean()) - 0.25) < 0.01
    torch.testing.assert_close(found.abs().sum(), model.abs().sum())


@pytest.mark.parametrize("method", MERGE_METHODS)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_empty_tensors_stay_empty(method, shape) -> None:
    tensors, base = normal(count(method), shape)
    assert merged(method, tensors, base).shape == shape


@pytest.mark.parametrize("method", [name for name, method in MERGE_METHODS.items() if method.models[0] == 1])
def test_one_model_is_enough(method) -> None:
    (model,), base = normal(1, (4, 5))
    found = merged(method, [model], base)
    if takes_base(method) and method not in ("slerp", "nearswap"):
        base = model
    if method not in ("slerp", "nearswap"):
        torch.testing.assert_close(found, model)


@pytest.mark.parametrize("method", ["model_stock", "multislerp", "karcher", "nlerp"])
def test_opposite_task_vectors_are_no_trouble(method) -> None:
    (model,), _ = normal(1, (4, 5))
    origin = torch.zeros_like(model)
    found = merged(method, [model, -model], origin)
    assert torch.isfinite(found).all()
    if method != "karcher":  # which stays at the first
        torch.testing.assert_close(found, origin)
