"""The picture of a barrier: real files of the right kind, or one clear error."""

import math
import sys

import numpy as np
import pytest
from PIL import Image

from weightspace.errors import OutputError
from weightspace.evaluate import BarrierReport, Curve, check_plot_path, plot_barrier


def curve(height):
    t = tuple(i / 24 for i in range(25))
    bump = [4 * s * (1 - s) for s in t]
    return Curve(
        t, tuple(0.1 + 0.05 * s + height * h for s, h in zip(t, bump, strict=True)),
        tuple(0.97 - 0.2 * height * h for h in bump), 1000,
    )  # fmt: skip


STRAIGHT = curve(0.6)
REPORT = BarrierReport(curve(1.9), STRAIGHT, curve(0.15))


def test_a_png_has_both_panels_in_the_colours_of_all_curves(tmp_path):
    path = tmp_path / "barrier.png"
    plot_barrier(REPORT, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width > image.height > 400
        pixels = np.asarray(image.convert("RGB")).astype(int)
    for half in np.split(pixels[:, : pixels.shape[1] // 2 * 2], 2, axis=1):
        for colour in ((0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2), (0x00, 0x9E, 0x73)):
            assert (abs(half - colour).sum(2) < 12).sum() > 200


def test_an_svg_says_what_it_shows(tmp_path):
    path = tmp_path / "barrier.svg"
    plot_barrier(REPORT, path, title="first.pt and second.pt")
    text = path.read_text()
    assert text.startswith("<?xml")
    for expected in (
        "first.pt and second.pt",
        "cross-entropy (nats)",
        "Accuracy (1,000 examples)",
        "not aligned: barrier 1.900 nats, 38.0 points",
        "aligned, statistics reset: barrier 0.150 nats, 3.0 points",
    ):
        assert expected in text


def test_without_a_reset_its_curve_is_left_out(tmp_path):
    path = tmp_path / "barrier.svg"
    plot_barrier(BarrierReport(curve(1.9), STRAIGHT, STRAIGHT), path)
    assert "statistics reset" not in path.read_text()


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_curves_give_the_same_file(tmp_path, suffix):
    files = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for file in files:
        plot_barrier(REPORT, file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == files


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1e9])
def test_an_exploding_loss_is_drawn(tmp_path, loss):
    broken = Curve((0.0, 0.5, 1.0), (0.1, loss, 0.2), (0.9, 0.1, 0.9), 10)
    plot_barrier(BarrierReport(broken, STRAIGHT, STRAIGHT), tmp_path / "barrier.png")
    assert (tmp_path / "barrier.png").stat().st_size > 10_000


def test_an_old_picture_is_replaced(tmp_path):
    path = tmp_path / "barrier.PNG"
    path.write_bytes(b"old")
    plot_barrier(REPORT, path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["barrier", "barrier.jpeg", "weights.safetensors"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"expected a name that ends in \.png, \.svg or \.pdf"):
        plot_barrier(REPORT, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(OutputError, match="expected an existing folder, found no"):
        check_plot_path(tmp_path / "nowhere" / "barrier.png")


def test_a_folder_in_the_way_leaves_nothing_half_written(tmp_path):
    (tmp_path / "barrier.png").mkdir()
    with pytest.raises(OutputError, match="expected to write it, found: Is a directory"):
        plot_barrier(REPORT, tmp_path / "barrier.png")
    assert [path.name for path in tmp_path.iterdir()] == ["barrier.png"]


def test_missing_matplotlib_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OutputError, match=r"install weightspace\[plot\]"):
        plot_barrier(REPORT, tmp_path / "barrier.png")


def test_no_global_state_of_pyplot_is_touched(tmp_path):
    loaded = "matplotlib.pyplot" in sys.modules
    plot_barrier(REPORT, tmp_path / "barrier.png")
    assert ("matplotlib.pyplot" in sys.modules) == loaded
