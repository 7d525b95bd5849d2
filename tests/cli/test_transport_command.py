import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.conftest import mlp, permuted
from weightspace.checkpoint import open_checkpoint


@pytest.fixture
def bases(tmp_path):
    """A base, the same one in other coordinates, and a fine-tune of the first."""
    a = mlp(0).state_dict()
    b = permuted(a, 1)
    generator = torch.Generator().manual_seed(2)
    fine = {name: tensor + 0.1 * torch.randn(tensor.shape, generator=generator) for name, tensor in a.items()}
    paths = []
    for name, state in (("a", a), ("b", b), ("fine", fine)):
        paths.append(tmp_path / f"{name}.safetensors")
        save_file({n: t.contiguous() for n, t in state.items()}, paths[-1])
    return paths


def run(state, x):
    network = mlp(0)
    network.load_state_dict(state)
    return network(x)


def test_the_other_base_learns_what_the_first_was_taught(wsp, bases, tmp_path) -> None:
    a, b, fine = bases
    output = tmp_path / "carried.safetensors"
    outcome = wsp("transport", fine, "--from", a, "--to", b, "-o", output, "--json")
    assert outcome.status == 0, outcome.stderr
    document = outcome.document
    assert (document["kind"], document["tensors"], document["replaced"]) == ("fine-tune", 6, [])
    x = torch.randn(5, 12)
    carried = load_file(output)
    assert not torch.allclose(carried["0.weight"], load_file(fine)["0.weight"])
    assert torch.allclose(run(carried, x), run(load_file(fine), x), atol=1e-5)
    written = json.loads((tmp_path / "carried.wsp.json").read_text())
    assert written["command"] == "wsp transport"
    assert written["inputs"] == {str(path): open_checkpoint(path).sha256() for path in (b, a, fine)}


def test_nothing_of_the_difference_gives_the_base(wsp, bases, tmp_path) -> None:
    a, b, fine = bases
    output = tmp_path / "carried.safetensors"
    assert wsp("transport", fine, "--from", a, "--to", b, "-o", output, "--scale", "0", "-q").status == 0
    expected = load_file(b)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in load_file(output).items())


def adapter_folder(path, *, kind="LORA", width=8):
    path.mkdir()
    generator = torch.Generator().manual_seed(3)
    tensors = {
        "base_model.model.2.lora_A.weight": torch.randn(2, width, generator=generator),
        "base_model.model.2.lora_B.weight": torch.randn(8, 2, generator=generator),
    }
    save_file(tensors, path / "adapter_model.safetensors")
    config = {"peft_type": kind, "base_model_name_or_path": "a", "r": 2, "lora_alpha": 2, "target_modules": ["2"]}
    (path / "adapter_config.json").write_text(json.dumps(config))
    return tensors


def test_an_adapter_stays_an_adapter(wsp, bases, tmp_path) -> None:
    a, b, _ = bases
    tensors = adapter_folder(tmp_path / "adapter")
    output = tmp_path / "carried"
    arguments = ("transport", tmp_path / "adapter", "--from", a, "--to", b, "-o", output)
    outcome = wsp(*arguments, "--json")
    assert outcome.status == 0, outcome.stderr
    assert (outcome.document["kind"], outcome.document["tensors"]) == ("adapter", 2)
    assert wsp(*arguments, "-q").status == 0  # again, over its own result
    assert sorted(path.name for path in output.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "wsp.json",
    ]  # fmt: skip
    config = json.loads((output / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"]) == (str(b), 2)
    carried = load_file(output / "adapter_model.safetensors")
    states = []
    for base, adapter in ((load_file(a), tensors), (load_file(b), carried)):
        change = adapter["base_model.model.2.lora_B.weight"] @ adapter["base_model.model.2.lora_A.weight"]
        states.append({**base, "2.weight": base["2.weight"] + change})
    x = torch.randn(5, 12)
    assert torch.allclose(run(states[0], x), run(states[1], x), atol=1e-5)


def test_what_cannot_be_carried_is_told_in_a_line(wsp, bases, tmp_path) -> None:
    a, b, fine = bases
    output = tmp_path / "carried"
    adapter_folder(tmp_path / "ia3", kind="IA3")
    wsp("transport", tmp_path / "ia3", "--from", a, "--to", b, "-o", output).failed_with("LORA", "IA3")
    adapter_folder(tmp_path / "wide", width=9)
    outcome = wsp("transport", tmp_path / "wide", "--from", a, "--to", b, "-o", output)
    outcome.failed_with("base_model.model.2.lora_A.weight", "expected size 8 along axis 1")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "adapter_config.json").write_text("{")
    wsp("transport", tmp_path / "broken", "--from", a, "--to", b, "-o", output).failed_with(
        "adapter_config.json", "JSON"
    )
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    wsp("transport", tmp_path / "empty", "--from", a, "--to", b, "-o", output).failed_with("adapter_model.safetensors")
    wsp("transport", fine, "--from", a, "--to", b, "-o", fine).failed_with("apart from the inputs")
    state = load_file(fine)
    del state["0.bias"]
    save_file(state, tmp_path / "part.safetensors")
    outcome = wsp("transport", tmp_path / "part.safetensors", "--from", a, "--to", b, "-o", output)
    outcome.failed_with("'0.bias' of A", "fine-tune")
    assert not output.exists()


def test_an_adapter_has_its_own_scale(wsp, bases, tmp_path) -> None:
    a, b, _ = bases
    adapter_folder(tmp_path / "adapter")
    outcome = wsp("transport", tmp_path / "adapter", "--from", a, "--to", b, "-o", tmp_path / "x", "--scale", "2")
    assert outcome.status == 2
    assert "lora_alpha" in outcome.stderr.replace("\n", " ")
