"""Singular values and barriers, layer by layer, and the picture of a comparison."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from weightspace.data import Batch
from weightspace.errors import OutputError
from weightspace.evaluate import compare, evaluate, layer_barriers, plot_comparison, singular_difference
from weightspace.merge import interpolate
from weightspace.source import Inputs, Program
from weightspace.symmetry import derive


def test_singular_values_by_hand():
    a = torch.diag(torch.tensor([4.0, 2.0, 1.0]))
    turned = a[[1, 0, 2]]
    found = singular_difference("w", a, turned, a)
    assert found is not None
    assert found.kept == 2  # 1 is below 0.3 of 4
    assert found.spectra == found.spectra_aligned == 0
    assert found.alignment == pytest.approx(0)
    assert found.alignment_aligned == pytest.approx(1)
    found = singular_difference("w", a, -a, 2 * a)
    assert found is not None
    assert found.alignment == pytest.approx(-1)
    assert found.alignment_aligned == pytest.approx(1)
    assert found.spectra_aligned == pytest.approx(1)


def test_unrestricted_it_is_the_inner_product(monkeypatch):
    monkeypatch.setattr("weightspace.evaluate.singular.LARGE", 0.0)
    a, b = torch.randn(2, 5, 3, 2, dtype=torch.float64)
    found = singular_difference("w", a, b, b)
    assert found is not None
    most = (torch.linalg.svdvals(a.flatten(1)) * torch.linalg.svdvals(b.flatten(1))).sum()
    assert found.alignment == pytest.approx(float((a * b).sum() / most))


@pytest.mark.parametrize("tensor", [torch.ones(3), torch.ones(1, 4), torch.zeros(3, 3)])
def test_what_has_no_singular_vectors_is_left_out(tensor):
    assert singular_difference("w", tensor, tensor, tensor) is None


@pytest.fixture
def pair():
    """A small CNN, and one that differs from it in the last layer alone."""
    torch.manual_seed(0)
    features = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    net = nn.Sequential(*features, nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 3))
    net(torch.rand(16, 1, 8, 8))
    net.eval()
    inputs = Inputs((torch.rand(4, 1, 8, 8),))
    a = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    b = {**a, "7.weight": torch.randn(3, 8)}
    return Program(net, inputs), derive(net, inputs.args, {}), a, b


def test_only_the_layer_that_differs_raises_the_loss(pair):
    program, spec, a, b = pair
    x = torch.rand(40, 1, 8, 8)
    y = program.prediction(a, x).argmax(1)
    seen = []
    found = layer_barriers(program, a, b, a, spec, lambda: [Batch(x, y)], progress=lambda *step: seen.append(step))
    assert found.measure == "loss"
    assert [row.layer for row in found.layers] == ["0", "5", "7"]
    assert "1.running_var" in found.layers[0].tensors  # a norm goes the way of its convolution
    assert seen[-1] == (3, 3, "7")
    for row in found.layers[:2]:
        assert row.middle == row.replaced == row.middle_aligned == row.replaced_aligned == 0
    last = found.layers[2]
    losses = [evaluate(program, state, [Batch(x, y)]).loss for state in (a, interpolate(a, b, 0.5), b)]
    assert last.middle == pytest.approx(losses[1] - losses[0])
    assert last.replaced == pytest.approx(losses[2] - losses[0])
    assert last.middle_aligned == 0


def test_without_labels_outputs_are_compared(pair):
    program, spec, a, b = pair
    x = torch.rand(10, 1, 8, 8)
    found = layer_barriers(program, a, b, a, spec, lambda: [Batch(x, None)])
    assert found.measure == "outputs"
    assert found.layers[0].middle == 0
    assert found.layers[2].middle > 0
    expected, other = (program.prediction(state, x).double() for state in (a, b))
    assert found.layers[2].replaced == pytest.approx(float((other - expected).square().sum() / expected.square().sum()))


def test_the_picture_shows_both_colours_and_the_verdict(pair, tmp_path):
    program, spec, a, b = pair
    x = torch.rand(10, 1, 8, 8)
    found = compare(a, b, spec)
    layers = layer_barriers(program, a, b, a, spec, lambda: [Batch(x, None)])
    plot_comparison(found, tmp_path / "p.png", title="one and two", layers=layers)
    with Image.open(tmp_path / "p.png") as image:
        assert image.width > image.height > 300
        pixels = np.asarray(image.convert("RGB")).astype(int)
    for colour in ((0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2)):
        assert (abs(pixels - colour).sum(2) < 12).sum() > 200
    plot_comparison(found, tmp_path / "p.svg", title="one and two", layers=layers)
    text = (tmp_path / "p.svg").read_text()
    for part in ("one and two: fine-tuned", "7.weight", "share of units recognised", "distance of outputs"):
        assert part in text
    plot_comparison(found, tmp_path / "again.svg", title="one and two", layers=layers)
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / "p.svg").read_bytes()


def test_a_picture_of_another_kind_is_refused(pair, tmp_path):
    _, spec, a, b = pair
    with pytest.raises(OutputError, match=r"\.png"):
        plot_comparison(compare(a, b, spec), tmp_path / "p.gif")
