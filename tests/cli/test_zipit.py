"""`wsp merge --method zipit` on real small networks."""

from __future__ import annotations

import json

import pytest
import torch

from tests.cli.test_pleas import ARCH, DATA, PAIR, accuracy
from weightspace.checkpoint import open_checkpoint
from weightspace.data import open_data
from weightspace.evaluate import evaluate
from weightspace.source import Program, resolve_source

COMMAND = ("merge", *PAIR, "--arch", ARCH, "--data", DATA, "--method", "zipit")


def test_it_keeps_what_both_can_do_and_says_where_units_went(wsp, tmp_path) -> None:
    output = tmp_path / "m.safetensors"
    outcome = wsp(*COMMAND, "-o", output, "--json")
    assert outcome.status == 0, outcome.stderr
    assert accuracy(output) > 0.95
    document = outcome.document
    assert (document["merge"], document["method"], document["statistics"]) == ("zipit", "activations", "measured")
    assert document["paired"] == {}
    assert [(group["name"], group["size"]) for group in document["zipped"]] == [
        ("conv1", 16), ("conv2", 32), ("conv3", 32),
    ]  # fmt: skip
    assert all(group["across"] + group["within"] + group["alone"] == 2 * group["size"] for group in document["zipped"])
    merged, before = open_checkpoint(output), open_checkpoint(PAIR[0])
    assert {name: tensor.shape for name, tensor in merged.items()} == {n: t.shape for n, t in before.items()}
    provenance = json.loads(output.with_name("m.wsp.json").read_text())
    assert provenance["recipe"]["merge"] == "zipit"


def test_equal_commands_give_equal_bytes_and_people_see_a_table(wsp, tmp_path) -> None:
    outcomes = [
        wsp(*COMMAND, "--match-samples", "300", "-o", tmp_path / f"{name}.safetensors") for name in ("one", "two")
    ]
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert "across" in outcomes[0].stdout
    assert "merged by ZipIt" in outcomes[0].stdout


def test_a_network_and_its_permuted_copy_give_it_back_and_streams_under_norms_are_named(wsp, tmp_path) -> None:
    arch = tmp_path / "normed.py"
    arch.write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Normed(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.into, self.norm = nn.Linear(64, 12), nn.LayerNorm(12)\n"
        "        self.up, self.down, self.out = nn.Linear(12, 20), nn.Linear(20, 12), nn.Linear(12, 10)\n"
        "        self.example_input = torch.zeros(2, 64)\n"
        "    def forward(self, x):\n"
        "        x = self.into(x)\n"
        "        return self.out(self.norm(x + self.down(torch.tanh(self.up(x)))))\n"
    )
    torch.manual_seed(0)
    layers = {
        "into": torch.nn.Linear(64, 12), "norm": torch.nn.LayerNorm(12), "up": torch.nn.Linear(12, 20),
        "down": torch.nn.Linear(20, 12), "out": torch.nn.Linear(12, 10),
    }  # fmt: skip
    a = {f"{name}.{key}": value for name, layer in layers.items() for key, value in layer.state_dict().items()}
    stream, hidden = torch.randperm(12), torch.randperm(20)
    b = {
        "into.weight": a["into.weight"][stream], "into.bias": a["into.bias"][stream],
        "norm.weight": a["norm.weight"][stream], "norm.bias": a["norm.bias"][stream],
        "up.weight": a["up.weight"][hidden][:, stream], "up.bias": a["up.bias"][hidden],
        "down.weight": a["down.weight"][stream][:, hidden], "down.bias": a["down.bias"][stream],
        "out.weight": a["out.weight"][:, stream], "out.bias": a["out.bias"],
    }  # fmt: skip
    for name, state in (("a", a), ("b", b)):
        torch.save(state, tmp_path / f"{name}.pt")
    outcome = wsp(
        "merge", tmp_path / "a.pt", tmp_path / "b.pt", "--arch", f"{arch}:Normed", "--input-shape", "64",
        "--data", DATA, "--method", "zipit", "--match-samples", "300", "-o", tmp_path / "m.safetensors",
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    assert "1 group not zipped" in outcome.stdout
    for name, tensor in open_checkpoint(tmp_path / "m.safetensors").items():
        torch.testing.assert_close(tensor, a[name])


@pytest.mark.parametrize("option", [("--t", "0.3"), ("--align", "none")])
def test_what_does_not_go_with_it_is_refused(wsp, tmp_path, option) -> None:
    outcome = wsp(*COMMAND, *option, "-o", tmp_path / "m.safetensors")
    outcome.failed_with("method zipit", "expected", option[0], "drop it")


def test_without_data_nothing_is_written(wsp, tmp_path) -> None:
    output = tmp_path / "m.safetensors"
    outcome = wsp("merge", *PAIR, "--arch", ARCH, "--method", "zipit", "-o", output)
    outcome.failed_with("method zipit", "--data", "choose --method rebasin or linear, which need none")
    assert not output.exists()


def test_behind_a_layer_both_networks_go_on_side_by_side(wsp, tmp_path) -> None:
    out = tmp_path / "zipped"
    outcome = wsp(*COMMAND, "--until", "conv2.weight", "-o", out, "--json")
    assert outcome.status == 0, outcome.stderr
    document = outcome.document
    last = next(group for group in document["zipped"] if group["name"] == "conv3")
    assert last["alone"] == last["size"] == 64
    assert document["parameters"][1] > document["parameters"][0]
    program = Program.from_source(resolve_source(f"{out / 'network.py'}:network"))
    assert program.parameters == document["parameters"][1]
    found = evaluate(program, open_checkpoint(out).tensors(), open_data(DATA).evaluation.batches(500)).accuracy
    assert found == pytest.approx(document["scores"]["merged"]["accuracy"])
    assert found > document["scores"]["averaged"]["accuracy"]


def test_where_a_zip_ends_is_checked_before_anything_is_written(wsp, tmp_path) -> None:
    wsp(*COMMAND, "--until", "bn1.weight", "-o", tmp_path / "out").failed_with("bn1.weight", "expected the weight of a")
    wsp(*COMMAND, "--until", "conv2.weight", "-o", tmp_path / "m.safetensors").failed_with("expected a folder")
    command = [option if option != "zipit" else "rebasin" for option in COMMAND]
    wsp(*command, "--until", "conv2.weight", "-o", tmp_path / "out").failed_with("--method rebasin", "no --until")
    assert not list(tmp_path.iterdir())
