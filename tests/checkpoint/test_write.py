import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from weightspace.checkpoint import Provenance, open_checkpoint, write_checkpoint
from weightspace.errors import OutputError

RECORD = Provenance("wsp merge a b", {"t": 0.5}, {"a": "00", "b": "11"}, seed=3)


def test_one_file_gives_back_what_was_written(state, tmp_path, assert_same):
    path = tmp_path / "out.safetensors"
    assert write_checkpoint(path, state, provenance=RECORD) == [path, tmp_path / "out.wsp.json"]
    assert_same(open_checkpoint(path), state)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.safetensors", "out.wsp.json"]


def test_others_can_read_it(state, tmp_path):
    write_checkpoint(tmp_path / "out.safetensors", state, provenance=RECORD)
    assert load_file(tmp_path / "out.safetensors").keys() == state.keys()
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata()["format"] == "pt"


def test_the_provenance_is_in_the_file_and_beside_it(state, tmp_path):
    path = tmp_path / "out.safetensors"
    write_checkpoint(path, state, provenance=RECORD)
    with safe_open(path, "pt") as file:
        inside = json.loads(file.metadata()["wsp.provenance"])
    assert inside == json.loads((tmp_path / "out.wsp.json").read_text()) == json.loads(RECORD.to_json())


def test_without_provenance_there_is_no_file_beside_it(state, tmp_path):
    assert write_checkpoint(tmp_path / "out.safetensors", state, provenance=None) == [tmp_path / "out.safetensors"]


def test_a_folder_is_read_back(state, tmp_path, assert_same):
    folder = tmp_path / "out"
    assert write_checkpoint(folder, state, provenance=RECORD) == [folder / "model.safetensors", folder / "wsp.json"]
    assert_same(open_checkpoint(folder), state)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_shards_are_within_their_size_and_read_back_in_order(state, tmp_path, assert_same):
    written = write_checkpoint(tmp_path / "out", iter(state.items()), provenance=RECORD, max_shard_bytes=40)
    assert [path.name for path in written] == [
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
        "model.safetensors.index.json",
        "wsp.json",
    ]
    assert_same(open_checkpoint(tmp_path / "out"), state)
    index = json.loads(written[-2].read_text())
    assert set(index["weight_map"]) == set(state)
    sizes = [sum(t.numel() * t.element_size() for t in load_file(path).values()) for path in written[:3]]
    assert index["metadata"]["total_size"] == sum(sizes)
    assert sizes[0] == 48  # larger than a shard, so alone
    assert max(sizes[1:]) <= 40


def test_transformers_reads_the_shards(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=11
    )
    model = transformers.LlamaForCausalLM(config)
    write_checkpoint(tmp_path / "out", model.state_dict(), provenance=None, max_shard_bytes=600)
    config.save_pretrained(tmp_path / "out")
    again = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in model.state_dict().items())
    assert open_checkpoint(tmp_path / "out").config_path == tmp_path / "out" / "config.json"


@pytest.mark.parametrize("shard", [None, 16])
def test_ties_are_stored_once_and_come_back(shard, tmp_path):
    tied = torch.randn(4, 4)
    state = {"embed": tied, "w": torch.ones(3), "head": tied}
    write_checkpoint(tmp_path / "out", state, provenance=None, max_shard_bytes=shard)
    checkpoint = open_checkpoint(tmp_path / "out")
    assert checkpoint.aliases() == {"head": "embed"}
    assert list(checkpoint) == ["embed", "head", "w"]
    assert torch.equal(checkpoint["head"], tied)
    stored = [load_file(path) for path in (tmp_path / "out").glob("*.safetensors")]
    assert sum(len(tensors) for tensors in stored) == 2


def test_ties_of_a_checkpoint_are_kept(torch_save, tmp_path):
    tied = torch.randn(4, 4)
    source = open_checkpoint(torch_save({"embed": tied, "head": tied}, tmp_path / "in.pt"))
    write_checkpoint(tmp_path / "out.safetensors", source, provenance=None)
    assert open_checkpoint(tmp_path / "out.safetensors").aliases() == {"head": "embed"}


def test_declared_ties_need_not_be_among_the_tensors(tmp_path):
    write_checkpoint(tmp_path / "out.safetensors", {"embed": torch.ones(2)}, provenance=None, aliases={"head": "embed"})
    assert list(open_checkpoint(tmp_path / "out.safetensors")) == ["embed", "head"]


def test_equal_tensors_may_be_declared_tied(tmp_path):
    tensors = {"embed": torch.tensor([1.0, float("nan")]), "head": torch.tensor([1.0, float("nan")])}
    write_checkpoint(tmp_path / "out.safetensors", tensors, provenance=None, aliases={"head": "embed"})
    assert open_checkpoint(tmp_path / "out.safetensors").aliases() == {"head": "embed"}


