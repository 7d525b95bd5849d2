"""Lazy views of tensors."""

from __future__ import annotations

import torch

from weightspace.views import TensorView


def test_a_view_reads_changes_and_renames_on_access():
    read: list[str] = []

    class Noting(dict):
        def __getitem__(self, name):
            read.append(name)
            return super().__getitem__(name)

    tensors = Noting(a=torch.tensor([1.0]), b=torch.tensor([2.0]))
    view = TensorView(
        tensors, names={"y": "b", "x": "a"}, change=lambda name, tensor: tensor * (10 if name == "x" else 1)
    )
    assert (list(view), len(view), "x" in view, "a" in view) == (["y", "x"], 2, True, False)
    assert read == []
    assert float(view["x"]) == 10.0
    assert read == ["a"]
    assert {name: float(tensor) for name, tensor in TensorView(tensors).items()} == {"a": 1.0, "b": 2.0}
