"""Folders of images by class."""

import numpy as np
import pytest
from PIL import Image

from weightspace.data import open_data
from weightspace.errors import DataError

RNG = np.random.default_rng(0)


def picture(path, *, size=(5, 4), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    image.save(path)
    return np.asarray(image)


@pytest.fixture
def folder(tmp_path):
    for name, count in (("dog", 2), ("cat", 3)):
        for i in range(count):
            picture(tmp_path / name / f"{i}.png")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / ".cache").mkdir()
    picture(tmp_path / "dog" / ".hidden.png", size=(9, 9))
    return tmp_path


def test_labels_follow_the_sorted_class_names(folder):
    split = open_data(folder).evaluation
    assert split.x.shape == (5, 4, 5, 3)
    assert split.y.tolist() == [0, 0, 0, 1, 1]
    expected = np.asarray(Image.open(folder / "dog" / "1.png"))
    np.testing.assert_array_equal(split.x[np.array([4])][0], expected)


def test_batches_in_another_order_decode_the_same_images(folder):
    split = open_data(folder).evaluation
    (batch,) = split.batches(10, shuffle_seed=1)
    order = split.order(shuffle_seed=1)
    assert sorted(order) == list(range(5))
    np.testing.assert_array_equal(
        batch.x.permute(0, 2, 3, 1).numpy(), split.x[order].astype(np.float32) / np.float32(255)
    )
    assert batch.y.tolist() == split.y[order].tolist()


def test_grey_images_have_one_channel_and_mixed_ones_three(tmp_path):
    pixels = picture(tmp_path / "a" / "0.png", mode="L")
    picture(tmp_path / "b" / "0.png", mode="L")
    split = open_data(tmp_path).evaluation
    assert split.x.shape == (2, 4, 5, 1)
    np.testing.assert_array_equal(split.x[np.array([0])][0, ..., 0], pixels)
    picture(tmp_path / "b" / "1.png", mode="P")
    assert open_data(tmp_path).evaluation.x.shape == (3, 4, 5, 3)


def test_nested_folders_belong_to_their_class(folder):
    picture(folder / "cat" / "more" / "7.jpg")
    assert open_data(folder).evaluation.y.tolist() == [0, 0, 0, 0, 1, 1]


def test_folders_of_splits(tmp_path):
    for split, count in (("train", 3), ("val", 1)):
        for name in ("cat", "train"):  # a class may be called train
            for i in range(count):
                picture(tmp_path / split / name / f"{i}.png")
    data = open_data(tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 6, "val": 2}
    assert (data.evaluation.name, data.statistics.name) == ("val", "train")
    assert open_data(tmp_path / "val").evaluation.y.tolist() == [0, 1]


def test_splits_with_different_classes_are_refused(tmp_path):
    for path in ("train/cat/0.png", "train/dog/0.png", "test/dog/0.png"):
        picture(tmp_path / path)
    with pytest.raises(DataError, match=r"expected the classes of test, found 'cat' in only one"):
        open_data(tmp_path)


def test_an_image_of_another_size_is_refused(folder):
    picture(folder / "dog" / "9.png", size=(6, 4))
    with pytest.raises(DataError, match=r"9\.png: expected 5 x 4 pixels as in 0\.png, found 6 x 4; resize"):
        len(open_data(folder).evaluation)


def test_a_file_that_is_not_an_image_is_refused(folder):
    (folder / "dog" / "9.png").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"9\.png: expected a PNG, JPEG or similar image, found it unreadable"):
        len(open_data(folder).evaluation)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tif"])
def test_a_truncated_image_is_refused(tmp_path, suffix):
    path = tmp_path / "a" / f"0.{suffix}"
    picture(path, size=(64, 64))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"found it unreadable \(.+\); replace or remove it") as caught:
        list(open_data(tmp_path).evaluation.batches(1))
    assert str(path) in str(caught.value)


def test_sixteen_bits_are_not_cut_silently(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((4, 5), 40_000, np.uint16)).save(tmp_path / "a" / "0.png")
    with pytest.raises(DataError, match="expected 8 bits per channel, found the mode I;16"):
        len(open_data(tmp_path).evaluation)


def test_postscript_is_never_handed_to_an_interpreter(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 4\n%%EndComments\n")
    with pytest.raises(DataError, match="cannot identify image file"):
        len(open_data(tmp_path).evaluation)


def test_a_class_without_images_is_refused(folder):
    (folder / "bird").mkdir()
    with pytest.raises(DataError, match=r"expected images of the class 'bird', found none"):
        len(open_data(folder).evaluation)


def test_images_outside_class_folders_are_refused(tmp_path):
    picture(tmp_path / "0.png")
    with pytest.raises(DataError, match="found images that no class folder holds"):
        open_data(tmp_path)
