"""Alignments on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.align.oracle import attention_spec, mlp_spec, random_state
from weightspace.align import Alignment, align
from weightspace.align.alignment import METADATA_KEY
from weightspace.errors import AlignmentError, OutputError

SPEC = attention_spec()


@pytest.fixture
def alignment() -> Alignment:
    return align(random_state(SPEC, 0), random_state(SPEC, 1), SPEC, seed=3)


@pytest.fixture
def saved(alignment: Alignment, tmp_path: Path) -> Path:
    alignment.save(tmp_path / "alignment.safetensors")
    return tmp_path / "alignment.safetensors"


def rewritten(path: Path, change) -> Path:
    """The file with the report and permutations that `change(report, perms)` returns, or changes in place."""
    with safe_open(path, framework="pt") as file:
        report = json.loads(file.metadata()[METADATA_KEY])
        perms = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    changed = change(report, perms)
    save_file(perms, path, metadata={METADATA_KEY: json.dumps(report if changed is None else changed)})
    return path


def test_what_is_saved_comes_back(alignment: Alignment, saved: Path):
    again = Alignment.load(saved, SPEC)
    assert again.report() == alignment.report()
    assert again.groups == alignment.groups
    for group in SPEC.groups:
        assert torch.equal(again.element.perm(group.name), alignment.element.perm(group.name))
    b = random_state(SPEC, 1)
    moved, expected = again.apply(b), alignment.apply(b)
    assert all(torch.equal(moved[name], expected[name]) for name in b)


def test_an_identity_alignment_comes_back(tmp_path: Path):
    a = random_state(SPEC, 0)
    align(a, a, SPEC).save(tmp_path / "identity.safetensors")
    assert Alignment.load(tmp_path / "identity.safetensors", SPEC).element.is_identity()


def test_a_spec_that_was_saved_takes_the_alignment(saved: Path, tmp_path: Path):
    SPEC.save(tmp_path / "spec.json")
    again = Alignment.load(saved, type(SPEC).load(tmp_path / "spec.json"))
    assert again.spec.hash == SPEC.hash


def test_saving_replaces_a_file_whole_and_leaves_nothing_beside_it(alignment: Alignment, saved: Path):
    saved.write_bytes(b"old")
    alignment.save(saved)
    assert Alignment.load(saved, SPEC).report() == alignment.report()
    assert list(saved.parent.iterdir()) == [saved]


def test_an_alignment_is_as_readable_as_any_other_file(saved: Path):
    other = saved.with_name("other")
    other.write_bytes(b"")
    assert saved.stat().st_mode == other.stat().st_mode


def test_a_folder_that_is_not_there_is_refused(alignment: Alignment, tmp_path: Path):
    with pytest.raises(OutputError, match="No such file or directory"):
        alignment.save(tmp_path / "missing" / "alignment.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_another_spec_is_refused(saved: Path):
    with pytest.raises(AlignmentError, match=r"belongs to spec .* align again") as caught:
        Alignment.load(saved, mlp_spec())
    assert str(saved) in str(caught.value)


def no_report(report, perms):
    return []


def missing_entry(report, perms):
    del report["seconds"]


def foreign_group_entry(report, perms):
    report["groups"][0]["color"] = "red"


def not_a_permutation(report, perms):
    perms["heads"] = torch.tensor([0, 0, 1])


def wrong_dtype(report, perms):
    perms["heads"] = perms["heads"].float()


def unknown_group(report, perms):
    perms["other"] = torch.arange(3)


@pytest.mark.parametrize(
    "change", [no_report, missing_entry, foreign_group_entry, not_a_permutation, wrong_dtype, unknown_group]
)
def test_a_damaged_alignment_is_refused(saved: Path, change):
    with pytest.raises(AlignmentError) as caught:
        Alignment.load(rewritten(saved, change), SPEC)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_alignment_are_refused(saved: Path, tmp_path: Path):
    whole = saved.read_bytes()
    weights = tmp_path / "weights.safetensors"
    save_file({"heads": torch.zeros(3)}, weights)
    (tmp_path / "text").write_text("not an alignment")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "truncated").write_bytes(whole[: len(whole) // 2])
    for name in ("weights.safetensors", "text", "empty", "truncated", "missing", "."):
        with pytest.raises(AlignmentError, match="expected an alignment that wsp wrote") as caught:
            Alignment.load(tmp_path / name, SPEC)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)
