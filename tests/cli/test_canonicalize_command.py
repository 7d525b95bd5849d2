import inspect
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from weightspace.canonical import DEFAULT_KINDS
from weightspace.checkpoint import open_checkpoint
from wsp.canonicalize import canonicalize


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    return open_checkpoint(path).tensors()


def test_a_permuted_copy_gives_the_same_bytes(wsp, mlp_pair, tmp_path) -> None:
    outputs = []
    for number, path in enumerate(mlp_pair):
        outputs.append(tmp_path / f"{number}.safetensors")
        outcome = wsp("canonicalize", path, "-o", outputs[-1], "--kinds", "permutation", "--json")
        assert outcome.status == 0, outcome.stderr
        assert outcome.document["unresolved"] == 0
        assert outcome.document["freedoms"] == []
        assert {group["name"]: group["size"] for group in outcome.document["groups"]} == {"0": 8, "2": 8}
        assert any("0 > 2 > 4" in note for note in outcome.document["notes"])
    first, second = (tensors_of(path) for path in outputs)
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_scales_and_signs_too(wsp, cnn_pair, tmp_path) -> None:
    checkpoint, _, source = cnn_pair
    state = tensors_of(checkpoint)
    factor = torch.tensor([3.0, 1.5, 2.0, 5.0, 1.1, 4.0])
    flip = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, -1.0])
    state["0.weight"] *= (factor * flip)[:, None, None, None]
    state["0.bias"] *= factor * flip
    state["1.running_mean"] *= factor * flip
    state["1.running_var"] = factor**2 * (state["1.running_var"] + 1e-5) - 1e-5
    state["1.weight"] *= flip * factor
    state["1.bias"] *= factor
    state["5.weight"] /= factor.repeat_interleave(4)
    moved = tmp_path / "moved.pt"
    torch.save(state, moved)
    forms = []
    for path in (checkpoint, moved):
        output = tmp_path / f"{path.stem}.safetensors"
        outcome = wsp("canonicalize", path, "-o", output, "--arch", source, "--json")
        assert outcome.status == 0, outcome.stderr
        assert outcome.document["symmetry_error"] < 1e-12
        assert outcome.document["preservation_error"] < 1e-5
        assert {freedom["kind"] for freedom in outcome.document["freedoms"]} == {"scale", "sign"}
        forms.append(tensors_of(output))
    for name, tensor in forms[0].items():
        torch.testing.assert_close(forms[1][name], tensor, rtol=1e-5, atol=1e-6)
    assert {name: tensor.dtype for name, tensor in forms[0].items()} == {n: t.dtype for n, t in state.items()}


def test_people_see_what_was_done(wsp, cnn_pair, tmp_path) -> None:
    checkpoint, _, source = cnn_pair
    output = tmp_path / "out.safetensors"
    outcome = wsp("canonicalize", checkpoint, "-o", output, "--arch", source)
    assert outcome.status == 0, outcome.stderr
    for part in ("scale", "sign", "one-sided", "interchangeable", "outputs before and after differ by", str(output)):
        assert part in outcome.stdout
    assert wsp("canonicalize", checkpoint, "-o", tmp_path / "quiet.safetensors", "--arch", source, "-q").stdout == ""


def test_the_provenance_names_the_input_and_the_kinds(wsp, mlp_pair, tmp_path) -> None:
    output = tmp_path / "form.safetensors"
    wsp("canonicalize", mlp_pair[0], "-o", output, "--activation", "relu", "--kinds", "scale, permutation", "-q")
    written = json.loads((tmp_path / "form.wsp.json").read_text())
    assert written["command"] == "wsp canonicalize"
    assert written["inputs"] == {str(mlp_pair[0]): open_checkpoint(mlp_pair[0]).sha256()}
    assert written["recipe"]["kinds"] == ["scale", "permutation"]
    with safe_open(output, "pt") as file:
        assert written["recipe"]["spec"] in "".join(file.metadata().values())


