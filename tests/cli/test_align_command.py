import inspect
import json

import pytest
import torch
from safetensors import safe_open

from weightspace.align import Alignment
from weightspace.align import align as align_weights
from weightspace.checkpoint import open_checkpoint
from weightspace.symmetry.spec import Spec
from wsp import options


def test_a_permuted_copy_comes_back(wsp, mlp_pair, tmp_path) -> None:
    a, b = mlp_pair
    output = tmp_path / "aligned.safetensors"
    outcome = wsp("align", a, b, "-o", output, "--json")
    assert outcome.status == 0, outcome.stderr
    document = outcome.document
    assert document["objective_after"] > document["objective_before"]
    assert document["preservation_error"] < 1e-12
    assert {group["name"]: group["size"] for group in document["groups"]} == {"0": 8, "2": 8}
    assert document["seconds"] >= 0
    assert document["output"] == str(output)
    assert any("0 > 2 > 4" in note for note in document["notes"])
    aligned, reference = open_checkpoint(output).tensors(), open_checkpoint(a).tensors()
    assert list(aligned) == list(reference)
    assert all(torch.equal(aligned[name], reference[name]) for name in reference)


def test_the_provenance_names_inputs_and_choices(wsp, mlp_pair, tmp_path) -> None:
    a, b = mlp_pair
    output = tmp_path / "aligned.safetensors"
    wsp("align", a, b, "-o", output, "--activation", "tanh", "--seed", "3", "--restarts", "2", "-q")
    written = json.loads((tmp_path / "aligned.wsp.json").read_text())
    assert written["command"] == "wsp align"
    assert written["inputs"] == {str(path): open_checkpoint(path).sha256() for path in (a, b)}
    assert written["seed"] == 3
    assert written["recipe"]["activation"] == "tanh"
    with safe_open(output, "pt") as file:
        assert written["recipe"]["spec"] in "".join(file.metadata().values())


def test_the_same_command_gives_the_same_bytes(wsp, mlp_pair, tmp_path) -> None:
    outputs = [tmp_path / name for name in ("one.safetensors", "two.safetensors")]
    for output in outputs:
        assert wsp("align", *mlp_pair, "-o", output, "-q").status == 0
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_types_and_ties_of_b_are_kept(wsp, tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=11, bos_token_id=0, eos_token_id=0)
    for seed in (0, 1):
        torch.manual_seed(seed)
        transformers.GPT2LMHeadModel(config).half().save_pretrained(tmp_path / f"gpt{seed}")
    output = tmp_path / "aligned"
    outcome = wsp("align", tmp_path / "gpt0", tmp_path / "gpt1", "-o", output, "--json")
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["preservation_error"] < 1e-6
    b, aligned = open_checkpoint(tmp_path / "gpt1"), open_checkpoint(output)
    assert set(aligned) == set(b)
    assert {aligned.info(name).dtype for name in aligned} == {torch.float16}
    assert any(not torch.equal(aligned[name], b[name]) for name in b)


def test_outputs_are_compared_on_data_when_given(wsp, cnn_pair, images, tmp_path) -> None:
    a, b, source = cnn_pair
    command = ("align", a, b, "--arch", source, "-o", tmp_path / "out.safetensors", "--data", images)
    outcome = wsp(*command)
    assert outcome.status == 0, outcome.stderr
    assert "not normalised" in outcome.stderr
    assert "differ by" in outcome.stdout
    outcome = wsp(*command, "--mean", "0.5", "--std", "0.25", "--json")
    assert outcome.document["preservation_error"] < 1e-12
    assert outcome.stderr == ""


def test_a_saved_spec_needs_no_network_and_the_report_says_so(wsp, cnn_pair, tmp_path) -> None:
    a, b, source = cnn_pair
    saved, output = tmp_path / "spec.json", tmp_path / "out.safetensors"
    wsp("spec", source, "-o", saved, "-q")
    outcome = wsp("align", a, b, "--arch", saved, "-o", output, "--json")
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["preservation_error"] is None
    assert any("not compared" in note for note in outcome.document["notes"])
    wsp("align", a, b, "--arch", source, "-o", tmp_path / "net.safetensors", "-q")
    with_network = open_checkpoint(tmp_path / "net.safetensors")
    assert all(torch.equal(tensor, with_network[name]) for name, tensor in open_checkpoint(output).items())


def test_the_alignment_can_be_saved(wsp, mlp_pair, tmp_path) -> None:
    saved, spec = tmp_path / "element.safetensors", tmp_path / "spec.json"
    wsp("spec", mlp_pair[0], "-o", spec, "-q")
    outcome = wsp("align", *mlp_pair, "-o", tmp_path / "out.safetensors", "--alignment", saved)
    assert outcome.status == 0, outcome.stderr
    alignment = Alignment.load(saved, Spec.load(spec))
    aligned = alignment.apply(open_checkpoint(mlp_pair[1]).tensors())
    assert all(torch.equal(aligned[n], t) for n, t in open_checkpoint(tmp_path / "out.safetensors").items())


def test_a_network_that_changes_is_not_written(wsp, mlp_pair, tmp_path, monkeypatch) -> None:
    from weightspace.align import engine

    monkeypatch.setattr(engine, "preservation_error", lambda *arguments: 0.5)
    before = set(tmp_path.iterdir())
    wsp("align", *mlp_pair, "-o", tmp_path / "out.safetensors").failed_with("b.pt", "5.0e-01", "wsp spec --verify")
    assert set(tmp_path.iterdir()) == before


def test_the_default_number_of_restarts_is_that_of_the_library() -> None:
    assert inspect.signature(align_weights).parameters["restarts"].default == options.DEFAULT_RESTARTS
