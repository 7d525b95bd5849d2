"""Which dimensions are indices of features, and which their channels."""

from __future__ import annotations

import pytest
import torch

from tests.nn.unf import specs
from tests.symmetry import networks
from weightspace.errors import SpecError
from weightspace.nn.unf.layout import Layout


def labels(layout: Layout) -> dict[str, list[str]]:
    return {
        block.tensor: [dim.label for dim in shape.dims]
        for block, shape in zip(layout.blocks.all, layout.all, strict=True)
    }


def test_taps_are_channels_and_the_last_dimensions_first() -> None:
    layout = specs.layout_of(specs.derived(networks.vgg))
    found = {block.tensor: shape for block, shape in zip(layout.blocks.all, layout.all, strict=True)}
    assert found["0.weight"].channels == 9  # 3 inputs would make 27
    assert found["0.weight"].kept == (0, 1)
    assert found["4.weight"].channels == 9
    assert found["7.weight"].channels == 4  # the pixels behind the flattening
    assert [dim.ordered for dim in found["0.weight"].dims] == [False, True]


def test_fixed_dimensions_that_mean_the_same_share_a_label() -> None:
    found = labels(specs.layout_of(specs.derived(networks.mlp), fold=1))
    assert found["4.weight"][0] == found["4.bias"][0]
    assert found["0.weight"][1] not in found["4.weight"]
    assert found["2.weight"] == ["2", "0"]


def test_ordered_outer_groups_are_never_folded() -> None:
    layout = specs.layout_of(specs.slopes(), fold=1000)
    (heads, inner, _) = layout.all[0].dims
    assert heads.label == "h"
    assert heads.ordered
    assert inner.outer == (0,)
    assert not inner.ordered


@pytest.mark.parametrize("fold", [1, 16, 10_000])
@pytest.mark.parametrize("make", [networks.vgg, networks.attention, networks.grouped_convolutions, networks.llama])
def test_features_fold_and_unfold_again(make: object, fold: int) -> None:
    spec = specs.derived(make)  # pyright: ignore[reportArgumentType]
    layout = specs.layout_of(spec, fold)
    parts = [torch.stack([part, -part], -1) for part in layout.blocks.split(specs.random_batch(spec, 2))]
    features = layout.fold(parts)
    for part, shape in zip(features, layout.all, strict=True):
        assert part.shape == (2, *shape.sizes, 2 * shape.channels)
        assert shape.channels <= fold
    assert all(torch.equal(one, other) for one, other in zip(layout.unfold(features), parts, strict=True))


def test_a_fold_below_one_is_refused() -> None:
    with pytest.raises(SpecError, match="at least 1, found 0"):
        specs.layout_of(specs.recurrent(), 0)
