"""What is kept while there is room."""

from __future__ import annotations

import torch

from weightspace.align.shelf import Shelf


def made(value: float, size: int):
    def make():
        made.calls.append(value)
        return torch.tensor(value), size

    return make


made.calls = []


def test_what_was_not_used_for_longest_goes_first():
    made.calls = []
    shelf = Shelf(10)
    for key, value in (("x", 1.0), ("y", 2.0), ("x", 1.0), ("z", 3.0)):
        assert float(shelf.get(key, made(value, 4))) == value
    assert made.calls == [1.0, 2.0, 3.0]
    assert shelf.find("y") is None
    assert shelf.find("x") is not None


def test_what_has_no_room_at_all_is_made_every_time_and_drives_nothing_out():
    made.calls = []
    shelf = Shelf(10)
    shelf.get("small", made(1.0, 10))
    for _ in range(2):
        shelf.get("large", made(2.0, 11))
    shelf.get("small", made(1.0, 10))
    assert made.calls == [1.0, 2.0, 2.0]


def test_replacing_and_dropping_give_room_back():
    shelf = Shelf(10)
    shelf.put("x", torch.tensor(1.0), 8)
    shelf.put("x", torch.tensor(2.0), 6)
    shelf.put("y", torch.tensor(3.0), 4)
    assert float(shelf.find("x") or 0) == 2.0
    shelf.drop(["x", "nothing"])
    shelf.put("z", torch.tensor(4.0), 6)
    assert float(shelf.find("y") or 0) == 3.0
