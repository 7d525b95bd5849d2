import pytest
import torch
from safetensors.torch import save_file

from weightspace.checkpoint import check_output, open_checkpoint, write_checkpoint
from weightspace.errors import OutputError

NEW = {"w": torch.zeros(2)}


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.safetensors"
    save_file({"w": torch.ones(2)}, path)
    return path


@pytest.fixture
def source_folder(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"w": torch.ones(2)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def refuse(tmp_path):
    def check(path, inputs, message):
        before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
        with pytest.raises(OutputError, match=message) as caught:
            write_checkpoint(path, NEW, provenance=None, inputs=inputs)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
        assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before

    return check


def test_an_input_is_never_the_output(source, refuse):
    refuse(source, [source], "found the input")


def test_nor_through_a_symbolic_link(source, tmp_path, refuse):
    (tmp_path / "link.safetensors").symlink_to(source)
    refuse(tmp_path / "link.safetensors", [source], "found the input")
    refuse(source, [tmp_path / "link.safetensors"], "found the input")


def test_nor_through_a_hard_link(source, tmp_path, refuse):
    (tmp_path / "hard.safetensors").hardlink_to(source)
    refuse(tmp_path / "hard.safetensors", [source], "found the input")


def test_nor_through_a_detour(source, tmp_path, refuse):
    (tmp_path / "sub").mkdir()
    refuse(tmp_path / "sub" / ".." / source.name, [source], "found the input")


def test_nor_as_the_file_beside_the_output(tmp_path):
    beside = tmp_path / "out.wsp.json"
    beside.write_text("{}")
    with pytest.raises(OutputError, match=r"out\.wsp\.json: expected an output apart from the inputs"):
        check_output(tmp_path / "out.safetensors", [beside])


def test_an_output_never_lies_in_an_input_folder(source_folder, refuse):
    refuse(source_folder / "out.safetensors", [source_folder], "found it inside")
    refuse(source_folder, [source_folder], "found the input")


def test_an_index_stands_for_its_folder(source_folder, refuse):
    index = source_folder / "model.safetensors.index.json"
    index.write_text("{}")
    refuse(source_folder / "model.safetensors", [index], "found the input")


def test_a_file_of_an_input_folder_is_an_input(source_folder, tmp_path, refuse):
    (tmp_path / "hard.safetensors").hardlink_to(source_folder / "model.safetensors")
    refuse(tmp_path / "hard.safetensors", [source_folder], "found the input")


def test_an_output_folder_never_holds_an_input(source_folder, refuse):
    refuse(source_folder, [source_folder / "model.safetensors"], "found the input")
    refuse(source_folder.parent, [source_folder], "found the input")


def test_an_input_that_is_no_path_does_no_harm(tmp_path):
    check_output(tmp_path / "out.safetensors", ["timm:resnet18"])


@pytest.mark.parametrize("name", ["out.pt", "out.bin", "out.gguf", "out.json"])
def test_another_suffix_is_refused_with_the_right_one(name, tmp_path, refuse):
    refuse(tmp_path / name, [], r"weights are written as safetensors: name .*out\.safetensors")


def test_a_folder_that_does_not_exist_is_named(tmp_path, refuse):
    refuse(tmp_path / "nowhere" / "out.safetensors", [], "found no such folder; create it first")


def test_a_folder_is_no_file(tmp_path, refuse):
    (tmp_path / "out.safetensors").mkdir()
    refuse(tmp_path / "out.safetensors", [], "found a folder of that name")


def test_a_file_is_no_folder(source, tmp_path, refuse):
    other = source.rename(tmp_path / "weights")
    refuse(other, [], "found another file")


def test_files_of_others_in_a_folder_are_not_removed(tmp_path, refuse):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    refuse(folder, [], r"found 'thesis\.tex' in it")
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_what_was_written_before_is_replaced(tmp_path):
    (tmp_path / "out").mkdir()  # an empty folder is as good as none
    from weightspace.checkpoint import Provenance

    record = Provenance("wsp merge", {}, {})
    write_checkpoint(tmp_path / "out", {f"w{i}": torch.ones(2) for i in range(3)}, provenance=record, max_shard_bytes=8)
    write_checkpoint(tmp_path / "out", NEW, provenance=record)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model.safetensors", "wsp.json"]
    assert list(open_checkpoint(tmp_path / "out")) == ["w"]
    for value in (1.0, 2.0):
        write_checkpoint(tmp_path / "out.safetensors", {"w": torch.full((2,), value)}, provenance=record)
    assert open_checkpoint(tmp_path / "out.safetensors")["w"].tolist() == [2, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.safetensors", "out.wsp.json"]


def test_a_folder_that_is_not_writable_is_named(tmp_path, monkeypatch, refuse):
    # Who runs the tests may be root, for whom every folder is writable.
    monkeypatch.setattr("weightspace.checkpoint.guard.os.access", lambda path, mode: path != tmp_path)
    refuse(tmp_path / "out.safetensors", [], "found it not writable; choose another folder")
