"""Which splits a path has, and which of them are used for what."""

import numpy as np
import pytest

from weightspace.data import open_data
from weightspace.errors import DataError


def archive(path, *, size=4, width=3, first=0, **arrays):
    x = np.arange(first, first + size * width, dtype=np.float32).reshape(size, width)
    np.savez(path, **{"x": x, "y": np.zeros(size, np.int64), **arrays})


def test_a_missing_path(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: expected a \.npz .* found no such file or folder; check the path"):
        open_data(tmp_path / "nowhere")


def test_a_file_of_another_kind(tmp_path):
    (tmp_path / "data.csv").write_text("x,y\n")
    with pytest.raises(DataError, match=r"found a \.csv file; convert it"):
        open_data(tmp_path / "data.csv")


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="found none of these"):
        open_data(tmp_path)


def test_the_parts_of_a_split_are_joined_in_order(tmp_path):
    archive(tmp_path / "train_0.npz", size=2)
    archive(tmp_path / "train_1.npz", size=3, first=6)
    archive(tmp_path / "test.npz", size=1)
    data = open_data(tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 5, "test": 1}
    np.testing.assert_array_equal(data.statistics.x[np.arange(5)].ravel(), np.arange(15))


def test_parts_that_differ_are_refused(tmp_path):
    archive(tmp_path / "train_0.npz")
    archive(tmp_path / "train_1.npz", width=4)
    with pytest.raises(DataError, match=r"same dtype, shape and labels, found <f4 \(3,\), <f4 \(4,\)"):
        len(open_data(tmp_path).statistics)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("test.npz", "test"), ("digits_train.npz", "train"), ("Training-2.npz", "train"), ("t10k.npz", "test"),
        ("validation.npz", "val"), ("valid.npz", "val"), ("data.npz", "data"), ("contest.npz", "data"),
        ("strained.npz", "data"),
    ],
)  # fmt: skip
def test_the_name_of_a_file_names_the_split(tmp_path, name, split):
    archive(tmp_path / name)
    assert list(open_data(tmp_path).splits) == list(open_data(tmp_path / name).splits) == [split]


def test_only_one_split_serves_both_purposes(tmp_path):
    archive(tmp_path / "train.npz")
    data = open_data(tmp_path)
    assert data.evaluation is data.statistics is data.splits["train"]


def test_several_files_without_a_split_name_are_refused(tmp_path):
    archive(tmp_path / "a.npz")
    archive(tmp_path / "b.npz")
    with pytest.raises(DataError, match=r"named train\* and test\*, found a\.npz, b\.npz"):
        open_data(tmp_path)


def test_two_kinds_of_data_in_one_folder_are_refused(tmp_path):
    archive(tmp_path / "train.npz")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"one kind of data, found \.npz files and idx files"):
        open_data(tmp_path)


def test_a_split_that_is_not_used_is_not_read(tmp_path):
    archive(tmp_path / "test.npz")
    (tmp_path / "train.npz").write_bytes(b"broken")
    data = open_data(tmp_path)
    assert len(data.evaluation) == 4
    with pytest.raises(DataError, match=r"train\.npz"):
        len(data.statistics)


def test_cifar10(shared_data):
    data = open_data(shared_data / "cifar10")
    assert {name: split.x.shape for name, split in data.splits.items()} == {
        "test": (10_000, 32, 32, 3),
        "train": (5_000, 32, 32, 3),
    }
    batch = next(data.evaluation.batches(64))
    assert batch.x.shape == (63, 3, 32, 32) or batch.x.shape == (64, 3, 32, 32)
    stored = data.evaluation.x[np.arange(1)][0]
    np.testing.assert_array_equal(batch.x[0].permute(1, 2, 0).numpy(), stored.astype(np.float32) / np.float32(255))