@pytest.mark.parametrize(
    ("tensors", "aliases", "message"),
    [
        (
            {"embed": torch.ones(2), "head": torch.zeros(2)},
            {"head": "embed"},
            "tensor 'head': expected the same numbers as",
        ),
        (
            {"embed": torch.ones(2), "head": torch.ones(3)},
            {"head": "embed"},
            "tensor 'head': expected the same numbers as",
        ),
        ({"head": torch.ones(2)}, {"head": "embed"}, "tensor 'embed': expected it among the tensors"),
        ({"w": torch.ones(2, dtype=torch.complex128)}, {}, "tensor 'w': expected a type that safetensors stores"),
        ({}, {}, "expected tensors to write, found none"),
    ],
)
@pytest.mark.parametrize("name", ["out.safetensors", "out"])
def test_what_cannot_be_stored_leaves_nothing_behind(tensors, aliases, message, name, tmp_path):
    with pytest.raises(OutputError, match=message):
        write_checkpoint(tmp_path / name, tensors, provenance=RECORD, aliases=aliases)
    assert list(tmp_path.iterdir()) == []


def test_a_name_given_twice_is_refused(tmp_path):
    with pytest.raises(OutputError, match="tensor 'w': expected each name once"):
        write_checkpoint(tmp_path / "out", [("w", torch.ones(1)), ("w", torch.ones(1))], provenance=None)


def test_views_are_written_as_they_look(tmp_path, assert_same):
    base = torch.arange(24.0).reshape(4, 6)
    state = {"t": base.t(), "rows": base[1:3], "column": base[:, 2], "wide": torch.ones(1).expand(3), "base": base}
    for tensors in (state, iter(state.items())):
        write_checkpoint(tmp_path / "out.safetensors", tensors, provenance=None)
        assert_same(open_checkpoint(tmp_path / "out.safetensors"), state)


def test_an_iterable_may_share_storage(tmp_path, assert_same):
    base = torch.ones(3)
    write_checkpoint(tmp_path / "out.safetensors", iter([("a", base), ("b", base)]), provenance=None)
    assert_same(open_checkpoint(tmp_path / "out.safetensors"), {"a": base, "b": base})


def test_only_one_shard_is_held_at_a_time(tmp_path):
    import weakref

    alive: list[weakref.ref] = []

    def tensors():
        for i in range(8):
            assert sum(ref() is not None for ref in alive) <= 3
            tensor = torch.full((4,), float(i))
            alive.append(weakref.ref(tensor))
            yield f"w{i}", tensor

    write_checkpoint(tmp_path / "out", tensors(), provenance=None, max_shard_bytes=32)
    assert len(open_checkpoint(tmp_path / "out")) == 8


def test_the_same_weights_give_the_same_bytes_in_every_process(tmp_path):
    program = (
        "import sys, torch; from weightspace.checkpoint import *; "
        "p = Provenance('c', {'b': 1, 'a': 2}, {}, versions={}); t = torch.arange(4.0); "
        "write_checkpoint(sys.argv[1], {'z': t, 'y': t, 'a': t + 1}, provenance=p)"
    )
    contents = set()
    for i in range(2):
        path = tmp_path / f"{i}.safetensors"
        subprocess.run([sys.executable, "-c", program, str(path)], check=True)
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_metadata_with_any_letters_keeps_the_file_readable(tmp_path, assert_same):
    record = Provenance('wsp \x01\x1f"\\/é\u2028🙂', {"path": "a\nb\tc"}, {})
    state = {'w"\\\x02é🙂': torch.ones(2)}
    write_checkpoint(tmp_path / "out.safetensors", state, provenance=record)
    assert_same(open_checkpoint(tmp_path / "out.safetensors"), state)
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata()["wsp.provenance"] == record.to_json()


dtypes = st.sampled_from(
    [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool, torch.complex64]
)
shapes = st.lists(st.integers(0, 3), max_size=3)


@given(
    spec=st.dictionaries(st.text(min_size=1, max_size=4), st.tuples(dtypes, shapes), min_size=1, max_size=6),
    limit=st.none() | st.integers(1, 64),
)
def test_any_state_dict_survives(tmp_path_factory, spec, limit):
    # Names with a wrapper prefix are normalised on opening, and here there are none.
    state = {name: torch.ones(shape, dtype=dtype) for name, (dtype, shape) in spec.items()}
    folder = tmp_path_factory.mktemp("any") / "out"
    write_checkpoint(folder, state, provenance=None, max_shard_bytes=limit)
    checkpoint = open_checkpoint(folder)
    assert list(checkpoint) == list(state)
    assert all(torch.equal(checkpoint[name], tensor) for name, tensor in state.items())
    assert all(checkpoint[name].dtype == tensor.dtype for name, tensor in state.items())


@pytest.mark.parametrize(("name", "limit"), [("out.safetensors", 100), ("out", 0)])
def test_a_size_that_makes_no_sense_is_refused(name, limit, state, tmp_path):
    with pytest.raises(OutputError, match="expected a folder for shards of at least 1 byte"):
        write_checkpoint(tmp_path / name, state, provenance=None, max_shard_bytes=limit)
