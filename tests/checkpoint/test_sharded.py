import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from weightspace.checkpoint import open_checkpoint
from weightspace.errors import CheckpointFormatError, UnsafeCheckpointError


def write_index(folder: Path, weight_map: object, stem: str = "model.safetensors") -> Path:
    path = folder / f"{stem}.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return path


@pytest.fixture
def shards(tmp_path) -> dict[str, str]:
    save_file({"module.a": torch.ones(2)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({"module.b": torch.zeros(3), "module.c": torch.ones(1)}, tmp_path / "model-00002-of-00002.safetensors")
    second = "model-00002-of-00002.safetensors"
    return {"module.c": second, "module.a": "model-00001-of-00002.safetensors", "module.b": second}


def test_shards_are_one_checkpoint(shards, tmp_path):
    index = write_index(tmp_path, shards)
    for path in (tmp_path, index):
        checkpoint = open_checkpoint(path)
        assert list(checkpoint) == ["a", "b", "c"]
        assert checkpoint["b"].tolist() == [0, 0, 0]
        assert checkpoint.info("b").shape == (3,)
        assert checkpoint.format == "safetensors, 2 shards"
        assert checkpoint.notes == ("stripped 'module.' from 3 names",)
        assert [file.name for file in checkpoint.files] == [index.name, *sorted(set(shards.values()))]


def test_pickled_shards_keep_their_ties(torch_save, tmp_path):
    tied = torch.ones(2)
    torch_save({"embed": tied, "head": tied}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch_save({"w": torch.zeros(2)}, tmp_path / "pytorch_model-00002-of-00002.bin")
    first, second = "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"
    write_index(tmp_path, {"embed": first, "head": first, "w": second}, "pytorch_model.bin")
    checkpoint = open_checkpoint(tmp_path)
    assert list(checkpoint) == ["embed", "head", "w"]
    assert checkpoint.aliases() == {"head": "embed"}


def test_one_shard_alone_says_that_it_is_not_the_whole(shards, tmp_path):
    shard = tmp_path / shards["module.a"]
    assert open_checkpoint(shard).notes == ("stripped 'module.' from 1 name",)
    write_index(tmp_path, shards)
    assert "this is one shard of model.safetensors.index.json" in open_checkpoint(shard).notes[0]


def test_the_hash_covers_every_shard_and_no_folder_name(shards, tmp_path):
    write_index(tmp_path, shards)
    before = open_checkpoint(tmp_path).sha256()
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert open_checkpoint(moved).sha256() == before
    save_file({"module.a": torch.zeros(2)}, moved / shards["module.a"])
    assert open_checkpoint(moved).sha256() != before


def test_a_missing_shard_is_named(shards, tmp_path):
    write_index(tmp_path, shards)
    (tmp_path / shards["module.a"]).unlink()
    with pytest.raises(
        CheckpointFormatError, match=r"expected the shard 'model-00001-of-00002\.safetensors' beside it"
    ):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd", "sub/model.safetensors", "..", "", "a\\b", "a\0b"]
)
def test_a_shard_never_leads_out_of_the_folder(name, tmp_path):
    write_index(tmp_path, {"a": name})
    with pytest.raises(CheckpointFormatError, match="expected a file name beside the index for tensor 'a'"):
        open_checkpoint(tmp_path)


def test_a_tensor_that_its_shard_lacks_is_named(shards, tmp_path):
    write_index(tmp_path, {**shards, "module.d": shards["module.a"]})
    with pytest.raises(CheckpointFormatError, match=r"expected tensor 'module\.d' in 'model-00001-of-00002"):
        open_checkpoint(tmp_path)


def test_a_tensor_in_two_shards_is_named(shards, tmp_path):
    save_file({"module.a": torch.ones(2), "module.b": torch.ones(1)}, tmp_path / shards["module.a"])
    write_index(tmp_path, shards)
    with pytest.raises(CheckpointFormatError, match=r"expected tensor 'module\.b' in one shard, found it in"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"weight_map": null}', '{"weight_map": {}}', '{"weight_map": {"a": 1}}']
)
def test_a_damaged_index_is_refused(content, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointFormatError, match=r"index\.json: expected"):
        open_checkpoint(tmp_path)


def test_a_shard_with_code_is_refused(tmp_path):
    torch.save(torch.nn.Linear(1, 1), tmp_path / "pytorch_model-00001-of-00001.bin")
    write_index(tmp_path, {"weight": "pytorch_model-00001-of-00001.bin"}, "pytorch_model.bin")
    with pytest.raises(UnsafeCheckpointError, match=r"pytorch_model-00001-of-00001\.bin: expected weights"):
        open_checkpoint(tmp_path)