def test_scales_depend_on_an_activation_that_must_be_named(wsp, mlp_pair, tmp_path) -> None:
    output = tmp_path / "form.safetensors"
    outcome = wsp("canonicalize", mlp_pair[0], "-o", output)
    outcome.failed_with("a.pt", "--activation", "--kinds permutation")
    assert not output.exists()
    relu = wsp("canonicalize", mlp_pair[0], "-o", output, "--activation", "relu", "--json").document
    assert {freedom["kind"] for freedom in relu["freedoms"]} == {"scale"}
    tanh = wsp("canonicalize", mlp_pair[0], "-o", tmp_path / "t.safetensors", "--activation", "tanh", "--json").document
    assert {freedom["kind"] for freedom in tanh["freedoms"]} == {"sign"}


def test_a_saved_spec_will_do(wsp, cnn_pair, tmp_path) -> None:
    checkpoint, _, source = cnn_pair
    spec = tmp_path / "spec.json"
    assert wsp("spec", source, "--input-shape", "1,8,8", "-o", spec, "-q").status == 0
    with_spec = wsp("canonicalize", checkpoint, "-o", tmp_path / "a.safetensors", "--arch", spec, "--json")
    assert with_spec.status == 0, with_spec.stderr
    assert with_spec.document["preservation_error"] is None
    assert any("not compared" in note for note in with_spec.document["notes"])
    wsp("canonicalize", checkpoint, "-o", tmp_path / "b.safetensors", "--arch", source, "-q")
    first, second = tensors_of(tmp_path / "a.safetensors"), tensors_of(tmp_path / "b.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in second)


def test_ties_are_told(wsp, mlp_pair, tmp_path) -> None:
    state = tensors_of(mlp_pair[0])
    for name in ("0.weight", "0.bias"):
        state[name][5] = state[name][2]
    state["2.weight"][:, 5] = state["2.weight"][:, 2]
    path = tmp_path / "tied.pt"
    torch.save(state, path)
    outcome = wsp("canonicalize", path, "-o", tmp_path / "o.safetensors", "--kinds", "permutation", "--json")
    assert [group["interchangeable"] for group in outcome.document["groups"]] == [2, 0]
    assert outcome.document["unresolved"] == 0


def test_transformers_folders_keep_types_and_companions(wsp, tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=11, bos_token_id=0, eos_token_id=0)
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(config).half().save_pretrained(tmp_path / "gpt")
    output = tmp_path / "form"
    outcome = wsp("canonicalize", tmp_path / "gpt", "-o", output, "--kinds", "permutation,linear", "--json")
    assert outcome.status == 0, outcome.stderr
    assert {freedom["kind"] for freedom in outcome.document["freedoms"]} == {"linear"}
    form, given = open_checkpoint(output), open_checkpoint(tmp_path / "gpt")
    assert set(form) == set(given)
    assert {form.info(name).dtype for name in form} == {torch.float16}
    assert (output / "config.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--kinds", "phase"), ("kind 'phase'", "permutation, scale, sign, linear, rotation")),
        (("--kinds", "permutation,colour"), ("kind 'colour'",)),
        (("--arch", "nowhere.py:net"), ("nowhere.py",)),
    ],
)
def test_refusals(wsp, mlp_pair, tmp_path, arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    output = tmp_path / "form.safetensors"
    wsp("canonicalize", mlp_pair[0], "-o", output, *arguments).failed_with(*parts)
    assert not output.exists()


def test_the_input_is_never_overwritten(wsp, mlp_pair, tmp_path) -> None:
    before = mlp_pair[0].read_bytes()
    wsp("canonicalize", mlp_pair[0], "-o", mlp_pair[0], "--kinds", "permutation").failed_with("a.pt", "input")
    assert mlp_pair[0].read_bytes() == before


def test_numbers_that_are_none_are_refused(wsp, mlp_pair, tmp_path) -> None:
    state = tensors_of(mlp_pair[0])
    state["2.bias"][0] = float("nan")
    path = tmp_path / "nan.pt"
    torch.save(state, path)
    wsp("canonicalize", path, "-o", tmp_path / "o.safetensors", "--kinds", "permutation").failed_with(
        "nan.pt", "2.bias"
    )


def test_no_kinds_are_wrong_usage(wsp, mlp_pair, tmp_path) -> None:
    assert wsp("canonicalize", mlp_pair[0], "-o", tmp_path / "o.safetensors", "--kinds", " , ").status == 2


def test_the_default_kinds_are_those_of_the_library() -> None:
    assert tuple(inspect.signature(canonicalize).parameters["kinds"].default.split(",")) == DEFAULT_KINDS
