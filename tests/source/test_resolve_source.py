import json

import pytest
import torch

from weightspace.checkpoint import open_checkpoint
from weightspace.errors import SourceError
from weightspace.source import StackSource, TransformersSource, UserCodeSource, resolve_source


def test_no_source_means_the_configuration_beside_the_weights_or_the_tensors(tmp_path) -> None:
    torch.save({"fc.weight": torch.ones(2, 3)}, tmp_path / "pytorch_model.bin")
    checkpoint = open_checkpoint(tmp_path)
    assert isinstance(resolve_source(None, checkpoint=checkpoint), StackSource)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    source = resolve_source(None, checkpoint=open_checkpoint(tmp_path))
    assert isinstance(source, TransformersSource)
    assert source.folder == tmp_path
    with pytest.raises(SourceError, match="drop it"):
        resolve_source(None, checkpoint=open_checkpoint(tmp_path), activation="relu")


def test_a_path_may_hold_a_colon(tmp_path) -> None:
    folder = tmp_path / "run:3"
    folder.mkdir()
    (folder / "net.py").write_text("from torch import nn\ndef f(): return nn.Linear(2, 3)\n")
    source = resolve_source(f"{folder}/net.py:f")
    assert isinstance(source, UserCodeSource)
    assert source.build().out_features == 3


@pytest.mark.parametrize("text", ["resnet18", "weights.pt", ""])
def test_what_is_no_source_is_told_the_kinds(text: str) -> None:
    with pytest.raises(SourceError, match=r"timm:NAME.*FILE\.py:callable"):
        resolve_source(text)
    with pytest.raises(SourceError, match="--arch"):
        resolve_source(None)


def test_a_folder_without_configuration_is_told(tmp_path) -> None:
    for text in (str(tmp_path), f"hf:{tmp_path}", f"hf:{tmp_path}/absent"):
        with pytest.raises(SourceError, match=r"config\.json"):
            resolve_source(text)
