"""The picture of a spec: what it must hold, read back from its XML."""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import nn

from tests.symmetry import networks
from weightspace.errors import SpecError
from weightspace.symmetry import Group, Spec, TensorSpec, derive
from weightspace.symmetry.axis import Axis, FixedAxis, GroupAxis, ProductAxis, Run, SumAxis, leaves
from weightspace.symmetry.picture import MOST_TENSORS, draw_spec
from weightspace.symmetry.picture.svg import CHARACTER

SVG = "{http://www.w3.org/2000/svg}"
NETWORKS = {name: getattr(networks, name) for name in ("mlp", "vgg", "dense")}


class Attention(nn.Module):
    """A fused QKV: a sum of products, with one group within each index of another."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).view(2, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
        return self.proj(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, 8))


def derived(name: str) -> Spec:
    module, args, kwargs = NETWORKS[name]()
    return derive(module.eval(), args, kwargs)


def specs() -> list[Spec]:
    attention = derive(Attention().eval(), (torch.randn(2, 5, 8),))
    return [*(derived(name) for name in NETWORKS), attention]


def parsed(spec: Spec, **options: str) -> ElementTree.Element:
    return ElementTree.fromstring(draw_spec(spec, **options))


def number(element: ElementTree.Element, name: str) -> float:
    return float(element.get(name, "0"))


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def legend(root: ElementTree.Element) -> dict[str, list[str]]:
    """Numbers by group name, from the swatches of the legend."""
    found = defaultdict(list)
    for rectangle in root.iter(f"{SVG}rect"):
        title = rectangle.find(f"{SVG}title")
        if title is not None:
            found[title.text].append(rectangle.get("class"))
    return found


@pytest.mark.parametrize("spec", specs(), ids=[*NETWORKS, "attention"])
def test_every_group_is_in_the_legend_once_and_every_tensor_has_its_place(spec: Spec):
    root = parsed(spec, title="a net")
    entries = legend(root)
    assert set(entries) == {group.name for group in spec.all_groups}
    assert all(len(classes) == 1 for classes in entries.values())
    assert len({tuple(classes) for classes in entries.values()}) == len(entries)
    drawn = [
        (title.text or "").partition(" ")[0]
        for element in root.iter(f"{SVG}g")
        if (title := element.find(f"{SVG}title")) is not None
    ]
    assert drawn == [name for name, tensor in spec.tensors.items() if any(size > 1 for size in tensor.shape)]
    assert texts(root)[0] == "a net"


@pytest.mark.parametrize("spec", specs(), ids=[*NETWORKS, "attention"])
def test_a_tensor_shows_just_the_groups_that_act_on_it_in_their_own_paint(spec: Spec):
    root = parsed(spec)
    numbers = {name: classes[0].split()[1] for name, classes in legend(root).items()}
    paint = defaultdict(set)
    for drawing in root.iter(f"{SVG}g"):
        title = drawing.find(f"{SVG}title")
        if title is None:
            continue
        tensor = spec.tensors[(title.text or "").partition(" ")[0]]
        carried = {leaf.group for axis in tensor.axes for leaf in leaves(axis) if isinstance(leaf, GroupAxis)}
        bars = [bar for bar in drawing.iter(f"{SVG}rect") if (bar.get("class") or "").startswith("g")]
        shown = {(bar.get("class") or "").split()[1] for bar in bars if " " in (bar.get("class") or "")}
        assert shown == {numbers[group] for group in carried}
        still = any(isinstance(leaf, FixedAxis) and leaf.size > 1 for axis in tensor.axes for leaf in leaves(axis))
        assert still == any(bar.get("fill") == "url(#still)" for bar in bars)
        for bar in bars:
            paint[bar.get("class")].add(bar.get("fill"))
    assert all(len(fills) == 1 for fills in paint.values())
    moving = [next(iter(fills)) for name, fills in paint.items() if " " in (name or "")]
    assert len(set(moving)) == len(moving)


@pytest.mark.parametrize("spec", specs(), ids=[*NETWORKS, "attention"])
def test_no_text_lies_on_another_or_outside(spec: Spec):
    root = parsed(spec, title="x" * 300)
    boxes = []
    for element in root.iter(f"{SVG}text"):
        size, words = number(element, "font-size"), element.text or "".join(element.itertext())
        wide = len(words) * CHARACTER * size
        left = number(element, "x") - (wide / 2 if element.get("text-anchor") == "middle" else 0)
        boxes.append((left, left + wide, number(element, "y") - 0.75 * size, number(element, "y") + 0.2 * size, words))
    for left, right, top, bottom, words in boxes:
        assert left >= 0, words
        assert right <= number(root, "width"), words
        assert top >= 0, words
        assert bottom <= number(root, "height"), words
    for a, b in itertools.combinations(boxes, 2):
        assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2], (a[4], b[4])


def test_a_group_is_joined_from_its_first_module_to_its_last():
    spec = derived("mlp")
    root = parsed(spec)
    rows = [number(line, "y1") for line in root.iter(f"{SVG}line") if line.get("stroke-dasharray") == "1 3"]
    lanes = {
        title.text: (number(line, "y1"), number(line, "y2"))
        for line in root.iter(f"{SVG}line")
        if (title := line.find(f"{SVG}title")) is not None
    }
    assert lanes == {"0": (rows[0], rows[1]), "2": (rows[1], rows[2])}


def one(axes: tuple[Axis, ...], *groups: Group, name: str = "layer.weight") -> Spec:
    return Spec(groups, {name: TensorSpec(axes)}, {})


def bars(root: ElementTree.Element) -> list[tuple[str, float, float, float, float]]:
    found = (e for e in root.iter(f"{SVG}rect") if (e.get("class") or "").startswith("g g") and not len(e))
    found = (e for e in found if e.get("class") != "g g0")  # the examples of how to read the picture
    return [
        ((e.get("class") or "").split()[1], *(number(e, name) for name in ("x", "y", "width", "height"))) for e in found
    ]


def test_a_sum_lies_side_by_side_in_the_order_of_its_stretches():
    axis = SumAxis((GroupAxis("a", 4), GroupAxis("b", 8)), (Run(0, 0, 2), Run(1, 0, 8), Run(0, 2, 2)))
    stretches = bars(parsed(one((axis,), Group("a", 4), Group("b", 8))))
    assert [bar[0] for bar in stretches] == ["g1", "g2", "g1"]
    assert [bar[2] for bar in stretches] == sorted(bar[2] for bar in stretches)
    assert len({bar[1] for bar in stretches}) == 1
    assert stretches[1][4] > 3 * stretches[0][4]


def test_a_product_repeats_its_inner_group_in_a_stripe_beside_the_outer_one():
    axis = ProductAxis((GroupAxis("heads", 3), GroupAxis("inner", 8)))
    found = bars(parsed(one((axis,), Group("heads", 3), Group("inner", 8, ("heads",)))))
    outer, inner = ([bar for bar in found if bar[0] == name] for name in ("g1", "g2"))
    assert len(outer) == len(inner) == 3
    assert max(bar[1] for bar in outer) < min(bar[1] for bar in inner)
    assert [bar[2] for bar in outer] == [bar[2] for bar in inner]


def test_an_ordered_group_is_grey_and_what_depends_on_it_says_so():
    axis = ProductAxis((GroupAxis("heads", 3), GroupAxis("inner", 8)))
    root = parsed(one((axis,), Group("heads", 3, kinds=()), Group("inner", 8, ("heads",))))
    assert "3 indices, ordered: stays in place" in texts(root)
    assert "8 indices, permutation; one for each index of 1" in texts(root)
    assert {bar.get("fill") for bar in root.iter(f"{SVG}rect") if bar.get("class") == "g g1"} == {"url(#still)"}


def test_many_groups_still_differ():
    groups = [Group(f"g{i}", 5) for i in range(40)]
    spec = Spec(tuple(groups), {f"{i}.weight": TensorSpec((GroupAxis(f"g{i}", 5),)) for i in range(40)}, {})
    root = parsed(spec)
    fills = [e.get("fill") for e in root.iter(f"{SVG}rect") if e.find(f"{SVG}title") is not None]
    assert len(set(fills)) == len(fills) == 40
    used = {fill[5:-1] for fill in fills if fill is not None and fill.startswith("url(#")}
    assert used <= {pattern.get("id") for pattern in root.iter(f"{SVG}pattern")}


def test_names_are_escaped_and_long_ones_shortened():
    name = '<b>&"\x07.' + "deep." * 30 + "weight"
    spec = one((GroupAxis("<&>", 5), FixedAxis(3, 'why "so" <&>')), Group("<&>", 5), name=name)
    root = parsed(spec, title="]]> & <title>")
    assert texts(root)[0] == "]]> & <title>"
    assert "<&>" in legend(root)
    titles = [element.text or "" for element in root.iter(f"{SVG}title")]
    assert any(name.replace("\x07", "\N{REPLACEMENT CHARACTER}") in title for title in titles)
    assert any('why "so" <&>' in title for title in titles)
    assert max(map(len, texts(root))) < 100


def test_tied_names_are_told():
    spec = Spec((Group("a", 4),), {"in.weight": TensorSpec((GroupAxis("a", 4),))}, {"out.weight": "in.weight"})
    assert "tied: out.weight" in texts(parsed(spec))


def test_the_picture_is_the_same_every_time_and_needs_nothing_from_outside(tmp_path: Path):
    spec = derived("dense")
    spec.save(tmp_path / "spec.json")
    drawn = draw_spec(spec, title="net")
    assert drawn == draw_spec(spec, title="net") == draw_spec(Spec.load(tmp_path / "spec.json"), title="net")
    outside = drawn.replace("http://www.w3.org/2000/svg", "")
    assert "http" not in outside
    assert "href" not in outside


def many(count: int) -> Spec:
    tensors = {f"layers.{i // 50}.{i}.weight": TensorSpec((GroupAxis("a", 4),)) for i in range(count)}
    return Spec((Group("a", 4),), tensors, {})


def test_too_many_tensors_are_refused_with_the_part_that_can_be_drawn():
    draw_spec(many(MOST_TENSORS))
    with pytest.raises(SpecError, match=r"found 201; draw a module of the network, for example --only layers\.0$"):
        draw_spec(many(MOST_TENSORS + 1))
    assert "50 of 201 tensors; 1 group acts on them" in texts(parsed(many(MOST_TENSORS + 1), only="layers.0"))


def test_a_part_ends_at_dots_and_must_exist():
    spec = Spec(
        (Group("a", 4),), {f"{name}.weight": TensorSpec((GroupAxis("a", 4),)) for name in ("fc1", "fc12", "fc2")}, {}
    )
    for only in ("fc1", "fc1.", "fc1.weight"):
        root = parsed(spec, only=only)
        assert "fc1" in texts(root)
        assert "fc12" not in texts(root)
    with pytest.raises(SpecError, match=r"fc3: .* did you mean fc2 or"):
        draw_spec(spec, only="fc3")


def test_a_network_without_tensors_is_refused():
    with pytest.raises(SpecError, match="found none"):
        draw_spec(Spec((), {"scale": TensorSpec(())}, {}))
