"""Every merge method against one that goes word by word, whole and in chunks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.merge.methods.cases import (
    CASES,
    OPTIONS,
    SHAPES,
    Options,
    count,
    drawn,
    filled,
    normal,
    on_grid,
    takes_base,
    uniforms,
)
from tests.merge.methods.oracles import ORACLES, expected
from weightspace.merge.methods import MERGE_METHODS, MergeMethod, known_merge_method, merge_tensors, whole


def named(case: tuple[str, Options]) -> str:
    return f"{case[0]}-{','.join(f'{name}={value}' for name, value in case[1].items())}"


def test_every_method_has_an_oracle_and_options_to_try() -> None:
    assert list(ORACLES) == list(OPTIONS) == list(MERGE_METHODS)


@pytest.mark.parametrize("chunk", [1, 7, 1 << 18])
@pytest.mark.parametrize("values", [normal, on_grid])
@pytest.mark.parametrize("case", CASES, ids=named)
def test_it_gives_what_the_oracle_gives(case, values, chunk) -> None:
    method, options = case
    for seed, shape in enumerate(SHAPES):
        tensors, base = values(count(method), shape, seed)
        uniform = uniforms(count(method), shape, seed)
        draw = drawn(uniform, known_merge_method(method), chunk)
        found = merge_tensors(
            method, tensors, base if takes_base(method) else None, options=options, draw=draw, chunk=chunk
        )
        wanted = expected(method, tensors, base, filled(method, options), uniform)
        torch.testing.assert_close(found, wanted.float(), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_float64_stays_float64(case) -> None:
    method, options = case
    tensors, base = normal(count(method), (5, 4))
    tensors, base, uniform = [tensor.double() for tensor in tensors], base.double(), uniforms(count(method), (5, 4))
    draw = drawn(uniform, known_merge_method(method), 8)
    found = merge_tensors(method, tensors, base if takes_base(method) else None, options=options, draw=draw, chunk=8)
    wanted = expected(method, tensors, base, filled(method, options), uniform)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("method", ["nuslerp", "multislerp"])
def test_without_a_base_vectors_start_at_zero(method) -> None:
    tensors, base = normal(count(method), (5, 4))
    for options in OPTIONS[method]:
        found = merge_tensors(method, tensors, options=options)
        wanted = expected(method, tensors, torch.zeros_like(base), filled(method, options), [])
        torch.testing.assert_close(found, wanted.float(), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("method", MERGE_METHODS)
def test_narrow_types_are_rounded_once(method, dtype) -> None:
    tensors, base = normal(count(method), (6, 5))
    tensors, base = [tensor.to(dtype) for tensor in tensors], base.to(dtype)
    origin = base if takes_base(method) else None
    wide = None if origin is None else origin.float()
    found = merge_tensors(method, tensors, origin)
    assert found.dtype == dtype
    assert torch.equal(found, merge_tensors(method, [tensor.float() for tensor in tensors], wide).to(dtype))


@pytest.mark.parametrize("case", CASES, ids=named)
def test_measures_that_are_not_needed_change_nothing(case, monkeypatch) -> None:
    method, options = case
    tensors, base = normal(count(method), (5, 4))
    origin = base if takes_base(method) else None
    found = merge_tensors(method, tensors, origin, options=options)
    monkeypatch.setattr(whole, "known_merge_method", measuring_all)
    assert torch.equal(found, merge_tensors(method, tensors, origin, options=options))


def measuring_all(name: str) -> MergeMethod:
    method = known_merge_method(name)
    measures = tuple(replace(measure, needed=lambda _: True) for measure in method.measures)
    return replace(method, measures=measures)
