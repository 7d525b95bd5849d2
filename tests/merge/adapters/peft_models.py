"""Small transformers models with adapters that PEFT made, saved as it saves them. Skips where it is absent."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from weightspace.checkpoint import Adapter, open_adapter

# Before it, since importing PEFT without it fails with an error of another kind.
transformers = pytest.importorskip("transformers", reason="transformers is absent")
peft = pytest.importorskip("peft", reason="peft is absent")

SPECIAL = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
IDS = torch.arange(3, 13)[None]


def gpt2(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        n_layer=2, n_embd=16, n_head=2, n_positions=16, vocab_size=50, tie_word_embeddings=False, **SPECIAL
    )
    return transformers.GPT2LMHeadModel(config).eval()


def llama(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        num_hidden_layers=2, hidden_size=16, intermediate_size=24, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=50, tie_word_embeddings=False, **SPECIAL,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


def bert(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = transformers.DistilBertConfig(n_layers=2, dim=16, hidden_dim=24, n_heads=2, vocab_size=50)
    return transformers.DistilBertForSequenceClassification(config).eval()


def adapted(network: Any, folder: Path, *, seed: int = 1, **settings: Any) -> tuple[Any, Adapter]:
    """A copy of a network with a random adapter, and the adapter as saved and opened again."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(copy.deepcopy(network), peft.LoraConfig(**{"r": 3, "lora_alpha": 5, **settings}))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn_like(parameter))
        model.save_pretrained(folder)
    return model.eval(), open_adapter(folder)


def merged_by_peft(model: Any) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return copy.deepcopy(model).merge_and_unload().state_dict()


def loaded(network: Any, folder: Path) -> Any:
    """A copy of a network with an adapter that PEFT loads: any key that is missing or superfluous fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")  # it is set by the class of each layer
        warnings.filterwarnings("ignore", message=".*has no bias.*merging.*")  # by PEFT; it runs, and we fuse it
        for of_others in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", category=of_others)
        return peft.PeftModel.from_pretrained(copy.deepcopy(network), folder).eval()


def logits(network: Any) -> Tensor:
    with torch.no_grad():
        return network(IDS).logits
