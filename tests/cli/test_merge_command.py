import numpy as np
import pytest
import torch

from weightspace.checkpoint import open_checkpoint


def test_merging_a_permuted_copy_gives_the_network_back(wsp, mlp_pair, tmp_path) -> None:
    a, b = mlp_pair
    output = tmp_path / "merged.safetensors"
    outcome = wsp("merge", a, b, "-o", output, "--t", "0.25", "--json")
    assert outcome.status == 0, outcome.stderr
    document = outcome.document
    assert (document["t"], document["aligned"], document["statistics"]) == (0.25, True, "none")
    reference = open_checkpoint(a)
    for name, tensor in open_checkpoint(output).items():
        torch.testing.assert_close(tensor, reference[name])


def test_without_aligning_the_weights_are_averaged_as_they_are(wsp, mlp_pair, tmp_path) -> None:
    a, b = mlp_pair
    output = tmp_path / "merged.safetensors"
    outcome = wsp("merge", a, b, "-o", output, "--align", "none", "--json")
    assert outcome.status == 0, outcome.stderr
    assert "objective_after" not in outcome.document
    first, second = open_checkpoint(a), open_checkpoint(b)
    for name, tensor in open_checkpoint(output).items():
        torch.testing.assert_close(tensor, (first[name] + second[name]) / 2)


def test_statistics_are_measured_on_data_and_interpolated_with_a_warning_without(
    wsp, cnn_pair, images, tmp_path
) -> None:
    a, b, source = cnn_pair
    command = ("merge", a, b, "--arch", source, "-o", tmp_path / "merged.safetensors")
    outcome = wsp(*command)
    assert outcome.status == 0, outcome.stderr
    assert "warning: " in outcome.stderr
    interpolated = open_checkpoint(tmp_path / "merged.safetensors").tensors()
    outcome = wsp(*command, "--data", images, "--json")
    assert outcome.document["statistics"] == "measured"
    measured = open_checkpoint(tmp_path / "merged.safetensors").tensors()
    x = torch.from_numpy(np.load(images)["x"]).permute(0, 3, 1, 2) / 255
    seen = torch.nn.functional.conv2d(x, measured["0.weight"], measured["0.bias"])
    torch.testing.assert_close(measured["1.running_mean"], seen.mean((0, 2, 3)))
    assert not torch.allclose(interpolated["1.running_mean"], measured["1.running_mean"])
    torch.testing.assert_close(interpolated["0.weight"], measured["0.weight"])


def test_statistics_can_be_measured_without_aligning(wsp, cnn_pair, images, tmp_path) -> None:
    a, b, source = cnn_pair
    command = ("merge", a, b, "-o", tmp_path / "merged.safetensors", "--align", "none", "--data", images, "--json")
    outcome = wsp(*command, "--arch", source)
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["statistics"] == "measured"
    wsp(*command).failed_with("cnn0.pt", "1.weight", "--arch")


def test_data_without_batch_norm_are_said_to_be_of_no_use(wsp, mlp_pair, features, tmp_path) -> None:
    outcome = wsp("merge", *mlp_pair, "-o", tmp_path / "m.safetensors", "--data", features, "--activation", "relu")
    assert outcome.status == 0, outcome.stderr
    assert "no batch norm" in outcome.stderr


def test_a_folder_may_be_written_and_written_again(wsp, mlp_pair, tmp_path) -> None:
    for _ in range(2):
        assert wsp("merge", *mlp_pair, "-o", tmp_path / "merged", "-q").status == 0
    assert sorted(path.name for path in (tmp_path / "merged").iterdir()) == [
        "model.safetensors", "recipe.yml", "wsp.json",
    ]  # fmt: skip


@pytest.mark.parametrize("t", ["-0.1", "1.5", "half"])
def test_a_share_outside_of_the_path_is_wrong_usage(wsp, mlp_pair, tmp_path, t: str) -> None:
    assert wsp("merge", *mlp_pair, "-o", tmp_path / "m.safetensors", f"--t={t}").status == 2


@pytest.mark.parametrize("method", ["weights", "please"])
def test_an_unknown_way_to_merge_is_one_line(wsp, mlp_pair, tmp_path, method: str) -> None:
    outcome = wsp("merge", *mlp_pair, "-o", tmp_path / "m.safetensors", "--method", method)
    outcome.failed_with(f"method '{method}'", "rebasin, pleas, zipit", "did you mean")
