"""One metanetwork on networks of libraries: ten architectures from their checkpoints, in one batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch_geometric.loader import DataLoader

from weightspace.graph import to_tensors
from weightspace.graph.datasets import GraphDataset, Network
from weightspace.nn.gmn import GraphPredictor
from weightspace.source import TimmSource

timm = pytest.importorskip("timm")
transformers = pytest.importorskip("transformers")

TIMM: dict[str, dict[str, Any]] = {
    "resnet18": {"layers": (1, 1, 1, 1), "channels": (4, 8, 8, 8), "stem_width": 4},
    "convnext_tiny": {"depths": (1, 1, 1, 1), "dims": (4, 8, 8, 8)},
    "vit_tiny_patch16_224": {"embed_dim": 12, "depth": 2, "num_heads": 3, "img_size": 64},
    "swin_tiny_patch4_window7_224": {"embed_dim": 6, "depths": (1, 1), "num_heads": (1, 2), "img_size": 56},
}
SIZES: dict[str, Any] = {"vocab_size": 23, "hidden_size": 12, "num_hidden_layers": 1, "intermediate_size": 16}
HEADS: dict[str, Any] = {"num_attention_heads": 2, "max_position_embeddings": 16}
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "GPT2LMHeadModel": {"vocab_size": 23, "n_embd": 12, "n_layer": 1, "n_head": 2, "n_positions": 16},
    "LlamaForCausalLM": SIZES | HEADS | {"num_key_value_heads": 1},
    "BertForMaskedLM": SIZES | HEADS,
    "T5ForConditionalGeneration": {
        "vocab_size": 23, "d_model": 12, "d_kv": 6, "d_ff": 16, "num_layers": 1, "num_heads": 2,
    },
    "MambaForCausalLM": SIZES | {"state_size": 4},
    "OPTForCausalLM": SIZES | HEADS | {"ffn_dim": 16, "word_embed_proj_dim": 12},
}  # fmt: skip


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> list[Network]:
    folder, found = tmp_path_factory.mktemp("zoo"), []
    for name, options in TIMM.items():
        side = options.get("img_size", 64)
        source = TimmSource(name, name, 3, input_shape=(3, side, side), model_args=tuple(options.items()))
        save_file(source.build().state_dict(), folder / f"{name}.safetensors")
        found.append(Network(folder / f"{name}.safetensors", source, {"accuracy": 0.1 * len(found)}))
    for name, options in TRANSFORMERS.items():
        kind = getattr(transformers, name)
        torch.manual_seed(0)
        kind(kind.config_class(**options)).save_pretrained(folder / name)
        found.append(Network(folder / name, None, {"accuracy": 0.1 * len(found)}))
    return found


def test_ten_architectures_train_in_one_batch(zoo: list[Network]) -> None:
    dataset = GraphDataset(zoo)
    assert len(dataset) == len(dataset.layouts) == 10
    (batch,) = DataLoader(dataset, batch_size=10)
    torch.manual_seed(0)
    model = GraphPredictor(1, 8, 2)
    model.encoder.fit_standardisation([batch])
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    losses = []
    for _ in range(3):
        loss = (model(batch) - batch.y).square().mean()
        optimiser.zero_grad()
        loss.backward()
        assert all(each.grad is not None and bool(each.grad.isfinite().all()) for each in model.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[2] < losses[0]


def test_the_batch_goes_back_to_checkpoints(zoo: list[Network]) -> None:
    dataset = GraphDataset(zoo)
    (batch,) = DataLoader(dataset, batch_size=10)
    for network, graph in zip(zoo, batch.to_data_list(), strict=True):
        path = Path(network.weights)  # pyright: ignore[reportArgumentType]
        state = load_file(path / "model.safetensors" if path.is_dir() else path)
        back = to_tensors(dataset.layouts[graph.spec_hash], graph)
        assert set(state) - set(back) == {name for name in state if not state[name].is_floating_point()}
        assert all(torch.equal(back[name], state[name]) for name in set(back) & set(state))
