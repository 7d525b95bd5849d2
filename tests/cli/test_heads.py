"""`wsp merge --heads both`: networks with different classes, on real small networks that lost half of theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import mlp, permuted
from weightspace.checkpoint import open_checkpoint
from weightspace.data import open_data
from weightspace.evaluate import evaluate
from weightspace.source import Program, resolve_source

ZOO = Path(__file__).resolve().parents[2] / "checkpoints_zoo"
ARCH = f"{ZOO / 'models.py'}:digits_cnn"
DATA = ZOO / "digits"


@pytest.fixture
def halves(tmp_path) -> tuple[Path, Path]:
    """Two trained networks, of which one knows the first six classes and the other the last four."""
    paths = []
    for number, kept in enumerate((slice(0, 6), slice(6, 10))):
        state = open_checkpoint(ZOO / f"digits_cnn_{number}.safetensors").tensors()
        head = {name: state[name][kept].clone() for name in ("fc.weight", "fc.bias")}
        paths.append(tmp_path / f"half_{number}.pt")
        torch.save(state | head, paths[-1])
    return paths[0], paths[1]


@pytest.fixture
def mlps(tmp_path) -> tuple[Path, Path]:
    """An MLP, and a permuted copy of it with two other classes."""
    state = mlp(0).state_dict()
    torch.manual_seed(5)
    other = {**state, "4.weight": torch.randn(2, 8), "4.bias": torch.randn(2)}
    a, b = tmp_path / "three.pt", tmp_path / "two.pt"
    torch.save(state, a)
    torch.save(permuted(other, 1), b)
    return a, b


def accuracy(path: Path) -> float:
    program = Program.from_source(resolve_source(ARCH))
    return evaluate(program, open_checkpoint(path).tensors(), open_data(DATA).evaluation.batches(500)).accuracy


def test_pleas_keeps_both_tasks(wsp, halves, tmp_path) -> None:
    command = ("merge", *halves, "--arch", ARCH, "--data", DATA, "--heads", "both", "--json")
    plain, merged = tmp_path / "plain.safetensors", tmp_path / "merged.safetensors"
    assert wsp(*command, "--align", "none", "-o", plain).status == 0
    outcome = wsp(*command, "--method", "pleas", "-o", merged)
    assert outcome.status == 0, outcome.stderr
    assert accuracy(merged) > 0.9 > accuracy(plain)
    heads = {"weight": "fc.weight", "bias": "fc.bias", "outputs": [[0, 6], [6, 10]]}
    assert outcome.document["heads"] == heads
    assert json.loads((tmp_path / "merged.wsp.json").read_text())["recipe"]["heads"] == heads


@pytest.mark.parametrize("method", ["weights", "activations", "ste"])
def test_a_permuted_copy_with_other_classes_merges_to_both(wsp, mlps, features, tmp_path, method) -> None:
    output = tmp_path / "m.safetensors"
    outcome = wsp(
        "merge", *mlps, "--activation", "relu", "--data", features, "--align", method, "--heads", "both", "-o", output
    )
    assert outcome.status == 0, outcome.stderr
    assert "outputs 0 to 2 are those of A, 3 to 4 those of B" in outcome.stdout
    x = torch.randn(16, 12)
    networks = [mlp(0) for _ in range(3)]
    networks[1][4], networks[2][4] = torch.nn.Linear(8, 2), torch.nn.Linear(8, 5)
    for network, path in zip(networks, (*mlps, output), strict=True):
        network.load_state_dict(open_checkpoint(path).tensors())
    torch.testing.assert_close(networks[2](x), torch.cat([networks[0](x), networks[1](x)], 1))


def test_without_the_option_one_line_says_what_to_do(wsp, mlps, tmp_path) -> None:
    wsp("merge", *mlps, "-o", tmp_path / "m.safetensors").failed_with(
        "two.pt: tensor '4.weight': expected the same classes", "three.pt", "found 3 there and 2 here", "--heads both"
    )


def test_heads_of_equal_shape_are_joined_too(wsp, mlp_pair, tmp_path) -> None:
    output = tmp_path / "m.safetensors"
    assert wsp("merge", *mlp_pair, "--heads", "both", "--t", "0.3", "-o", output).status == 0
    merged, a = open_checkpoint(output), open_checkpoint(mlp_pair[0])
    assert merged.info("4.weight").shape == (6, 8)
    torch.testing.assert_close(merged["4.weight"], torch.cat([a["4.weight"], a["4.weight"]]))


def test_what_does_not_fit_is_one_line(wsp, mlps, tmp_path) -> None:
    output = tmp_path / "m.safetensors"
    wsp("merge", *mlps, "--heads", "both", "--t", "1", "-o", output).failed_with("--heads both", "--t between 0 and 1")
    state = open_checkpoint(mlps[1]).tensors()
    torch.save({**state, "2.bias": torch.zeros(9)}, tmp_path / "wide.pt")
    wsp("merge", mlps[0], tmp_path / "wide.pt", "--heads", "both", "-o", output).failed_with(
        "wide.pt: 2.bias: expected shape (8,)", "found (9,)", "differ in their heads alone"
    )
    code = tmp_path / "nets.py"
    code.write_text(
        "from torch import nn\n"
        "def net():\n"
        "    hidden = nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU()\n"
        "    return nn.Sequential(*hidden, nn.Linear(8, 3), nn.Softmax(1))\n"
    )
    wsp("merge", *mlps, "--arch", f"{code}:net", "--heads", "both", "-o", output).failed_with(
        "nets.py:net: expected a network whose outputs are what its head 4.weight gives", "no softmax"
    )
    wsp("spec", f"{code}:net", "-o", tmp_path / "spec.json")
    wsp("merge", *mlps, "--arch", tmp_path / "spec.json", "--heads", "both", "-o", output).failed_with(
        "a saved spec has no network"
    )
    wsp("merge", *mlps, "--heads", "one", "-o", output).failed_with("heads", "'both'", "'one'")
    assert not output.exists()


def test_a_transformers_folder_gets_a_config_with_all_classes(wsp, tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    sizes |= {"vocab_size": 30, "max_position_embeddings": 16}
    models = []
    for seed, names in enumerate((("cat", "dog", "cow"), ("oak", "elm"))):
        torch.manual_seed(seed)
        config = transformers.BertConfig(**sizes, id2label=dict(enumerate(names)))
        models.append(transformers.BertForSequenceClassification(config).eval())
        models[-1].save_pretrained(tmp_path / f"bert{seed}")
    output = tmp_path / "both"
    outcome = wsp("merge", tmp_path / "bert0", tmp_path / "bert1", "--heads", "both", "-o", output)
    assert outcome.status == 0, outcome.stderr
    merged = transformers.BertForSequenceClassification.from_pretrained(output)
    assert merged.config.id2label == dict(enumerate(("cat", "dog", "cow", "oak", "elm")))
    assert merged(torch.arange(12).reshape(2, 6)).logits.shape == (2, 5)
    rows = merged.classifier.weight.split([3, 2])
    assert torch.equal(rows[0], models[0].classifier.weight)


@pytest.mark.parametrize("options", [("--method", "zipit"), ("--method", "pleas", "--size", "1.3", "--rounds", "2")])
def test_other_ways_to_merge_features_keep_both_too(wsp, halves, tmp_path, options) -> None:
    output = tmp_path / "merged"
    outcome = wsp("merge", *halves, "--arch", ARCH, "--data", DATA, "--heads", "both", *options, "-o", output)
    assert outcome.status == 0, outcome.stderr
    assert open_checkpoint(output).info("fc.bias").shape == (10,)
    assert "outputs 0 to 5 are those of A" in outcome.stdout
    if (output / "network.py").exists():
        program = Program.from_source(resolve_source(f"{output / 'network.py'}:Network"))
        assert program.outputs(open_checkpoint(output).tensors())[0].shape[1] == 10


def test_a_language_model_gets_no_config_that_is_wrong(wsp, tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=1, n_embd=16, n_head=2, n_positions=8, vocab_size=30, bos_token_id=1, eos_token_id=2,
        tie_word_embeddings=False,
    )  # fmt: skip
    for seed in range(2):
        torch.manual_seed(seed)
        transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / f"gpt{seed}")
    output = tmp_path / "both"
    outcome = wsp("merge", tmp_path / "gpt0", tmp_path / "gpt1", "--heads", "both", "-o", output)
    assert outcome.status == 0, outcome.stderr
    assert "no config.json will be written" in outcome.stderr
    assert open_checkpoint(output).info("lm_head.weight").shape == (60, 16)
    assert not (output / "config.json").exists()
    assert (output / "generation_config.json").exists()
