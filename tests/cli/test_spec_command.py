import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import torch

from weightspace.source import deriving
from weightspace.symmetry.axis import FixedAxis
from weightspace.symmetry.spec import Spec


def test_document_of_a_verified_network(wsp, cnn_pair) -> None:
    *_, source = cnn_pair
    outcome = wsp("spec", source, "--verify", "--json")
    assert outcome.status == 0
    document = outcome.document
    (group,) = document["groups"]
    assert (group["size"], group["kinds"][0]) == (6, "permutation")
    axes = {(axis["tensor"], axis["axis"]) for axis in group["axes"]}
    assert {("0.weight", 0), ("1.weight", 0), ("1.running_var", 0), ("5.weight", 1)} <= axes
    assert document["verified"] is True
    assert document["max_error"] < 1e-6
    assert document["completeness"] == 1.0
    assert {"tensor": "5.weight", "axis": 0, "size": 3, "reason": "output"} in document["frozen"]
    assert len(document["hash"]) == 64


def test_without_verification_the_document_says_so(wsp, cnn_pair) -> None:
    document = wsp("spec", cnn_pair[2], "--json").document
    assert document["verified"] is None
    assert document["max_error"] is None


def test_tables_for_people(wsp, cnn_pair) -> None:
    outcome = wsp("spec", cnn_pair[2], "--verify")
    assert outcome.status == 0
    for part in ("permutation", "0.weight[0]", "1 group of permutations;", "100.0 %", "spatial", "output", "verified"):
        assert part in outcome.stdout
    assert "inf" not in outcome.stdout


def test_a_checkpoint_is_read_or_given_its_architecture(wsp, mlp_pair, cnn_pair) -> None:
    document = wsp("spec", mlp_pair[0], "--json").document
    assert [group["size"] for group in document["groups"]] == [8, 8]
    assert [
        group["size"] for group in wsp("spec", cnn_pair[0], "--arch", cnn_pair[2], "--json").document["groups"]
    ] == [6]
    wsp("spec", mlp_pair[0], "--arch", cnn_pair[2]).failed_with("a.pt", "1.weight", "--arch")


def test_the_saved_spec_is_the_same_and_can_be_read_again(wsp, mlp_pair, tmp_path) -> None:
    saved = tmp_path / "spec.json"
    outcome = wsp("spec", mlp_pair[0], "-o", saved, "--json")
    assert Spec.load(saved).hash == outcome.document["hash"]
    again = wsp("spec", saved, "--json").document
    assert again["groups"] == outcome.document["groups"]
    wsp("spec", saved, "--verify").failed_with("spec.json", "name the network")


def test_transformers_folder(wsp, tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=11, bos_token_id=0, eos_token_id=0)
    config.architectures = ["GPT2LMHeadModel"]
    config.save_pretrained(tmp_path)
    document = wsp("spec", tmp_path, "--json").document
    heads = [group for group in document["groups"] if group["depends_on"]]
    assert heads
    assert {group["size"] for group in document["groups"]} >= {2, 4, 32}


def test_a_symmetry_that_does_not_hold_is_shown_and_fails(wsp, mlp_pair, tmp_path, monkeypatch) -> None:
    right = deriving.derived

    def wrong(source):
        """Forgets that the last layer reads the second hidden layer."""
        spec = right(source)
        last = spec.tensors["4.weight"]
        broken = replace(last, axes=(last.axes[0], FixedAxis(8, "forgotten")))
        return Spec(spec.all_groups, {**spec.tensors, "4.weight": broken}, spec.aliases)

    monkeypatch.setattr(deriving, "derived", wrong)
    outcome = wsp("spec", mlp_pair[0], "--verify", "--json")
    assert outcome.status == 1
    assert outcome.document["verified"] is False
    assert outcome.document["max_error"] > 1e-3
    assert "report the network" in outcome.stderr
    wsp("align", *mlp_pair, "-o", tmp_path / "out.safetensors").failed_with("a.pt", "nothing was changed")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_picture_of_a_network_and_of_its_saved_spec(wsp, cnn_pair, tmp_path) -> None:
    source = cnn_pair[2]
    # Of the same length, since titles decide how wide a picture is.
    saved = tmp_path / "spec.json".rjust(len(str(source)) - len(str(tmp_path)) - 1, "s")
    assert len(str(saved)) == len(str(source))
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    outcome = wsp("spec", source, "-o", saved, "--picture", first)
    assert outcome.status == 0, outcome.stderr
    assert f"picture in {first}" in outcome.stdout
    assert wsp("spec", saved, "--picture", second, "-q").stdout == ""
    assert second.read_text().replace(str(saved), str(source)) == first.read_text()
    document = wsp("spec", saved, "--picture", second, "--json").document
    assert (document["output"], document["picture"]) == (None, str(second))
    assert ElementTree.parse(first).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_part_of_a_picture(wsp, cnn_pair, tmp_path) -> None:
    picture = tmp_path / "net.svg"
    assert wsp("spec", cnn_pair[2], "--picture", picture, "--only", "1").status == 0
    assert "running_var" in picture.read_text()
    assert "5.weight" not in picture.read_text()
    picture.unlink()
    wsp("spec", cnn_pair[2], "--picture", picture, "--only", "nine").failed_with("net.svg: nine", "module")
    assert not picture.exists()
    assert wsp("spec", cnn_pair[2], "--only", "1").status == 2


