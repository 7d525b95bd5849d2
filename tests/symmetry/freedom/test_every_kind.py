"""Every kind of freedom on ten random networks and on real ones, verified to 1e-6 in float64."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from random import Random

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.symmetry.freedom.checks import verified
from weightspace.checkpoint import open_checkpoint
from weightspace.source import Inputs, Program, resolve_source
from weightspace.symmetry import derive, randomized
from weightspace.symmetry.spec import Spec
from weightspace.symmetry.verify_freedoms import verify_freedoms


def perceptron(random: Random, activation: nn.Module) -> tuple[nn.Module, tuple[int, ...]]:
    """A convolution or none, then layers of random widths, some of them normed."""
    layers: list[nn.Module] = []
    shape, width = (2, 3), 3
    if random.random() < 0.5:
        width, shape = random.choice([2, 4]), (2, 3, 5, 5)
        layers += [nn.Conv2d(3, width, 2), nn.BatchNorm2d(width), activation, nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for _ in range(random.randint(1, 3)):
        wider = random.randint(2, 6)
        norm = [nn.BatchNorm1d(wider)] if random.random() < 0.4 else []
        layers += [nn.Linear(width, wider, bias=random.random() < 0.7), *norm, activation]
        width = wider
    return nn.Sequential(*layers, nn.Linear(width, 2)), shape


class Transformer(nn.Module):
    """Pre-norm layers of random sizes, with grouped queries."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        heads = random.choice([(2, 2), (4, 2), (2, 1)])
        self.heads, self.size, width = heads, random.choice([2, 3]), random.choice([4, 6])
        norm = (lambda: nn.RMSNorm(width, eps=1e-5)) if random.random() < 0.5 else (lambda: nn.LayerNorm(width))
        self.embed, self.head = nn.Linear(3, width), nn.Linear(width, 2)
        self.layers = nn.ModuleList()
        for _ in range(random.randint(1, 2)):
            q, kv, hidden = heads[0] * self.size, heads[1] * self.size, random.randint(3, 6)
            shapes = {"q": (width, q), "k": (width, kv), "v": (width, kv), "o": (q, width), "up": (width, hidden)}
            layer: dict[str, nn.Module] = {name: nn.Linear(*shape) for name, shape in shapes.items()}
            layer |= {"down": nn.Linear(hidden, width), "first": norm(), "second": norm()}
            self.layers.append(nn.ModuleDict(layer))
        self.norm = norm()

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for layer in self.layers:
            assert isinstance(layer, nn.ModuleDict)
            y = layer["first"](x)
            q, k, v = (layer[name](y).unflatten(-1, (-1, self.size)).transpose(1, 2) for name in "qkv")
            k, v = (z.repeat_interleave(self.heads[0] // self.heads[1], 1) for z in (k, v))
            x = x + layer["o"](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
            x = x + layer["down"](F.gelu(layer["up"](layer["second"](x))))
        return self.head(self.norm(x))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("kind", "activation"), [("scale", nn.ReLU()), ("sign", nn.Tanh())])
def test_random_perceptrons(kind: str, activation: nn.Module, seed: int):
    torch.manual_seed(seed)
    module, shape = perceptron(Random(seed), activation)
    assert verified(module, torch.randn(shape)).freedoms.only(kind).all


@pytest.mark.parametrize("seed", range(10))
def test_random_transformers(seed: int):
    torch.manual_seed(seed)
    module = Transformer(Random(seed))
    spec = verified(module, torch.randn(2, 4, 3))
    assert len(spec.freedoms.only("linear").all) == 2 * len(module.layers)
    assert len(spec.freedoms.only("rotation").all) == 1
    assert spec.freedoms.only("scale").all


def check_real(program: Program, spec: Spec) -> None:
    state = program.state()
    assert any(f.kind == "scale" for f in spec.freedoms.all)
    for weights in ({n: t.double() if t.is_floating_point() else t for n, t in state.items()}, randomized(state, spec)):
        weights = {name: tensor for name, tensor in weights.items() if name not in spec.aliases}
        found = verify_freedoms(spec, program.outputs, weights, freedoms=12)
        assert not found.wrong
        assert found.max_error < 1e-6


def test_real_resnet(shared_data: Path, repository: Path):
    path = repository / "checkpoints_zoo" / "cifar_resnet.py"
    found = importlib.util.spec_from_file_location("cifar_resnet", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    network = module.resnet20()[0].eval()
    inputs = (torch.randn(1, 3, 32, 32),)
    checkpoint = open_checkpoint(shared_data / "resnet_cifar10" / "resnet20" / "DanSun18_run_8_1_model.th")
    network.load_state_dict(dict(checkpoint.tensors()), strict=False)
    spec = derive(network, inputs)
    # One scale of the whole residual stream goes through the zero padding of its two shortcuts.
    after = [f for f in spec.freedoms.only("scale").all if any(p.tensor == "bn1.weight" for p in f.places)]
    reached = {place.tensor for freedom in after for place in freedom.places}
    assert {
        "bn1.weight",
        "layer1.2.bn2.weight",
        "layer2.0.bn2.weight",
        "layer3.2.bn2.weight",
        "linear.weight",
    } <= reached
    check_real(Program(network, Inputs(inputs, {})), spec)


def test_real_gpt2(shared_data: Path):
    pytest.importorskip("transformers")
    checkpoint = open_checkpoint(shared_data / "shakespeare" / "gpt2_0")
    source = resolve_source(None, checkpoint=checkpoint)
    program = Program.from_source(source)
    spec = derive(source.build().eval(), program.inputs.args, program.inputs.kwargs)
    maps = spec.freedoms.only("linear").all
    assert len(maps) == 2 * sum(name.endswith("attn.c_attn.weight") for name in spec.tensors)
    weights = {n: t.double() for n, t in checkpoint.tensors().items() if n in spec.tensors and t.is_floating_point()}
    found = verify_freedoms(spec, program.outputs, weights, freedoms=6)
    assert not found.wrong
    assert found.max_error < 1e-6
