"""Networks as graphs: the same function for any batch, printed as code that others can load, its values' axes known."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.align.networks import NETWORKS, Network, built_of, resnet20
from weightspace.errors import SourceError
from weightspace.source import Inputs, Program, resolve_source
from weightspace.source.exported import export
from weightspace.source.generated import code_of, generated
from weightspace.source.labelled import labelled
from weightspace.symmetry import derive, randomized
from weightspace.symmetry.axis import GroupAxis, SumAxis


class InPlace(nn.Module):
    """Writes in place, where nobody else looks and where somebody does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu_()
        x = self.second(x).add_(x)
        x[:, :2] *= 2.0  # through a view
        return self.third(x)


class Tables(nn.Module):
    """Has a table that no checkpoint holds, and returns several things."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.arange(1.0, 6.0), persistent=False)
        self.inner = nn.ModuleList([nn.Linear(4, 5), nn.Linear(5, 2)])

    def forward(self, x: Tensor, *, twice: Tensor) -> dict[str, Tensor]:
        h = torch.tanh(self.inner[0](x) + twice) * self.scale
        return {"hidden": h, "logits": self.inner[1](h)}


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 0 else -x


def in_place() -> Network:
    return InPlace(), Inputs((torch.randn(3, 4),))


def tables() -> Network:
    return Tables(), Inputs((torch.randn(3, 4),), {"twice": torch.randn(3, 5)})


def of_timm(name: str, **options: object):
    def build() -> Network:
        timm = pytest.importorskip("timm")
        size = options.get("img_size", 64)
        return timm.create_model(name, num_classes=5, **options), Inputs((torch.randn(2, 3, size, size),))

    build.__name__ = name
    return build


ALL = [
    *NETWORKS.values(), in_place, tables, of_timm("resnet18"), of_timm("mobilenetv3_small_050"),
    of_timm("vit_tiny_patch16_224", img_size=32, depth=2), of_timm("convnext_atto"),
]  # fmt: skip


@pytest.mark.parametrize("build", ALL, ids=lambda build: build.__name__)
def test_the_graph_is_the_same_function_for_any_batch(build):
    torch.manual_seed(0)
    program, spec = built_of(build())
    exported = program.exported()
    again = Program.from_exported(exported)
    state = randomized(program.state(), spec, 3)
    for size in (2, 5):
        calls = program.inputs.map_tensors(lambda t, size=size: t[:1].repeat(size, *[1] * (t.dim() - 1)))
        expected = program.outputs(state, calls)
        found = again.outputs(state, again.call_of(calls))
        for one, two in zip(found, expected, strict=True):
            torch.testing.assert_close(one, two, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("build", ALL, ids=lambda build: build.__name__)
def test_the_generated_network_has_the_same_symmetry(build):
    torch.manual_seed(0)
    module, inputs = build()
    spec = derive(module.eval(), inputs.args, inputs.kwargs)
    exported = export(module, inputs)
    found = derive(generated(exported), exported.inputs.args, exported.inputs.kwargs)
    assert [(group.name, group.size) for group in found.groups] == [(group.name, group.size) for group in spec.groups]
    assert labelled(exported).spec.groups == found.groups


def test_written_code_is_loaded_by_name_and_finds_its_weights(tmp_path):
    torch.manual_seed(0)
    module, inputs = tables()
    exported = export(module.eval(), inputs)
    path = tmp_path / "network.py"
    path.write_text(code_of(exported, about="A test."))
    save_file({name: tensor.contiguous() for name, tensor in exported.tensors.items()}, tmp_path / "model.safetensors")
    program = Program.from_source(resolve_source(f"{path}:network"))
    assert set(program.state_names) == set(module.state_dict())
    expected = module(*inputs.args, **inputs.kwargs)["logits"]
    found = program.outputs(program.state(), program.call_of(inputs))[1]
    torch.testing.assert_close(found, expected)
    assert "torch.ops.aten.linear" in path.read_text()


def test_writes_in_place_are_gone_where_nobody_else_could_see_them():
    module, inputs = in_place()
    printed = str(export(module.eval(), inputs).graph)
    assert "aten.relu_" not in printed
    assert "aten.mul_" in printed


def test_of_a_network_that_branches_on_values_there_is_no_graph():
    with pytest.raises(SourceError, match=r"branching: torch\.export does not understand its code"):
        export(Branching().eval(), Inputs((torch.randn(2, 3),)), "branching")


def test_values_between_layers_know_their_groups():
    torch.manual_seed(0)
    module, inputs = resnet20()
    exported = export(module.eval(), inputs)
    axes = {node.name: found[1] for node, found in labelled(exported).axes.items() if len(found) == 4}
    assert axes["conv2d_1"] == GroupAxis("layer1.0.conv1", 16)
    stream = axes["add_3"]
    assert isinstance(stream, SumAxis)
    assert {part.group for part in stream.parts if isinstance(part, GroupAxis)} == {"conv1", "layer2.0.conv2"}
