"""`wsp merge --size` on real small networks: files that plain torch loads, and requests that cannot be met."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.test_pleas import ARCH, DATA, PAIR, accuracy
from weightspace.checkpoint import open_checkpoint
from weightspace.data import open_data
from weightspace.evaluate import evaluate
from weightspace.source import Program, resolve_source

COMMAND = ("merge", *PAIR, "--arch", ARCH, "--data", DATA, "--method", "pleas", "--match-samples", "300")
PLAIN = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from network import network
built, arguments = network()
assert "weightspace" not in sys.modules
print(tuple(built(**{name: torch.ones(5, *tensor.shape[1:]) for name, tensor in arguments.items()}).shape))
"""


def test_a_network_of_another_width_is_loaded_with_and_without_wsp(wsp, tmp_path) -> None:
    out = tmp_path / "wide"
    outcome = wsp(*COMMAND, "--size", "1.5", "--rounds", "2", "-o", out, "--json")
    assert outcome.status == 0, outcome.stderr
    document = outcome.document
    assert 1.4 < document["size"] <= 1.5
    assert document["parameters"][1] == round(document["size"] * document["parameters"][0])
    assert document["flops"][1] > document["flops"][0]
    assert set(document["apart"]) == {"conv1", "conv2", "conv3"}
    assert {path.name for path in out.iterdir()} == {"model.safetensors", "network.py", "recipe.yml", "wsp.json"}
    plain = subprocess.run([sys.executable, "-c", PLAIN, out], capture_output=True, text=True, check=True)
    assert plain.stdout.strip() == "(5, 10)"
    program = Program.from_source(resolve_source(f"{out / 'network.py'}:network"))
    assert program.parameters == document["parameters"][1]
    state = open_checkpoint(out).tensors()
    found = evaluate(program, state, open_data(DATA).evaluation.batches(500)).accuracy
    assert found >= min(accuracy(path) for path in PAIR) - 0.01
    assert wsp("spec", f"{out / 'network.py'}:network", "--verify", "--json").status == 0


def test_shares_of_groups_may_be_given(wsp, tmp_path) -> None:
    out = tmp_path / "wide"
    outcome = wsp(*COMMAND, "--apart", "conv2=0.5,conv3=1", "--rounds", "0", "-o", out)
    assert outcome.status == 0, outcome.stderr
    assert "what was kept apart" in outcome.stdout
    recipe = json.loads((out / "wsp.json").read_text())["recipe"]
    assert recipe["apart"] == {"conv2": 0.5, "conv3": 1.0}


def test_equal_commands_give_equal_folders(wsp, tmp_path) -> None:
    for name in ("one", "two"):
        outcome = wsp(*COMMAND, "--size", "1.3", "--size-by", "flops", "--rounds", "1", "-o", tmp_path / name)
        assert outcome.status == 0, outcome.stderr
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--size", "2.5"), ("size 2.5", "expected from 1 to 1.9")),
        (("--size", "0.5"), ("size 0.5", "expected from 1 to")),
        (("--apart", "fc=0.5"), ("group 'fc'", "expected one that may grow (conv1, conv2, conv3)")),
        (("--apart", "conv1=2"), ("GROUP=SHARE", "'conv1=2'")),
        (("--size", "1.5", "--apart", "conv1=1"), ("--size or --apart, found both",)),
        (("--size", "1.5", "--size-by", "bytes"), ("size_by", "'parameters' or 'flops', found 'bytes'")),
    ],
)
def test_sizes_that_cannot_be_had_are_refused(wsp, tmp_path, options, words) -> None:
    outcome = wsp(*COMMAND, *options, "-o", tmp_path / "wide")
    assert outcome.status != 0
    said = " ".join(outcome.stderr.replace("│", " ").split())
    assert all(word in said for word in words), outcome.stderr
    assert not (tmp_path / "wide").exists()


def test_a_single_file_could_not_say_what_it_is_of(wsp, tmp_path) -> None:
    outcome = wsp(*COMMAND, "--size", "1.5", "-o", tmp_path / "wide.safetensors")
    assert outcome.status == 1
    assert "expected a folder" in outcome.stderr
    assert not list(tmp_path.iterdir())


def test_other_methods_merge_at_the_size_of_one(wsp, tmp_path) -> None:
    outcome = wsp("merge", *PAIR, "--arch", ARCH, "--size", "1.5", "-o", tmp_path / "wide")
    assert outcome.status == 1
    assert "--method rebasin: expected no --size" in outcome.stderr
