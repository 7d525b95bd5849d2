"""`wsp diff`: verdicts on files, the document, the picture, and one clear line for bad input."""

from __future__ import annotations

import json

import pytest
import torch

from weightspace.checkpoint import open_checkpoint

VERDICTS = ("identical", "equivalent", "fine-tuned", "unrelated")


def saved(path, state):
    torch.save(state, path)
    return path


def noisy(state, amount):
    torch.manual_seed(3)
    return {
        name: t + amount * t.std() * torch.randn_like(t) if t.is_floating_point() and t.numel() > 1 else t
        for name, t in state.items()
    }


def test_the_same_weights_need_no_network(wsp, mlp_pair, tmp_path) -> None:
    state = torch.load(mlp_pair[0], weights_only=True)
    strange = {**state, "table": torch.randn(3)}  # no plain stack, and no --arch
    a, b = saved(tmp_path / "x.pt", strange), saved(tmp_path / "y.pt", {"state_dict": strange})
    outcome = wsp("diff", a, b, "--json")
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["verdict"] == "identical"
    half = saved(tmp_path / "half.pt", {name: t.half() for name, t in strange.items()})
    outcome = wsp("diff", a, half, "--json")
    assert outcome.document["verdict"] == "identical"
    assert any("float32 and float16" in note for note in outcome.document["notes"])
    assert wsp("diff", a, b).stdout.startswith("identical: ")


def test_a_permuted_copy_is_equivalent(wsp, mlp_pair, tmp_path) -> None:
    plot = tmp_path / "diff.svg"
    outcome = wsp("diff", *mlp_pair, "--json", "-o", plot)
    assert outcome.status == 0, outcome.stderr
    document = outcome.document
    assert document["verdict"] == "equivalent"
    assert document["evidence"]["units_aligned"]["share"] == 1
    assert document["kinds"] == ["permutation"]
    assert any("--activation" in note for note in document["notes"])
    assert {row["name"] for row in document["tensors"]} == set(open_checkpoint(mlp_pair[0]))
    assert [group["size"] for group in document["groups"]] == [8, 8]
    assert document["singular"][0]["spectra"] == pytest.approx(0, abs=1e-5)
    assert document["layers"] is None
    assert "a.pt and b.pt: equivalent" in plot.read_text()


@pytest.mark.parametrize(("activation", "kind"), [("relu", "scale"), ("tanh", "sign")])
def test_a_rescaled_or_flipped_copy_is_equivalent(wsp, mlp_pair, tmp_path, activation, kind) -> None:
    state = torch.load(mlp_pair[1], weights_only=True)
    factor = 1 + torch.rand(8) if kind == "scale" else 1 - 2 * (torch.arange(8) % 2).float()
    state |= {"0.weight": factor[:, None] * state["0.weight"], "0.bias": factor * state["0.bias"]}
    state["2.weight"] = state["2.weight"] / factor
    b = saved(tmp_path / "scaled.pt", state)
    outcome = wsp("diff", mlp_pair[0], b, "--activation", activation, "--json")
    assert outcome.document["verdict"] == "equivalent", outcome.document["reason"]
    assert kind in outcome.document["kinds"]


def test_equal_outputs_are_evidence_where_alignment_may_not_scale(wsp, mlp_pair, tmp_path) -> None:
    state = torch.load(mlp_pair[1], weights_only=True)
    state |= {"0.weight": 3 * state["0.weight"], "0.bias": 3 * state["0.bias"], "2.weight": state["2.weight"] / 3}
    b = saved(tmp_path / "scaled.pt", state)
    options = ("--kinds", "permutation", "--json")
    outcome = wsp("diff", mlp_pair[0], b, "--activation", "relu", *options)
    assert outcome.document["verdict"] == "equivalent"
    assert "outputs differ by no more than rounding" in outcome.document["reason"]
    outcome = wsp("diff", mlp_pair[0], b, *options)  # nobody said what the outputs are
    assert outcome.document["verdict"] == "fine-tuned"
    assert outcome.document["evidence"]["outputs"] is None


