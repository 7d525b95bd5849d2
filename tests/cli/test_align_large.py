"""Networks that are too large to be held: the same result, with weights read as they are needed."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

from weightspace.checkpoint import open_checkpoint


@pytest.fixture
def llamas(tmp_path):
    """Two folders with independent networks in half precision, and tied embeddings."""
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = transformers.LlamaForCausalLM(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.1 + (parameter.dim() == 1))
        model.bfloat16().save_pretrained(tmp_path / f"llama{seed}")
    return tmp_path / "llama0", tmp_path / "llama1"


def test_streaming_gives_the_same_weights_in_shards(wsp, llamas, tmp_path, monkeypatch) -> None:
    held, streamed = tmp_path / "held", tmp_path / "streamed"
    first = wsp("align", *llamas, "-o", held, "--json", "--restarts", "2")
    assert first.status == 0, first.stderr
    monkeypatch.setattr("weightspace.source.deriving.LARGEST_HELD", 1000)
    monkeypatch.setattr("wsp.align._LARGEST_FILE", 1000)
    monkeypatch.setattr("wsp.align._SHARD", 10_000)
    second = wsp("align", *llamas, "-o", streamed, "--json", "--restarts", "2", "--bound")
    assert second.status == 0, second.stderr
    assert second.document["preservation_error"] < 1e-10
    assert second.document["objective_after"] == first.document["objective_after"]
    assert first.document["objective_bound"] is None
    assert second.document["objective_after"] <= second.document["objective_bound"]
    assert len(list(streamed.glob("model-*.safetensors"))) > 2
    one, other = open_checkpoint(held), open_checkpoint(streamed)
    assert list(one) == list(other)
    assert all(torch.equal(one[name], other[name]) for name in one)
    transformers = pytest.importorskip("transformers")
    assert transformers.LlamaForCausalLM.from_pretrained(streamed).config.hidden_size == 32


_LONG = """
import sys
import weightspace.align.search as search
search.STRETCH = 100_000
write = search.Journal.write
def slow(*arguments):
    import time
    write(*arguments)
    time.sleep(0.2)
search.Journal.write = slow
from wsp.main import main
main()
"""


def test_a_killed_alignment_goes_on_to_the_same_bytes(llamas, tmp_path) -> None:
    def command(output, journal):
        return [sys.executable, "-c", _LONG, "align", *map(str, llamas), "-o", str(output), "--journal", str(journal),
                "--restarts", "3", "-q"]  # fmt: skip

    whole, resumed, journal = tmp_path / "whole", tmp_path / "resumed", tmp_path / "journal"
    assert subprocess.run(command(whole, tmp_path / "other"), check=False).returncode == 0
    process = subprocess.Popen(command(resumed, journal))
    deadline = time.monotonic() + 900
    while not journal.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert journal.exists()
    assert not resumed.exists()
    assert subprocess.run(command(resumed, journal), check=False).returncode == 0
    assert not journal.exists()
    for name in ("model.safetensors", "wsp.json"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()
    assert "journal" not in json.loads((resumed / "wsp.json").read_text())["recipe"]
