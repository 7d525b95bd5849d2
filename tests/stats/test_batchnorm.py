"""The reset of batch norm statistics, beside an oracle that keeps every activation."""

import copy

import pytest
import torch
from torch import nn

from weightspace.errors import DataError
from weightspace.source import Inputs, Program
from weightspace.stats import has_batchnorm, reset_batchnorm

IMAGES = torch.randn(30, 3, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Net(nn.Module):
    """Batch norms of two kinds, one used twice, with dropout that must stay off."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, affine=False)
        self.dropout = nn.Dropout(0.5)
        self.fc, self.bn3 = nn.Linear(4, 5), nn.BatchNorm1d(5, momentum=None)

    def forward(self, x):
        x = self.dropout(self.bn1(self.conv1(x)).relu())
        x = self.bn2(self.conv2(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        return self.bn3(self.fc(x.mean((2, 3))))


def program_of(module, shape=(2, 3, 6, 6)):
    torch.manual_seed(0)
    module = module.double().eval()
    for name, tensor in module.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_()
        elif name.endswith("running_var"):
            tensor.uniform_(0.1, 9)
        elif tensor.is_floating_point():
            tensor.normal_(std=0.5)
    return Program(module, Inputs((torch.randn(*shape, dtype=torch.float64),)))


def oracle(program, module, batches):
    """Materialise the input of every batch norm, batch norms alone in training mode."""
    module.double().eval().load_state_dict(program.state())
    inputs = {}
    for name, child in module.named_modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            child.train()
            child.register_forward_pre_hook(lambda _, args, name=name: inputs.setdefault(name, []).append(args[0]))
    with torch.no_grad():
        for x, _ in batches:
            module(x)
    moments = {}
    for name, seen in inputs.items():
        values = torch.cat([x.transpose(0, 1).reshape(x.shape[1], -1) for x in seen], dim=1)
        moments[f"{name}.running_mean"], moments[f"{name}.running_var"] = values.mean(1), values.var(1)
    return moments


def batches_of(x, size):
    return [(part, None) for part in x.split(size)]


@pytest.mark.parametrize("size", [30, 10, 8])  # one batch, equal batches, a smaller last one
def test_statistics_are_those_of_all_activations(size):
    program = program_of(Net())
    state = program.state()
    before = {name: tensor.clone() for name, tensor in state.items()}
    reset = reset_batchnorm(program, state, batches_of(IMAGES, size))
    expected = oracle(program, Net(), batches_of(IMAGES, size))
    assert len(expected) == 6
    for name, value in expected.items():
        torch.testing.assert_close(reset[name], value, rtol=1e-11, atol=1e-12)
        assert not torch.allclose(reset[name], before[name])
    assert list(reset) == list(state)
    for name in state:
        assert torch.equal(state[name], before[name]), "the given state was changed"
        assert name in expected or reset[name] is state[name]


def test_old_statistics_take_no_part():
    program = program_of(Net())
    state = program.state()
    other = {name: tensor * 7 if "running" in name else tensor for name, tensor in state.items()}
    first = reset_batchnorm(program, state, batches_of(IMAGES, 10))
    second = reset_batchnorm(program, other, batches_of(IMAGES, 10))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_batch_makes_evaluation_repeat_training():
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)
    program = program_of(nn.Sequential(*layers))
    reset = reset_batchnorm(program, program.state(), batches_of(IMAGES, 30))
    # Evaluation divides by the stored, unbiased variance, training by the biased one.
    for name, count in (("1", 30 * 16), ("4", 30 * 4)):
        reset[f"{name}.running_var"] = reset[f"{name}.running_var"] * (count - 1) / count
    evaluated = program.prediction(reset, IMAGES)
    trained = nn.Sequential(*copy.deepcopy(layers)).train()
    with torch.no_grad():
        torch.testing.assert_close(evaluated, trained(IMAGES), rtol=1e-10, atol=1e-10)


def test_the_variance_between_batches_counts():
    program = program_of(nn.Sequential(nn.BatchNorm2d(3)))
    shifted = [(IMAGES[:15], None), (IMAGES[15:] + 5, None)]
    reset = reset_batchnorm(program, program.state(), shifted)
    pooled = torch.cat([x for x, _ in shifted]).transpose(0, 1).flatten(1)
    torch.testing.assert_close(reset["0.running_var"], pooled.var(1), rtol=1e-12, atol=0)
    within = torch.stack([x.transpose(0, 1).flatten(1).var(1) for x, _ in shifted]).mean(0)
    assert (reset["0.running_var"] > within + 5).all()


@pytest.mark.parametrize(
    ("weights", "statistics", "tolerance"),
    [
        (torch.float32, torch.float32, 1e-5),
        (torch.float16, torch.float16, 1e-2),
        (torch.bfloat16, torch.float32, 3e-2),
        (torch.float32, torch.float64, 1e-6),
    ],
)
def test_the_dtype_of_the_state_is_kept(weights, statistics, tolerance):
    program = program_of(Net())
    state = {
        name: tensor.to(statistics if "running" in name else weights) if tensor.is_floating_point() else tensor
        for name, tensor in program.state().items()
    }
    reset = reset_batchnorm(program, state, batches_of(IMAGES, 10))
    exact = reset_batchnorm(program, program.state(), batches_of(IMAGES, 10))
    for name, tensor in reset.items():
        assert tensor.dtype == state[name].dtype
        torch.testing.assert_close(tensor.double(), exact[name].double(), rtol=tolerance, atol=tolerance)


def test_statistics_that_share_memory_are_told_apart():
    program = program_of(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)))
    state = program.state()
    apart = reset_batchnorm(program, state, batches_of(IMAGES, 10))
    shared = torch.zeros(3, dtype=torch.float64)
    together = reset_batchnorm(
        program, {n: shared if "running" in n else t for n, t in state.items()}, batches_of(IMAGES, 10)
    )
    assert all(torch.equal(together[name], apart[name]) for name in state)


def test_a_module_under_two_names_has_one_statistic():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.BatchNorm2d(3)
            self.second = self.first

        def forward(self, x):
            return self.second(x)

    program = program_of(Twice())
    reset = reset_batchnorm(program, program.state(), batches_of(IMAGES, 10))
    for name in ("first.running_mean", "second.running_mean"):
        torch.testing.assert_close(reset[name], IMAGES.mean((0, 2, 3)), rtol=1e-12, atol=1e-12)


class Direct(nn.Module):
    """A batch norm that is no nn.BatchNorm and calls the operator itself."""

    def __init__(self, call):
        super().__init__()
        self.call = call
        self.register_buffer("mu", torch.zeros(3))
        self.register_buffer("nu", torch.ones(3))

    def forward(self, x):
        return self.call(x, None, None, self.mu, self.nu, False, 0.1, 1e-5, False)


@pytest.mark.parametrize("call", [torch.batch_norm, torch.ops.aten.batch_norm, torch.ops.aten.batch_norm.default])
def test_any_call_of_batch_norm_counts(call):
    program = program_of(Direct(call))
    assert has_batchnorm(program)
    reset = reset_batchnorm(program, program.state(), batches_of(IMAGES, 10))
    torch.testing.assert_close(reset["mu"], IMAGES.mean((0, 2, 3)), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(reset["nu"], IMAGES.transpose(0, 1).flatten(1).var(1), rtol=1e-12, atol=0)


def test_timm_batch_norm_with_activation():
    layers = pytest.importorskip("timm.layers")

    class Timm(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 4, 1), layers.BatchNormAct2d(4)

        def forward(self, x):
            return self.bn(self.conv(x))

    program = program_of(Timm())
    assert has_batchnorm(program)
    reset = reset_batchnorm(program, program.state(), batches_of(IMAGES, 10))
    state = program.state()
    with torch.no_grad():
        before = nn.functional.conv2d(IMAGES, state["conv.weight"], state["conv.bias"])
    torch.testing.assert_close(reset["bn.running_mean"], before.mean((0, 2, 3)), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(reset["bn.running_var"], before.transpose(0, 1).flatten(1).var(1), rtol=1e-11, atol=0)


def test_a_batch_norm_without_running_statistics_is_none():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.GroupNorm(2, 4))
    program = program_of(module)
    assert not has_batchnorm(program)
    state = program.state()
    reset = reset_batchnorm(program, state, batches_of(IMAGES, 10))
    assert all(reset[name] is state[name] for name in state)


def test_a_single_value_per_channel_is_refused():
    program = program_of(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(108)))
    with pytest.raises(DataError, match=r"1\.running_mean: expected several values per channel"):
        reset_batchnorm(program, program.state(), batches_of(IMAGES, 1))


def test_no_batch_is_refused():
    program = program_of(Net())
    with pytest.raises(DataError, match="expected at least one batch, found none"):
        reset_batchnorm(program, program.state(), [])
