import numpy as np
import pytest

COMMON = ("--points", "5")


def test_a_permuted_copy_has_no_barrier_once_aligned(wsp, mlp_pair, features, tmp_path) -> None:
    plot = tmp_path / "plot.svg"
    outcome = wsp(
        "barrier", *mlp_pair, "--data", features, "-o", plot, "--activation", "relu", *COMMON, "--json"
    )  # fmt: skip
    assert outcome.status == 0, outcome.stderr
    document = outcome.document
    for name in ("naive", "aligned", "aligned_reset"):
        curve = document[name]
        assert curve["t"] == [0, 0.25, 0.5, 0.75, 1]
        assert len(curve["loss"]) == len(curve["accuracy"]) == 5
    assert document["naive"]["barrier"] > 0
    assert document["aligned"]["barrier"] == 0
    assert document["aligned"]["accuracy"] == [1] * 5
    assert document["statistics_reset"] is False
    assert document["samples"] == 30
    assert plot.read_text().startswith("<?xml")


def test_batch_norm_gets_a_third_curve(wsp, cnn_pair, images, tmp_path) -> None:
    a, b, source = cnn_pair
    plot = tmp_path / "plot.png"
    command = ("barrier", a, b, "--arch", source, "--data", images, "-o", plot, *COMMON)
    outcome = wsp(*command, "--json")
    assert outcome.status == 0, outcome.stderr
    document = outcome.document
    assert document["statistics_reset"] is True
    assert document["aligned_reset"]["loss"] != document["aligned"]["loss"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    outcome = wsp(*command)
    for part in ("naive", "aligned, reset", "accuracy A", "40 examples", str(plot)):
        assert part in outcome.stdout


def test_a_random_choice_of_examples_depends_on_the_seed_alone(wsp, cnn_pair, images, tmp_path) -> None:
    a, b, source = cnn_pair
    command = ("barrier", a, b, "--arch", source, "--data", images, "-o", tmp_path / "p.png", *COMMON, "--json")
    first, again, other = (wsp(*command, "--samples", "7", "--seed", seed).document for seed in (0, 0, 1))
    assert first["samples"] == 7
    assert first["naive"] == again["naive"]
    assert first["naive"] != other["naive"]


def test_normalisation_is_the_one_asked_for(wsp, cnn_pair, images, tmp_path) -> None:
    a, b, source = cnn_pair
    command = ("barrier", a, b, "--arch", source, "-o", tmp_path / "p.png", *COMMON, "--json")
    stored = np.load(images)
    x = ((stored["x"].transpose(0, 3, 1, 2) / 255 - 0.5) / 0.25).astype(np.float32)
    np.savez(tmp_path / "ready.npz", x=x, y=stored["y"])
    ready = wsp(*command, "--data", tmp_path / "ready.npz").document
    asked = wsp(*command, "--data", images, "--mean", "0.5", "--std", "0.25").document
    assert asked["naive"]["loss"] == pytest.approx(ready["naive"]["loss"], rel=1e-5)


def test_what_cannot_be_evaluated_is_refused_with_the_next_step(wsp, mlp_pair, features, cnn_pair, tmp_path) -> None:
    plot = tmp_path / "plot.png"
    wsp("barrier", *mlp_pair, "--data", features, "-o", plot).failed_with("a.pt", "--activation")
    saved = tmp_path / "spec.json"
    wsp("spec", mlp_pair[0], "-o", saved, "-q")
    wsp("barrier", *mlp_pair, "--data", features, "-o", plot, "--arch", saved).failed_with("spec.json", "--arch")
    assert not plot.exists()


def test_data_and_picture_must_be_named(wsp, mlp_pair, features, tmp_path) -> None:
    assert wsp("barrier", *mlp_pair, "-o", tmp_path / "p.png").status == 2
    assert wsp("barrier", *mlp_pair, "--data", features).status == 2