def test_a_fine_tune_and_an_independent_network(wsp, cnn_pair, images, tmp_path) -> None:
    a, other, source = cnn_pair
    b = saved(tmp_path / "tuned.pt", noisy(torch.load(a, weights_only=True), 0.1))
    plot = tmp_path / "diff.png"
    outcome = wsp("diff", a, b, "--arch", source, "--data", images, "--samples", "20", "-o", plot)
    assert outcome.status == 0, outcome.stderr
    parts = ("0.weight", "units that are nearest", "singular values", "one layer of A halfway to B", "fine-tuned: ")
    for part in (*parts, str(plot)):
        assert part in outcome.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")
    outcome = wsp("diff", a, b, "--arch", source, "--data", images, "--json")
    assert outcome.document["verdict"] == "fine-tuned"
    assert outcome.document["layers"]["measure"] == "loss"
    assert [row["layer"] for row in outcome.document["layers"]["layers"]] == ["0", "5"]
    assert wsp("diff", a, other, "--arch", source, "--json").document["verdict"] == "unrelated"


def test_a_file_without_counters_fits_one_with_them(wsp, cnn_pair, tmp_path) -> None:
    a, _, source = cnn_pair
    state = torch.load(a, weights_only=True)
    old = {name: t for name, t in noisy(state, 0.1).items() if "num_batches" not in name}
    outcome = wsp("diff", a, saved(tmp_path / "old.pt", old), "--arch", source, "--json")
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["verdict"] == "fine-tuned"


def test_two_architectures_are_unrelated_with_the_first_difference(wsp, mlp_pair, cnn_pair, tmp_path) -> None:
    outcome = wsp("diff", mlp_pair[0], cnn_pair[0], "--json", "-o", tmp_path / "p.png")
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["verdict"] == "unrelated"
    assert "different architectures: " in outcome.document["reason"]
    assert outcome.document["evidence"] is None
    state = torch.load(mlp_pair[0], weights_only=True)
    wide = saved(tmp_path / "wide.pt", {**state, "0.weight": torch.randn(9, 12)})
    outcome = wsp("diff", mlp_pair[0], wide)
    assert outcome.status == 0
    assert "0.weight has shape (8, 12) in A and (9, 12) in B" in outcome.stdout


def test_bad_input_is_one_line(wsp, mlp_pair, cnn_pair, features, tmp_path) -> None:
    a, b = mlp_pair
    wsp("diff", a, tmp_path / "absent.pt").failed_with("absent.pt", "no such file")
    (tmp_path / "noise.pt").write_bytes(bytes(range(256)))
    wsp("diff", a, tmp_path / "noise.pt").failed_with("noise.pt")
    state = torch.load(a, weights_only=True)
    state["2.weight"][1, 2] = float("nan")
    wsp("diff", a, saved(tmp_path / "nan.pt", state)).failed_with("nan.pt", "2.weight", "nan")
    wsp("diff", *cnn_pair[:2]).failed_with("cnn0.pt", "--arch")
    wsp("diff", a, b, "--arch", cnn_pair[2]).failed_with("a.pt")
    wsp("diff", a, b, "--data", features).failed_with("a.pt", "--activation")
    wsp("diff", a, b, "--kinds", "permutation,scale").failed_with("--activation")
    wsp("diff", a, b, "--kinds", "permutations").failed_with("permutation")
    wsp("diff", a, b, "-o", tmp_path / "p.gif").failed_with("p.gif", ".png")
    wsp("diff", a, b, "-o", a.with_suffix(".svg").parent / "none" / "p.svg").failed_with("none")
    wsp("diff", a, b, "--device", "tpu").failed_with("tpu")
    saved_spec = tmp_path / "spec.json"
    wsp("spec", a, "-o", saved_spec, "-q")
    wsp("diff", a, b, "--data", features, "--arch", saved_spec).failed_with("spec.json")
    assert wsp("diff", a, b, "--arch", saved_spec, "--json").document["verdict"] == "equivalent"


def test_in_a_process_of_its_own(start, mlp_pair) -> None:
    process = start("diff", *mlp_pair, "--json", "-q")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert err == ""
    assert json.loads(out)["verdict"] in VERDICTS
