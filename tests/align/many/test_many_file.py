"""Alignments of many networks, written and read again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.align.oracle import attention_spec, mlp_spec, random_state
from weightspace.align import align
from weightspace.align.many import ManyAlignment, align_many
from weightspace.errors import AlignmentError, OutputError

SPEC = attention_spec()
STATES = [random_state(SPEC, seed) for seed in range(3)]


@pytest.fixture(scope="module")
def found() -> ManyAlignment:
    return align_many(STATES, SPEC, restarts=1)


@pytest.fixture
def saved(found: ManyAlignment, tmp_path: Path) -> Path:
    found.save(tmp_path / "many.safetensors")
    return tmp_path / "many.safetensors"


def test_it_comes_back(found: ManyAlignment, saved: Path):
    again = ManyAlignment.load(saved, SPEC)
    assert again.report() == found.report()
    assert len(again.elements) == 3
    for element, other in zip(found.elements, again.elements, strict=True):
        assert element.inverse().then(other).is_identity()


def test_networks_that_stay_come_back_too(tmp_path: Path):
    still = ManyAlignment(SPEC, (SPEC.identity(),) * 4, "pairwise", 1.0, 1.0, 0.0, 0)
    still.save(tmp_path / "still.safetensors")
    assert [e.is_identity() for e in ManyAlignment.load(tmp_path / "still.safetensors", SPEC).elements] == [True] * 4


def test_another_spec_is_refused(saved: Path):
    with pytest.raises(AlignmentError, match=r"belongs to spec .* align again"):
        ManyAlignment.load(saved, mlp_spec())


def test_files_that_are_none_are_refused(saved: Path, tmp_path: Path):
    align(STATES[0], STATES[1], SPEC, restarts=1).save(tmp_path / "pair")
    save_file({"0:heads": torch.zeros(3)}, tmp_path / "weights")
    (tmp_path / "text").write_text("none")
    (tmp_path / "truncated").write_bytes(saved.read_bytes()[:100])
    for name in ("pair", "weights", "text", "truncated", "missing", "."):
        with pytest.raises(AlignmentError, match="expected an alignment of many networks") as caught:
            ManyAlignment.load(tmp_path / name, SPEC)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_damaged_one_is_refused(found: ManyAlignment, tmp_path: Path):
    broken = ManyAlignment(SPEC, found.elements, "pairwise", 0.0, 0.0, 0.0, 0)
    broken.elements[1].perms["heads"][:] = 0  # type: ignore[index]
    broken.save(tmp_path / "broken")
    with pytest.raises(AlignmentError, match="damaged"):
        ManyAlignment.load(tmp_path / "broken", SPEC)


def test_a_folder_that_is_not_there_is_refused(found: ManyAlignment, tmp_path: Path):
    with pytest.raises(OutputError, match="No such file or directory"):
        found.save(tmp_path / "missing" / "many.safetensors")
