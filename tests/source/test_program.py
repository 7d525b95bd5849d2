import threading
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from weightspace.checkpoint import open_checkpoint
from weightspace.errors import CheckpointMismatchError, DataError, SourceError
from weightspace.source import Inputs, Program


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("table", torch.arange(4.0), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.embed(tokens).mean(1)) + self.table)


@pytest.fixture
def tied() -> Program:
    torch.manual_seed(0)
    return Program(Tied(), Inputs((torch.tensor([[1, 2], [3, 4]]),)))


def linear(**options) -> Program:
    torch.manual_seed(0)
    return Program(nn.Linear(6, 3, **options), Inputs((torch.randn(2, 6),)))


def test_names_and_ties(tied: Program) -> None:
    assert tied.state_names == (
        "embed.weight", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var",
        "norm.num_batches_tracked", "head.weight",
    )  # fmt: skip
    assert tied.aliases == {"head.weight": "embed.weight"}
    assert set(tied.state()) == set(tied.state_names)


@pytest.mark.parametrize("left_out", [(), ("head.weight",), ("embed.weight",)])
def test_a_tied_tensor_may_be_given_under_any_name(tied: Program, left_out: tuple[str, ...]) -> None:
    state = {name: tensor * 2 for name, tensor in tied.state().items() if name not in left_out}
    expected = Tied().eval()
    expected.load_state_dict({name: tensor * 2 for name, tensor in tied.state().items()})
    tied.check_state(state)
    torch.testing.assert_close(tied.outputs(state)[0], expected(*tied.inputs.args))


def test_calls_leave_no_trace(tied: Program) -> None:
    before = {name: tensor.clone() for name, tensor in tied.state().items()}
    reference = tied.outputs(tied.state())[0].clone()
    tied.outputs({name: tensor + 1 for name, tensor in tied.state().items()})
    assert torch.equal(tied.outputs(tied.state())[0], reference)
    assert all(torch.equal(tied.state()[name], tensor) for name, tensor in before.items())
    assert not tied.outputs(tied.state())[0].requires_grad


def test_what_a_forward_pass_caches_on_the_module_does_not_reach_the_next_call() -> None:
    class Caching(nn.Linear):
        cache: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            if self.cache is None:
                self.cache = self.weight * 2
            return x @ self.cache.T

    program = Program(Caching(3, 3, bias=False), Inputs((torch.ones(1, 3),)))
    ones = {"weight": torch.ones(3, 3)}
    assert program.outputs(ones)[0].tolist() == [[6, 6, 6]]
    assert program.outputs({"weight": torch.zeros(3, 3)})[0].tolist() == [[0, 0, 0]]


def test_a_module_that_cannot_be_copied_still_runs() -> None:
    module = nn.Linear(3, 2)
    module.lock = threading.Lock()  # pyright: ignore
    program = Program(module, Inputs((torch.ones(1, 3),)))
    torch.testing.assert_close(program.outputs(program.state())[0], module(torch.ones(1, 3)))


def test_dropout_is_off_and_random_networks_repeat() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            return self.drop(x) * self.scale + torch.randn_like(x)

    program = Program(Noisy().train(), Inputs((torch.ones(4, 8),)))
    before = torch.get_rng_state()
    first, second = program.outputs(program.state())[0], program.outputs(program.state())[0]
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("stored", "computed"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_runs_in_single_and_double_in_double(tied: Program, stored, computed) -> None:
    state = {n: t.to(stored) if t.is_floating_point() else t for n, t in tied.state().items()}
    (output,) = tied.outputs(state)
    assert output.dtype == computed
    wide = {n: t.to(computed) if t.is_floating_point() else t for n, t in state.items()}
    torch.testing.assert_close(output, tied.outputs(wide)[0])


def test_nested_outputs_are_listed_in_order() -> None:
    @dataclass
    class Output:
        logits: Tensor
        hidden: tuple[Tensor, ...]
        ids: Tensor
        extra: dict[str, Tensor | None]

    class Many(nn.Linear):
        def forward(self, x: Tensor) -> Output:
            y = super().forward(x)
            return Output(y, (y + 1, y + 2), y.argmax(1), {"a": y + 3, "b": None})

    program = Program(Many(3, 2), Inputs((torch.ones(1, 3),)))
    outputs = program.outputs(program.state())
    assert [round(float((o - outputs[0]).mean()), 5) for o in outputs] == [0, 1, 2, 3]

    class Silent(nn.Linear):
        def forward(self, x: Tensor) -> None:
            super().forward(x)

    silent = Program(Silent(3, 2), Inputs((torch.ones(1, 3),)))
    with pytest.raises(SourceError, match="return them"):
        silent.outputs(silent.state())


def test_prediction_reshapes_samples_and_keeps_the_other_arguments() -> None:
    class Scaled(nn.Linear):
        def forward(self, x: Tensor, *, scale: float) -> Tensor:
            return super().forward(x) * scale

    program = Program(Scaled(6, 3, bias=False), Inputs(kwargs={"x": torch.randn(2, 6), "scale": 3.0}))
    x = torch.randn(5, 1, 2, 3)
    expected = 3 * x.flatten(1) @ program.state()["weight"].T
    torch.testing.assert_close(program.prediction(program.state(), x), expected)
    with pytest.raises(DataError, match=r"expected samples of shape \(6,\).*found \(7,\)"):
        program.prediction(program.state(), torch.randn(5, 7))


def test_a_failing_network_is_one_line() -> None:
    class Broken(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no\nluck")

    program = Program(Broken(6, 3), Inputs((torch.randn(2, 6),)), label="broken.py:net")
    with pytest.raises(SourceError, match=r"broken\.py:net: .*\(2, 6\).*test_program\.py:\d+: RuntimeError: no$"):
        program.outputs(program.state())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": None}, r"weight: expected a tensor of shape \(3, 6\), found none"),
        ({"weight": torch.zeros(3, 7)}, r"weight: expected shape \(3, 6\), found \(3, 7\)"),
        ({"more.weight": torch.zeros(2)}, r"more\.weight: expected no such tensor, found one of shape \(2,\)"),
        ({"weight": None, "bias": None}, r"weight.*\(and 1 more\)"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_by_tensor(tmp_path, change, message: str) -> None:
    program = linear()
    state = {n: t for n, t in (program.state() | change).items() if t is not None}
    with pytest.raises(CheckpointMismatchError, match=message):
        program.check_state(state)
    if state:
        torch.save(state, tmp_path / "net.pt")
        with pytest.raises(CheckpointMismatchError, match=f"net.pt: {message}.*--arch"):
            program.check_state(open_checkpoint(tmp_path / "net.pt"))


def test_a_missing_tensor_is_refused_when_run() -> None:
    program = linear()
    with pytest.raises(CheckpointMismatchError, match="bias"):
        program.outputs({"weight": program.state()["weight"]})


def test_old_counters_may_be_missing_and_tables_may_be_present(tied: Program) -> None:
    state = tied.state() | {"table": torch.zeros(4)}
    del state["norm.num_batches_tracked"]
    tied.check_state(state)
    torch.testing.assert_close(tied.outputs(state), tied.outputs(tied.state()))
