"""`wsp diff` on real checkpoints that nobody here trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from weightspace.checkpoint import open_checkpoint
from weightspace.source import resolve_source
from weightspace.symmetry import Transformation, derive
from weightspace.symmetry.freedom import KINDS

RUN = "resnet_cifar10/resnet20/DanSun18_run_{}.th"
AKAMASTER = "resnet_cifar10/resnet20/akamaster_akamaster_pretrained.th"
TUNED = "resnet_cifar10/lineage/resnet20_akamaster_qpsk_ft1_best.pth"


@pytest.fixture
def resnet(repository: Path) -> tuple[str, str]:
    return "--arch", f"{repository / 'checkpoints_zoo' / 'cifar_resnet.py'}:resnet20"


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (RUN.format("8_1_model"), RUN.format("8_1_model"), "identical"),
        (RUN.format("5_model"), RUN.format("5_checkpoint"), "fine-tuned"),
        (RUN.format("8_1_model"), RUN.format("8_1_checkpoint"), "fine-tuned"),
        (RUN.format("8_2_model"), RUN.format("8_2_checkpoint"), "fine-tuned"),
        (RUN.format("8_3_model"), RUN.format("8_3_checkpoint"), "fine-tuned"),
        (AKAMASTER, TUNED, "fine-tuned"),
        (RUN.format("8_1_model"), RUN.format("8_2_model"), "unrelated"),
        (AKAMASTER, RUN.format("1_model"), "unrelated"),
        (RUN.format("1_model"), TUNED, "unrelated"),
        (AKAMASTER, "resnet_cifar10/resnet32/akamaster_akamaster_pretrained.th", "unrelated"),
    ],
)
def test_residual_networks(wsp, resnet, shared_data: Path, a: str, b: str, verdict: str) -> None:
    outcome = wsp("diff", shared_data / a, shared_data / b, *resnet, "--json")
    assert outcome.status == 0, outcome.stderr
    assert outcome.document["verdict"] == verdict, outcome.document["reason"]


@pytest.mark.parametrize(
    "kinds", [("permutation",), ("permutation", "scale"), ("permutation", "scale", "sign")], ids="+".join
)
@pytest.mark.parametrize(("name", "verdict"), [(AKAMASTER, "equivalent"), (TUNED, "fine-tuned")])
def test_moved_copies_of_a_residual_network_and_of_its_fine_tune(
    wsp, resnet, shared_data: Path, tmp_path: Path, kinds, name: str, verdict: str
) -> None:
    source = resolve_source(resnet[1])
    inputs = source.example_inputs()
    spec = derive(source.build(meta=True), inputs.args, inputs.kwargs)
    change = Transformation.random(spec, torch.Generator().manual_seed(0), kinds)
    torch.save(change.apply(open_checkpoint(shared_data / name).tensors()), tmp_path / "moved.pt")
    outcome = wsp("diff", shared_data / AKAMASTER, tmp_path / "moved.pt", *resnet, "--json")
    assert outcome.document["verdict"] == verdict, outcome.document["reason"]


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ("mlp_seeds/mnist_mlp_seed0.pt", "mlp_seeds/mnist_mlp_seed1.pt", "unrelated"),
        ("mlp_seeds/mnist_mlp_seed0.pt", "mlp_seeds/fashion_mnist_mlp_seed1.pt", "unrelated"),
        # Files of one number were started from the same weights, and trained on different data.
        ("mlp_seeds/mnist_mlp_seed0.pt", "mlp_seeds/fashion_mnist_mlp_seed0.pt", "fine-tuned"),
        ("cifar_lenet/bearmeal_cifar_net.pth", "cifar_lenet/camron_cifar_net.pth", "unrelated"),
    ],
)
def test_plain_stacks(wsp, shared_data: Path, a: str, b: str, verdict: str) -> None:
    outcome = wsp("diff", shared_data / a, shared_data / b, "--activation", "relu", "--json")
    assert outcome.document["verdict"] == verdict, outcome.document["reason"]


def test_transformers(wsp, shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folders = [shared_data / "shakespeare" / f"gpt2_{i}" for i in (0, 1)]
    assert wsp("diff", *folders, "--json").document["verdict"] == "unrelated"
    source = resolve_source(None, checkpoint=open_checkpoint(folders[0]))
    inputs = source.example_inputs()
    spec = derive(source.build(meta=True), inputs.args, inputs.kwargs)
    change = Transformation.random(spec, torch.Generator().manual_seed(0), ("permutation", *KINDS))
    torch.save(change.apply(open_checkpoint(folders[0]).tensors()), tmp_path / "moved.pt")
    assert wsp("diff", folders[0], tmp_path / "moved.pt", "--json").document["verdict"] == "equivalent"
