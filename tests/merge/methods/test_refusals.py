"""Settings that cannot be are refused, in one line that says what was expected and what was found."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.merge.methods.cases import count, takes_base
from weightspace.errors import MergeError
from weightspace.merge.methods import MERGE_METHODS, merge_tensors

SPARSE = [name for name, method in MERGE_METHODS.items() if method.option("density")]


def refused(method: str, options: dict[str, Any], models: int | None = None, *, base: bool | None = None) -> str:
    tensors = [torch.ones(3)] * (count(method) if models is None else models)
    has_base = takes_base(method) if base is None else base
    with pytest.raises(MergeError) as caught:
        merge_tensors(method, tensors, torch.zeros(3) if has_base else None, options=options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("method", SPARSE)
@pytest.mark.parametrize("density", [0.0, -0.1, 1.1, float("nan"), float("inf"), True, "half"])
def test_densities(method, density) -> None:
    assert refused(method, {"density": density}).startswith("option 'density': expected a number")
    assert refused(method, {"density": [0.5, density, 0.5]}).startswith("option 'density': expected a number")


def test_what_is_said_of_a_density() -> None:
    wanted = "option 'density': expected a number above 0 and of at most 1, found 0"
    assert refused("ties", {"density": 0.0}) == wanted


@pytest.mark.parametrize(("density", "epsilon"), [(0.1, 0.1), (0.9, 0.1), (0.5, 0.6)])
def test_epsilons(density, epsilon) -> None:
    said = refused("della", {"density": density, "epsilon": epsilon})
    assert said == (
        "option 'epsilon': expected density - epsilon and density + epsilon between 0 and 1, "
        f"found density {density:g} and epsilon {epsilon:g}"
    )


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("linear", {}),
        ("nlerp", {}),
        ("multislerp", {}),
        ("task_arithmetic", {"normalize": True}),
        ("dare_linear", {"normalize": True}),
        ("della_linear", {"normalize": True}),
        ("breadcrumbs", {"normalize": True}),
    ],
)
def test_weights_without_a_sum(method, options) -> None:
    weights = [0.0, 0.0, 0.0] if method == "nlerp" else [1.0, -0.5, -0.5]
    assert "expected numbers whose sum is not 0" in refused(method, {"weight": weights, **options})


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("slerp", {"t": 1.5}),
        ("slerp", {"t": -0.5}),
        ("nearswap", {"t": -1.0}),
        ("nlerp", {"weight": -1.0}),
        ("karcher", {"max_iter": 2.5}),
        ("karcher", {"tol": 0.0}),
        ("multislerp", {"eps": 0.0}),
        ("breadcrumbs", {"gamma": 1.5}),
        ("sce", {"select_topk": 0.0}),
        ("consensus", {"consensus": 4}),
        ("consensus", {"consensus": 1.5}),
        ("consensus", {"tall_lambda": -0.1}),
        ("ties", {"normalize": "yes"}),
        ("ties", {"weight": [1.0, 2.0]}),
        ("task_arithmetic", {"density": 0.5}),
    ],
)
def test_other_options(method, options) -> None:
    assert refused(method, options).startswith(f"option '{next(iter(options))}': expected ")


@pytest.mark.parametrize(
    ("method", "models"),
    [("slerp", 2), ("nuslerp", 1), ("nuslerp", 3), ("model_stock", 1), ("consensus", 1), ("passthrough", 2)],
)
def test_numbers_of_models(method, models) -> None:
    assert f"found {models}" in refused(method, {}, models)


@pytest.mark.parametrize("method", MERGE_METHODS)
def test_bases(method) -> None:
    wanted = MERGE_METHODS[method].base
    if wanted == "required":
        assert "expected a base model" in refused(method, {}, base=False)
    elif wanted == "none":
        assert "expected no base model" in refused(method, {}, base=True)
