"""Groups with all their freedoms in one list."""

from __future__ import annotations

import torch
from torch import nn

from weightspace.symmetry import Group, Spec, TensorSpec, derive
from weightspace.symmetry.acting import acting_groups
from weightspace.symmetry.axis import FixedAxis, GroupAxis, ProductAxis
from weightspace.symmetry.freedom.freedom import Freedom, Freedoms, Place


def test_a_hidden_layer_may_be_permuted_and_rescaled():
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    (hidden,) = acting_groups(derive(module, (torch.randn(2, 4),)))
    assert (hidden.group.name, hidden.group.size) == ("0", 6)
    assert dict(hidden.kinds) == {"permutation": 1, "scale": 1}
    assert hidden.axes == (("0.weight", 0), ("0.bias", 0), ("2.weight", 1))


def test_what_normalisation_frees_is_counted():
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).eval()
    (hidden,) = acting_groups(derive(module, (torch.randn(2, 4),)))
    assert hidden.words == ("permutation", "scale (2)", "sign")


def test_ordered_units_with_a_freedom_are_listed_after_the_permutations_and_others_are_not():
    heads, inner, stays = Group("heads", 2), Group("inner", 3, ("heads",), kinds=()), Group("stays", 5, kinds=())
    axes = (FixedAxis(4), ProductAxis((GroupAxis("heads", 2), GroupAxis("inner", 3))))
    tensors = {
        "w": TensorSpec((FixedAxis(4), ProductAxis((GroupAxis("heads", 2), FixedAxis(3))))),
        "v": TensorSpec((GroupAxis("stays", 5),)),
    }
    freedom = Freedom("inner:linear", "linear", "inner", (Place("w", 0, 2),))
    spec = Spec((heads, stays), tensors, {}, freedoms=Freedoms((heads, inner), {"w": axes}, (freedom,)))
    found = acting_groups(spec)
    assert [(each.group.name, each.words, each.axes) for each in found] == [
        ("heads", ("permutation",), (("w", 1),)),
        ("inner", ("linear",), (("w", 1),)),
    ]
