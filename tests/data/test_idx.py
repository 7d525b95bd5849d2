"""MNIST-style files: the format, its damages, and the real MNIST."""

import gzip
import struct

import numpy as np
import pytest

from weightspace.data import open_data
from weightspace.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5), dtype=np.uint8)
LABELS = np.array([0, 2, 1, 1, 0, 2], np.uint8)


def idx_bytes(array):
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write(path, content):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture(params=["ubyte.gz", "ubyte"])
def folder(tmp_path, request):
    for name in ("train", "t10k"):
        write(tmp_path / f"{name}-images-idx3-{request.param}", idx_bytes(IMAGES))
        write(tmp_path / f"{name}-labels-idx1-{request.param}", idx_bytes(LABELS))
    return tmp_path


def test_a_folder_of_pairs_has_a_train_and_a_test_split(folder):
    data = open_data(folder)
    assert sorted(data.splits) == ["test", "train"]
    assert data.evaluation is data.splits["test"]
    assert data.statistics is data.splits["train"]
    np.testing.assert_array_equal(data.evaluation.x[np.arange(6)], IMAGES)
    np.testing.assert_array_equal(data.evaluation.y, LABELS)


def test_an_images_file_finds_its_labels(folder):
    path = next(folder.glob("train-images*"))
    data = open_data(path)
    assert list(data.splits) == ["train"]
    np.testing.assert_array_equal(data.evaluation.y, LABELS)


def test_a_labels_file_is_not_data(folder):
    with pytest.raises(DataError, match="found a file of labels; give the images file"):
        open_data(next(folder.glob("train-labels*")))


def test_images_without_labels_and_labels_without_images(tmp_path):
    write(tmp_path / "train-images-idx3-ubyte.gz", idx_bytes(IMAGES))
    with pytest.raises(DataError, match=r"found no train-labels-idx1-ubyte\.gz"):
        len(open_data(tmp_path).evaluation)
    (tmp_path / "train-images-idx3-ubyte.gz").rename(tmp_path / "train-labels-idx1-ubyte.gz")
    with pytest.raises(DataError, match=r"found labels without images \(train-labels-idx1-ubyte\.gz\)"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx_bytes(IMAGES)[:-1], r"expected 120 bytes for the \(6, 4, 5\) of its header, found only 119"),
        (idx_bytes(IMAGES) + b"0", r"expected 120 bytes for the \(6, 4, 5\) of its header, found more"),
        (idx_bytes(LABELS), r"expected the magic number 2051 of idx images, found 2049"),
        (b"\x00\x00\x0d\x03" + idx_bytes(IMAGES)[4:], r"found 3331"),
        (idx_bytes(IMAGES)[:9], r"expected the magic number 2051"),
        (b"", r"expected the magic number 2051 of idx images, found 0"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12 + b"0" * 100, r"found a file too small"),
        (idx_bytes(IMAGES[:5]), r"found 5 in x and 6 in y"),
    ],
)
def test_damaged_images_are_refused_in_one_line(folder, content, message):
    path = next(folder.glob("t10k-images*"))
    write(path, content)
    with pytest.raises(DataError, match=message) as caught:
        len(open_data(folder).evaluation)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [5, 40, -9])
def test_truncated_gzip_is_refused(tmp_path, keep):
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    write(path, idx_bytes(IMAGES))
    write(tmp_path / "t10k-labels-idx1-ubyte.gz", idx_bytes(LABELS))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"expected an idx file in gzip, found it unreadable \(.+\); copy or download"):
        len(open_data(path).evaluation)


def test_a_file_that_is_not_gzip_is_refused(tmp_path):
    write(tmp_path / "t10k-labels-idx1-ubyte.gz", idx_bytes(LABELS))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="Not a gzipped file"):
        len(open_data(tmp_path).evaluation)


def test_mnist(shared_data):
    data = open_data(shared_data / "mnist")
    assert sorted(data.splits) == ["test", "train"]
    assert len(data.evaluation) == 10_000
    batch = next(data.evaluation.batches(1000))
    assert batch.x.shape == (1000, 1, 28, 28)
    assert (batch.x.min().item(), batch.x.max().item()) == (0.0, 1.0)
    assert batch.y[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]  # the well-known first digits of the test set
