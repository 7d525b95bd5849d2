"""Every bad input: exit status 1, one line that names the file or tensor and the next step, nothing left behind."""

import errno
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from weightspace.checkpoint import write


@pytest.fixture
def folder(tmp_path):
    """An empty folder to write into; still empty when the test is over."""
    folder = tmp_path / "out"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def refused(wsp, mlp_pair, folder):
    """Align the good A with something and expect a refusal; `change` edits a copy of A's tensors."""

    def refused(*parts: str, b=None, change=None, arguments=()) -> None:
        if change is not None:
            tensors = torch.load(mlp_pair[0], weights_only=True)
            change(tensors)
            b = mlp_pair[0].with_name("changed.pt")
            torch.save(tensors, b)
        outcome = wsp("align", mlp_pair[0], b or mlp_pair[1], "-o", folder / "out.safetensors", *arguments)
        outcome.failed_with(*parts)

    return refused


def test_a_file_that_is_not_there(refused, tmp_path) -> None:
    refused("absent.pt", "no such file", b=tmp_path / "absent.pt")


@pytest.mark.parametrize("kept", [0, 10, 500, -1])
def test_a_truncated_file(refused, mlp_pair, tmp_path, kept: int) -> None:
    broken = tmp_path / "broken.pt"
    broken.write_bytes(mlp_pair[1].read_bytes()[:kept])
    refused("broken.pt", b=broken)
    save_file(torch.load(mlp_pair[1], weights_only=True), tmp_path / "whole.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes((tmp_path / "whole.safetensors").read_bytes()[:kept])
    refused("broken.safetensors", b=broken)


def test_a_corrupt_file(refused, tmp_path) -> None:
    noise = tmp_path / "noise.pt"
    noise.write_bytes(bytes(range(256)) * 20)
    refused("noise.pt", b=noise)


def test_a_pickle_that_needs_code_is_not_run(refused, tmp_path) -> None:
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    evil = tmp_path / "evil.pt"
    torch.save({"weight": Evil()}, evil)
    refused("evil.pt", b=evil)
    evil.write_bytes(pickle.dumps(Evil()))
    refused("evil.pt", b=evil)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("broken_249_bytes.pth", ""),
        ("git_lfs_pointer.pth", "git lfs pull"),
        ("whole_module_pruned.pth", "state_dict"),
        ("whole_module_zip.pth", "state_dict"),
        ("whole_module_zip2.pt", "state_dict"),
    ],
)
def test_files_that_people_really_have(refused, shared_data, name: str, part: str) -> None:
    refused(name, part, b=shared_data / "refuse" / name)


def test_an_lfs_pointer(refused, tmp_path) -> None:
    pointer = tmp_path / "pointer.pt"
    pointer.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n")
    refused("pointer.pt", "git lfs pull", b=pointer)


def test_another_architecture(refused, cnn_pair) -> None:
    refused("cnn0.pt", "a.pt", "2.weight", b=cnn_pair[0])


def test_a_missing_an_extra_and_a_misshapen_tensor(refused) -> None:
    refused("changed.pt", "2.bias", change=lambda t: t.pop("2.bias"))
    refused("a.pt", "9.bias", change=lambda t: t.update({"9.bias": torch.zeros(3)}))
    refused("changed.pt", "2.bias", "(8,)", "(9,)", change=lambda t: t.update({"2.bias": torch.zeros(9)}))


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_not_numbers(refused, value: str) -> None:
    refused("changed.pt", "2.weight", value, change=lambda t: t["2.weight"][3, 4].fill_(float(value)))


def test_an_unknown_model(refused) -> None:
    pytest.importorskip("timm")
    refused("timm:resnt18", "did you mean", "resnet18", arguments=("--arch", "timm:resnt18"))


def test_a_model_of_another_shape(refused, cnn_pair) -> None:
    refused("a.pt", "1.weight", "--arch", arguments=("--arch", cnn_pair[2]))


def test_a_source_that_fails(refused, tmp_path) -> None:
    (tmp_path / "mine.py").write_text("def net():\n    return 1 / 0\n")
    refused("mine.py:2", "ZeroDivisionError", arguments=("--arch", f"{tmp_path}/mine.py:net"))
    refused("mine.py", "no file", arguments=("--arch", f"{tmp_path}/other/mine.py:net"))


def test_a_tensor_that_is_no_layer(wsp, folder, tmp_path) -> None:
    torch.save({"0.weight": torch.ones(3, 2), "1.running_mean": torch.ones(3)}, tmp_path / "bn.pt")
    wsp("align", tmp_path / "bn.pt", tmp_path / "bn.pt", "-o", folder / "o.safetensors").failed_with(
        "bn.pt", "1.running_mean", "--arch"
    )


def test_no_space_on_the_disk(refused, monkeypatch) -> None:
    def full(tensors, path, metadata):
        with open(path, "wb") as file:  # noqa: PTH123 - a part of the file is there when the disk is full
            file.write(b"begun")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(write, "save_file", full)
    refused("out.safetensors", "space")


