"""RegMean against its closed form in plain torch, and where it must give a model back."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from weightspace.errors import DataError, MergeError
from weightspace.merge.by_data import regmean
from weightspace.merge.interpolate import average
from weightspace.source import Inputs, Program

State = dict[str, Tensor]


def mlp() -> Program:
    return Program(nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4)), Inputs((torch.randn(3, 6),)))


def cnn() -> Program:
    layers = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2, groups=2)
    return Program(nn.Sequential(*layers), Inputs((torch.randn(3, 2, 7, 7),)))


def states(program: Program, count: int, seed: int = 0) -> list[State]:
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            name: torch.rand(tensor.shape, generator=generator) - (0.0 if name.endswith("running_var") else 0.4)
            if tensor.is_floating_point()
            else tensor
            for name, tensor in program.state().items()
        }
        for _ in range(count)
    ]


def calls(program: Program, seed: int, count: int = 3, rows: int = 40) -> list[Inputs]:
    generator = torch.Generator().manual_seed(seed)
    shape = program.inputs.tensors()[0].shape[1:]
    return [program.inputs_for(torch.randn(rows, *shape, generator=generator)) for _ in range(count)]


def closed_form(models: list[State], inputs: list[Tensor], weight: str, alpha: float) -> Tensor:
    """(sum G_i)^-1 sum G_i W_i, with weights as the paper has them: (in, out)."""
    left, right = torch.zeros(()), torch.zeros(())
    for model, x in zip(models, inputs, strict=True):
        gram = x.double().T @ x.double() / len(x)
        gram = alpha * gram + (1 - alpha) * torch.diag(torch.diag(gram))
        left = left + gram
        right = right + gram @ model[weight].double().flatten(1).T
    return torch.linalg.solve(left, right).T


@pytest.mark.parametrize("alpha", [0.9, 1.0, 0.0])
@pytest.mark.parametrize("own", [True, False])
def test_linear_layers_are_those_of_the_closed_form(alpha: float, own: bool) -> None:
    program = mlp()
    models = states(program, 3)
    data = [calls(program, number if own else 0, count=number + 1 if own else 2) for number in range(3)]
    found = regmean(program, models, [lambda each=each: each for each in data], alpha=alpha, ridge=0.0)
    assert found.solved == ("0.weight", "2.weight")
    first = [torch.cat([call.tensors()[0] for call in each]) for each in data]
    second = [F.relu(F.linear(x, m["0.weight"], m["0.bias"])) for x, m in zip(first, models, strict=True)]
    mean = average(models)
    for name, inputs in (("0.weight", first), ("2.weight", second)):
        torch.testing.assert_close(found.state[name].double(), closed_form(models, inputs, name, alpha))
    for name in ("0.bias", "2.bias"):
        assert torch.equal(found.state[name], mean[name])


def test_convolutions_are_linear_in_their_patches() -> None:
    program = cnn()
    models, data = states(program, 2), calls(program, 0)
    found = regmean(program, models, [lambda: data] * 2, ridge=0.0).state
    x = torch.cat([call.tensors()[0] for call in data])
    patches = F.unfold(x, 3, padding=1).mT.flatten(0, 1)
    expected = closed_form(models, [patches] * 2, "0.weight", 0.9).reshape(4, 2, 3, 3)
    torch.testing.assert_close(found["0.weight"].double(), expected)
    hidden = []
    for model in models:
        out = F.conv2d(x, model["0.weight"], model["0.bias"], padding=1)
        mean, variance, scale, shift = (
            model[f"1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")
        )
        hidden.append(F.relu(F.batch_norm(out, mean, variance, scale, shift)))
    for group in range(2):
        part = slice(2 * group, 2 * group + 2)
        patches = [F.unfold(each[:, part], 3, stride=2).mT.flatten(0, 1) for each in hidden]
        own = [{"3.weight": model["3.weight"][3 * group : 3 * group + 3]} for model in models]
        expected = closed_form(own, patches, "3.weight", 0.9).reshape(3, 2, 3, 3)
        torch.testing.assert_close(found["3.weight"][3 * group : 3 * group + 3].double(), expected)


@pytest.mark.parametrize("build", [mlp, cnn])
def test_equal_models_give_themselves_back(build) -> None:
    program = build()
    (model,) = states(program, 1)
    data = calls(program, 0)
    found = regmean(program, [model] * 3, [lambda: data] * 3).state
    assert all(torch.equal(found[name], tensor) for name, tensor in model.items())


def test_what_the_data_do_not_tell_is_a_mean() -> None:
    """Inputs that are always zero, and fewer examples than inputs."""
    program = mlp()
    models = states(program, 2)
    x = torch.randn(2, 6)
    x[:, 3] = 0
    for ridge in (0.0, 1e-6):
        found = regmean(program, models, [lambda: [program.inputs_for(x)]] * 2, ridge=ridge).state
        assert all(bool(tensor.isfinite().all()) for tensor in found.values())
        torch.testing.assert_close(found["0.weight"][:, 3], average(models)["0.weight"][:, 3])


def test_outputs_are_nearer_to_those_of_the_models_than_those_of_the_mean() -> None:
    program = Program(nn.Sequential(nn.Linear(6, 4)), Inputs((torch.randn(3, 6),)))
    models = states(program, 2)
    scales = [torch.tensor([9.0, 9, 9, 1, 1, 1]), torch.tensor([1.0, 1, 1, 9, 9, 9])]
    data = [program.inputs_for(torch.randn(200, 6) * scale) for scale in scales]
    found = regmean(program, models, [lambda: [data[0]], lambda: [data[1]]], alpha=1.0).state

    def error(state: State) -> float:
        outputs = [(program.outputs(m, x)[0] - program.outputs(state, x)[0]) for m, x in zip(models, data, strict=True)]
        return sum(float(each.square().sum()) for each in outputs)

    assert error(found) < error(average(models)) / 2


def test_mistakes() -> None:
    program = mlp()
    models = states(program, 2)
    with pytest.raises(DataError, match="at least one batch"):
        regmean(program, models, [list, list])
    with pytest.raises(MergeError, match="each of 2 models, found 1"):
        regmean(program, models, [lambda: calls(program, 0)])