def test_a_network_too_large_for_a_picture(wsp, tmp_path) -> None:
    (tmp_path / "deep.py").write_text(
        "from torch import nn\ndef net():\n    return nn.Sequential(*(nn.Linear(4, 4) for _ in range(120)))\n"
    )
    command = ("spec", f"{tmp_path}/deep.py:net", "--picture", tmp_path / "net.svg", "-o", tmp_path / "spec.json")
    wsp(*command).failed_with("net.svg", "at most 200 tensors", "found 240", "--only 0")
    assert not (tmp_path / "spec.json").exists()
    rows = wsp("spec", f"{tmp_path}/deep.py:net").stdout
    assert "{0..118}" in rows
    assert "119 groups of 4" in rows
    assert len(wsp("spec", f"{tmp_path}/deep.py:net", "--json").document["groups"]) == 119


def test_what_is_frozen_is_explained_and_counted(wsp, cnn_pair) -> None:
    outcome = wsp("spec", cnn_pair[2], "--json")
    shares = outcome.document["frozen_by_reason"]
    assert shares == sorted(shares, key=lambda share: -share["parameters"])
    assert {"reason": "output", "axes": 2, "parameters": 75, "unmoved": 3} in shares
    assert outcome.document["uncovered"] == outcome.document["looks_at_input"] == []
    (row,) = [line for line in wsp("spec", cnn_pair[2]).stdout.splitlines() if line.split()[:1] == ["output"]]
    assert row.split()[1:4] == ["2", "75", "3"]
    assert "by number" in row


@pytest.mark.parametrize(
    ("shape", "status"), [("1,8,8", 0), ("1x9x9", 0), ("0,8", 2), ("a", 2), ("-1,8,8", 2), ("", 2)]
)
def test_input_shape(wsp, cnn_pair, shape: str, status: int) -> None:
    outcome = wsp("spec", cnn_pair[2], f"--input-shape={shape}", "--json")
    assert outcome.status == status, outcome.stderr


def test_quiet_says_nothing(wsp, mlp_pair) -> None:
    outcome = wsp("spec", mlp_pair[0], "-q")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "", "")
    outcome = wsp("spec", mlp_pair[0], "-q", "--json")
    assert json.loads(outcome.stdout)["groups"]
    assert outcome.stderr == ""


def test_what_user_code_prints_does_not_reach_stdout(wsp, tmp_path) -> None:
    (tmp_path / "loud.py").write_text("from torch import nn\nprint('hello')\ndef net(): return nn.Linear(2, 2)\n")
    outcome = wsp("spec", f"{tmp_path}/loud.py:net", "--json")
    assert json.loads(outcome.stdout)["groups"] == []
    assert "hello" in outcome.stderr


def test_a_network_without_freedom_is_said_to_have_none(wsp, tmp_path) -> None:
    torch.save({"fc.weight": torch.ones(2, 3)}, tmp_path / "one.pt")
    outcome = wsp("spec", tmp_path / "one.pt")
    assert "nothing can be permuted" in outcome.stdout
