"""Copies of modules: tensors shared, ties kept, everything else apart from the original; as deepcopy does it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from weightspace import structure
from weightspace.structure import copy_structure


class Caching(nn.Module):
    """Attributes of every kind: containers that hold parts, a cache, a bound method, a constant tensor, a tie."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.second.weight = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.again = self.second
        self.tied = nn.Conv2d(4, 4, 3, padding=1)
        self.tied.weight = self.second.weight
        self.register_buffer("table", torch.arange(4.0), persistent=False)
        self.cache: dict[str, Tensor] = {}
        self.steps = [self.first, self.norm]
        self.apply_last = self.last
        self.constant = torch.ones(4)
        self.sizes = (1, 2, (3, 4))
        self.register_parameter("absent", None)

    def last(self, x: Tensor) -> Tensor:
        return self.tied(self.again(x))

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        if "scale" not in self.cache:
            self.cache["scale"] = self.first.weight.mean() + self.constant.mean()
        return self.apply_last(x) * self.cache["scale"]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


class CopiesItself(Caching):
    copies = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> CopiesItself:
        CopiesItself.copies += 1
        return copy.copy(self)


CASES: list[tuple[Callable[[], nn.Module], tuple[int, ...]]] = [
    (Caching, (2, 3, 5, 5)),
    (Recurrent, (5, 2, 3)),
    (lambda: nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), (2, 3, 8)),
]


@pytest.mark.parametrize(("create", "shape"), CASES)
def test_copy_is_what_deepcopy_gives(create: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    module = create().eval()
    oracle = copy.deepcopy(module, {id(t): t for t in (*module.parameters(), *module.buffers())})
    copied = copy_structure(module)
    for (name, part), (other_name, other) in zip(copied.named_modules(), oracle.named_modules(), strict=True):
        assert name == other_name
        assert type(part) is type(other)
        assert list(part.__dict__) == list(other.__dict__)
    own = dict(module.named_modules(remove_duplicate=False))
    for name, part in copied.named_modules(remove_duplicate=False):
        assert part is not own[name]
    for name, tensor in module.state_dict(keep_vars=True).items():
        assert copied.state_dict(keep_vars=True)[name] is tensor
    x = torch.randn(shape)
    assert torch.equal(copied(x), oracle(x))


def test_what_a_forward_pass_leaves_stays_on_the_copy() -> None:
    module = Caching().eval()
    x = torch.randn(2, 3, 5, 5)
    copied = copy_structure(module)
    copied(x)
    assert copied.cache
    assert not module.cache
    assert copied.steps[0] is copied.first
    assert copied.apply_last.__self__ is copied
    assert copied.again is copied.second
    assert copied.constant is not module.constant
    assert copied.tied.weight is copied.second.weight is module.second.weight
    assert copied.table is module.table
    assert copied.absent is None


def test_meta_copies_keep_ties_and_buffers() -> None:
    module = Caching()
    copied = copy_structure(module, meta=True)
    assert all(parameter.is_meta for parameter in copied.parameters())
    assert copied.tied.weight is copied.second.weight
    assert torch.equal(copied.table, torch.arange(4.0))
    assert not any(parameter.is_meta for parameter in module.parameters())


def test_modules_that_say_how_they_are_copied_are_asked() -> None:
    module = nn.Sequential(CopiesItself())
    copy_structure(module)
    assert CopiesItself.copies == 1


def test_copies_share_no_mutable_attribute() -> None:
    module = Caching()
    copied = copy_structure(module)
    for name, part in module.named_modules():
        for key, value in part.__dict__.items():
            if isinstance(value, (dict, list, set)):
                assert dict(copied.named_modules())[name].__dict__[key] is not value, (name, key)


def test_plain_modules_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(structure, "_copy_parts", lambda module, memo: taken.append(module) or module)
    copy_structure(nn.Sequential(nn.Conv2d(2, 3, 1), nn.LayerNorm(3), nn.Linear(2, 2)))
    copy_structure(nn.LSTM(2, 3))  # rebuilds its list of flat weights itself
    assert [type(module) for module in taken] == [nn.Sequential]
