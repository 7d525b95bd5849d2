"""NumPy archives: what they become, and every way in which they are refused."""

import numpy as np
import pytest
import torch

from weightspace.data import open_data
from weightspace.errors import DataError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 4, 5, 3), dtype=np.uint8)
LABELS = np.arange(7) % 3


def saved(folder, **arrays):
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def only_batch(path):
    (batch,) = open_data(path).evaluation.batches(100)
    return batch


def test_uint8_images_become_channels_first_floats(tmp_path):
    x, y = only_batch(saved(tmp_path, x=IMAGES, y=LABELS.astype(np.uint8)))
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert x.shape == (7, 3, 4, 5)
    assert x[2, 1, 3, 4].item() == np.float32(IMAGES[2, 3, 4, 1]) / np.float32(255)
    assert y.tolist() == LABELS.tolist()


def test_uint8_without_a_channel_axis_gets_one(tmp_path):
    x, _ = only_batch(saved(tmp_path, x=IMAGES[..., 0], y=LABELS))
    assert x.shape == (7, 1, 4, 5)
    np.testing.assert_array_equal(x[:, 0].numpy(), IMAGES[..., 0].astype(np.float32) / np.float32(255))


def test_uint8_features_are_only_scaled(tmp_path):
    x, _ = only_batch(saved(tmp_path, x=IMAGES.reshape(7, -1), y=LABELS))
    np.testing.assert_array_equal(x.numpy(), IMAGES.reshape(7, -1).astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
def test_floats_are_kept_as_they_are(tmp_path, dtype):
    values = RNG.normal(size=(7, 3, 4, 5)).astype(dtype)
    x, _ = only_batch(saved(tmp_path, x=values, y=LABELS))
    assert x.dtype == torch.float32
    np.testing.assert_array_equal(x.numpy(), values.astype(np.float32))


def test_token_ids_stay_integers(tmp_path):
    x, _ = only_batch(saved(tmp_path, x=RNG.integers(0, 50, (7, 9), dtype=np.int32), y=LABELS))
    assert x.dtype == torch.int64
    assert x.shape == (7, 9)


def test_labels_are_optional(tmp_path):
    assert only_batch(saved(tmp_path, x=IMAGES)).y is None


def test_other_arrays_are_not_read(tmp_path):
    path = saved(tmp_path, x=IMAGES, y=LABELS, names=np.array([{}], dtype=object))
    assert len(open_data(path).evaluation) == 7


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": IMAGES, "y": LABELS}, r"expected arrays x and y, found inputs, y; rename"),
        ({"x": IMAGES, "y": LABELS[:-1]}, r"found 7 in x and 6 in y"),
        ({"x": IMAGES, "y": LABELS.astype(float)}, r"integer class labels \(N,\), found float64"),
        ({"x": IMAGES, "y": np.eye(7, dtype=int)}, r"integer class labels \(N,\), found int64 of shape \(7, 7\)"),
        ({"x": IMAGES, "y": LABELS - 1}, r"labels from 0, found -1 at position 0"),
        ({"x": IMAGES.transpose(0, 3, 1, 2), "y": LABELS}, r"channels first; transpose"),
        ({"x": IMAGES.astype(np.int64), "y": LABELS}, r"found int64 of shape \(7, 4, 5, 3\)"),
        ({"x": IMAGES.astype(np.complex64), "y": LABELS}, r"found complex64"),
        ({"x": np.array(["a"] * 7), "y": LABELS}, r"found <U1"),
        ({"x": np.zeros((0, 4, 5, 3), np.uint8), "y": LABELS[:0]}, r"at least one example"),
        ({"x": np.zeros((7, 0), np.uint8), "y": LABELS}, r"found uint8 of shape \(7, 0\)"),
        ({"x": np.float32(3), "y": LABELS}, r"found float32 of shape \(\)"),
        ({"x": np.array([{}] * 7, dtype=object), "y": LABELS}, r"array x, found pickled Python objects"),
        ({"x": IMAGES, "y": np.array([[1], "b"] + [None] * 5, dtype=object)}, r"array y, found pickled Python"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(tmp_path, arrays, message):
    path = saved(tmp_path, **arrays)
    with pytest.raises(DataError, match=message) as caught:
        len(open_data(path).evaluation)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_not_finite_inputs_are_refused_where_they_are(tmp_path):
    x = np.zeros((7, 3), np.float32)
    x[5, 1] = np.nan
    split = open_data(saved(tmp_path, x=x, y=LABELS)).evaluation
    with pytest.raises(DataError, match=r"found NaN or infinity in x\[5\]"):
        list(split.batches(3))


@pytest.mark.parametrize("keep", [0, 10, 200, -200, -1])
def test_truncated_archives_are_refused(tmp_path, keep):
    path = saved(tmp_path, x=IMAGES, y=LABELS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"expected a \.npz archive, found it unreadable"):
        len(open_data(path).evaluation)


def test_a_damaged_array_is_refused(tmp_path):
    path = saved(tmp_path, x=IMAGES, y=LABELS)
    content = bytearray(path.read_bytes())
    start = content.index(IMAGES.tobytes()[:16])
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(DataError, match="expected a readable array x, found a damaged one"):
        len(open_data(path).evaluation)


def test_a_header_that_claims_terabytes_is_refused(tmp_path):
    path = saved(tmp_path, x=np.zeros((7, 1000, 1000, 1), np.uint8), y=LABELS)
    content = path.read_bytes().replace(b"(7, 1000, 1000, 1), }", b"(7, 10**9, 100, 1), }")
    path.write_bytes(content)
    with pytest.raises(DataError, match="array x, found a damaged one"):
        len(open_data(path).evaluation)


def test_a_plain_npy_file_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", IMAGES)
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    with pytest.raises(DataError, match="found a single array"):
        len(open_data(tmp_path / "x.npz").evaluation)
