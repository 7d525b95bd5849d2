"""`wsp merge --method pleas` on real small networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from weightspace.checkpoint import open_checkpoint
from weightspace.data import open_data
from weightspace.evaluate import evaluate
from weightspace.source import Program, resolve_source

ZOO = Path(__file__).resolve().parents[2] / "checkpoints_zoo"
PAIR = ZOO / "digits_cnn_0.safetensors", ZOO / "digits_cnn_1.safetensors"
ARCH = f"{ZOO / 'models.py'}:digits_cnn"
DATA = ZOO / "digits"


def accuracy(path: Path) -> float:
    program = Program.from_source(resolve_source(ARCH))
    return evaluate(program, open_checkpoint(path).tensors(), open_data(DATA).evaluation.batches(500)).accuracy


def test_it_beats_the_mean_of_aligned_weights(wsp, tmp_path) -> None:
    command = ("merge", *PAIR, "--arch", ARCH, "--data", DATA)
    mean, merged = tmp_path / "mean.safetensors", tmp_path / "merged.safetensors"
    assert wsp(*command, "-o", mean).status == 0
    outcome = wsp(*command, "--method", "pleas", "-o", merged, "--json")
    assert outcome.status == 0, outcome.stderr
    assert accuracy(merged) > accuracy(mean)
    document = outcome.document
    assert (document["merge"], document["method"], document["statistics"]) == ("pleas", "activations", "measured")
    assert set(document["residuals"]) == {"conv1.weight", "conv2.weight", "conv3.weight", "fc.weight"}
    assert len(document["losses"]) == document["passes"] + 1 == 9
    provenance = json.loads(merged.with_name("merged.wsp.json").read_text())
    assert provenance["recipe"]["merge"] == "pleas"


def test_equal_commands_give_equal_bytes_and_no_rounds_leave_least_squares(wsp, tmp_path) -> None:
    command = ("merge", *PAIR, "--arch", ARCH, "--data", DATA, "--method", "pleas", "--match-samples", "300")
    for name in ("one", "two"):
        assert wsp(*command, "--rounds", "1", "-o", tmp_path / f"{name}.safetensors").status == 0
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    outcome = wsp(*command, "--rounds", "0", "-o", tmp_path / "solved.safetensors", "--json")
    assert outcome.document["losses"] == []


def test_people_see_what_is_left_of_every_layer(wsp, tmp_path) -> None:
    command = ("merge", *PAIR, "--arch", ARCH, "--data", DATA, "--method", "pleas", "--match-samples", "200")
    outcome = wsp(*command, "--rounds", "1", "-o", tmp_path / "m.safetensors")
    assert outcome.status == 0, outcome.stderr
    assert "layers solved for" in outcome.stdout
    assert "merged by PLeaS" in outcome.stdout


@pytest.mark.parametrize("option", [("--t", "0.3"), ("--align", "none")])
def test_what_does_not_go_with_it_is_refused(wsp, tmp_path, option) -> None:
    outcome = wsp(
        "merge", *PAIR, "--arch", ARCH, "--data", DATA, "--method", "pleas", *option, "-o", tmp_path / "m.pt2"
    )
    outcome.failed_with("method pleas", "expected", option[0], "drop it")


def test_without_data_nothing_is_written(wsp, tmp_path) -> None:
    output = tmp_path / "m.safetensors"
    outcome = wsp("merge", *PAIR, "--arch", ARCH, "--method", "pleas", "-o", output)
    outcome.failed_with("method pleas", "--data", "found none")
    assert not output.exists()


def test_tied_weights_stay_tied(wsp, tmp_path) -> None:
    """A network that reads one matrix twice; both names come out equal."""
    arch = tmp_path / "tied.py"
    arch.write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Tied(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.into, self.one, self.two = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, 16)\n"
        "        self.out = nn.Linear(16, 10)\n"
        "        self.two.weight = self.one.weight\n"
        "        self.example_input = torch.zeros(2, 64)\n"
        "    def forward(self, x):\n"
        "        x = torch.relu(self.into(x))\n"
        "        return self.out(torch.relu(self.two(torch.relu(self.one(x)))))\n"
    )
    for seed in (0, 1):
        torch.manual_seed(seed)
        state = {"into": torch.nn.Linear(64, 16), "one": torch.nn.Linear(16, 16), "out": torch.nn.Linear(16, 10)}
        tensors = {f"{name}.{key}": value for name, layer in state.items() for key, value in layer.state_dict().items()}
        torch.save(
            {**tensors, "two.weight": tensors["one.weight"], "two.bias": torch.randn(16)}, tmp_path / f"{seed}.pt"
        )
    output = tmp_path / "m.safetensors"
    outcome = wsp(
        "merge", tmp_path / "0.pt", tmp_path / "1.pt", "--arch", f"{arch}:Tied", "--input-shape", "64", "--data", DATA,
        "--method", "pleas", "--match-samples", "200", "--rounds", "1", "-o", output,
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    merged = open_checkpoint(output)
    assert torch.equal(merged["one.weight"], merged["two.weight"])