def test_an_output_that_is_an_input(wsp, mlp_pair, tmp_path) -> None:
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for source, target in zip(mlp_pair, (a, b), strict=True):
        save_file(torch.load(source, weights_only=True), target)
    before = {path: path.read_bytes() for path in (a, b)}
    for target in (a, b):
        wsp("align", a, b, "-o", target).failed_with(target.name, "input", "name another")
        wsp("merge", a, b, "-o", target).failed_with(target.name, "input", "name another")
    link = tmp_path / "link.safetensors"
    link.symlink_to(a)
    wsp("align", a, b, "-o", link).failed_with("link.safetensors", "input", "name another")
    wsp("spec", a, "-o", a).failed_with("a.safetensors", "input", "name another")
    out = tmp_path / "o.safetensors"
    wsp("align", a, b, "-o", out, "--alignment", b).failed_with("b.safetensors", "input", "name another")
    wsp("align", a, b, "-o", out, "--alignment", out).failed_with("o.safetensors", "name another")
    assert before == {path: path.read_bytes() for path in (a, b)}
    assert not out.exists()


def test_a_folder_that_cannot_be_written(wsp, mlp_pair, cnn_pair, images, tmp_path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o500)
    if os.access(closed, os.W_OK):  # the superuser writes everywhere but here
        closed = type(tmp_path)("/proc")
    a, b, source = cnn_pair
    wsp("align", *mlp_pair, "-o", closed / "o.safetensors").failed_with("o.safetensors")
    wsp("merge", *mlp_pair, "-o", closed / "o.safetensors").failed_with("o.safetensors")
    wsp("spec", mlp_pair[0], "-o", closed / "o.json").failed_with("o.json")
    wsp(
        "barrier", a, b, "--arch", source, "--data", images, "-o", closed / "o.png", "--points", "3"
    ).failed_with("o.png")  # fmt: skip
    absent = tmp_path / "absent" / "o"
    wsp("align", *mlp_pair, "-o", absent.with_suffix(".safetensors")).failed_with("absent", "create it")
    wsp("spec", mlp_pair[0], "-o", absent.with_suffix(".json")).failed_with("absent", "create it")


def test_an_output_of_another_kind(wsp, mlp_pair, cnn_pair, images, folder) -> None:
    wsp("align", *mlp_pair, "-o", folder / "o.pth").failed_with("o.pth", ".safetensors")
    a, b, source = cnn_pair
    wsp("barrier", a, b, "--arch", source, "--data", images, "-o", folder / "o.txt").failed_with("o.txt", ".png")


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:99"])
def test_a_device_that_is_not_there(refused, name: str) -> None:
    refused(f"--device {name}", arguments=("--device", name))


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--mean", "0.5"), ("--mean and --std", "both")),
        (("--mean", "0.5,0.5", "--std", "0.5"), ("normalisation", "1")),
        (("--mean", "0.5,0.5", "--std", "0.5,0.5"), ("channels",)),
        (("--mean", "0.5", "--std", "0"), ("positive",)),
    ],
)
def test_normalisation_that_does_not_fit(wsp, cnn_pair, images, folder, options, parts) -> None:
    a, b, source = cnn_pair
    wsp(
        "merge", a, b, "--arch", source, "-o", folder / "o.safetensors", "--data", images, *options
    ).failed_with(*parts)  # fmt: skip


def test_normalisation_without_data_and_words_for_numbers(wsp, mlp_pair, folder) -> None:
    command = ("merge", *mlp_pair, "-o", folder / "o.safetensors", "--std", "1")
    wsp(*command, "--mean", "0").failed_with("--data")
    assert wsp(*command, "--mean", "zero").status == 2


def test_data_that_do_not_fit(wsp, mlp_pair, cnn_pair, images, folder, tmp_path) -> None:
    def told(path, *parts: str) -> None:
        plot = folder / "o.png"
        wsp("barrier", *mlp_pair, "--activation", "relu", "--data", path, "-o", plot).failed_with(*parts)

    told(tmp_path / "absent.npz", "absent.npz", "no such file")
    told(images, "(12,)", "(1, 8, 8)")
    np.savez(tmp_path / "unlabelled.npz", x=np.zeros((5, 12), np.float32))
    told(tmp_path / "unlabelled.npz", "labels")
    np.savez(tmp_path / "many.npz", x=np.zeros((5, 12), np.float32), y=np.arange(5))
    told(tmp_path / "many.npz", "labels below 3")
    (tmp_path / "text.csv").write_text("1,2,3")
    told(tmp_path / "text.csv", "text.csv")


def test_an_activation_where_the_architecture_is_given(refused, cnn_pair) -> None:
    refused("--activation", "drop it", arguments=("--arch", cnn_pair[2], "--activation", "relu"))
    refused("--activation", "did you mean relu", arguments=("--activation", "relo"))


def test_a_spec_of_another_network_and_no_spec(wsp, refused, cnn_pair, tmp_path) -> None:
    wsp("spec", cnn_pair[2], "-o", tmp_path / "spec.json", "-q")
    refused("a.pt", "0.weight", "spec.json", arguments=("--arch", tmp_path / "spec.json"))
    (tmp_path / "other.json").write_text("{}")
    refused("other.json", "spec", arguments=("--arch", tmp_path / "other.json"))
    refused("absent.json", "spec", arguments=("--arch", tmp_path / "absent.json"))
    options = ("--arch", tmp_path / "spec.json", "--activation", "relu")
    refused("spec.json", "--activation", "drop", arguments=options)
