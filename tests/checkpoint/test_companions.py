"""Configuration and tokenizer files travel with the weights of a model folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from weightspace.checkpoint import Provenance, companions_of, open_checkpoint, write_checkpoint
from weightspace.errors import OutputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "model"
    source.mkdir()
    save_file({"w": torch.arange(4.0)}, source / "model.safetensors")
    (source / "config.json").write_text('{"model_type": "tiny"}')
    (source / "tokenizer.json").write_text("{}")
    (source / "notes.txt").write_text("private")
    return source


def test_a_model_folder_stays_one(folder: Path, tmp_path: Path):
    checkpoint = open_checkpoint(folder)
    output = tmp_path / "out"
    for _ in range(2):  # what we wrote may be written again
        files = write_checkpoint(
            output,
            checkpoint,
            provenance=Provenance("test", {}, {}),
            inputs=[folder],
            companions=companions_of(checkpoint),
        )
    assert {file.name for file in files} == {"model.safetensors", "wsp.json", "config.json", "tokenizer.json"}
    assert (output / "config.json").read_text() == '{"model_type": "tiny"}'
    assert not (output / "notes.txt").exists()


def test_texts_take_the_places_of_companions(folder: Path, tmp_path: Path):
    checkpoint, output = open_checkpoint(folder), tmp_path / "out"
    texts = {"config.json": '{"model_type": "Größe"}', "vocab.txt": "a"}
    files = write_checkpoint(
        output, checkpoint, provenance=None, companions=companions_of(checkpoint), texts=texts
    )  # fmt: skip
    names = ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt"]
    assert sorted(file.name for file in files) == sorted(file.name for file in output.iterdir()) == names
    assert {name: (output / name).read_text(encoding="utf-8") for name in texts} == texts
    assert (folder / "config.json").read_text() == '{"model_type": "tiny"}'


def test_a_single_file_takes_none_along(folder: Path, tmp_path: Path):
    checkpoint = open_checkpoint(folder)
    output = tmp_path / "out.safetensors"
    write_checkpoint(output, checkpoint, provenance=None, companions=companions_of(checkpoint))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model", "out.safetensors"]


def test_a_model_folder_that_we_did_not_write_is_not_replaced(folder: Path):
    with pytest.raises(OutputError, match="new or empty folder"):
        write_checkpoint(folder, {"w": torch.zeros(1)}, provenance=None)
