"""Real checkpoints that nobody here trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.canonical.orbits import difference, image, same
from weightspace.canonical import DEFAULT_KINDS, canonicalize
from weightspace.checkpoint import open_checkpoint
from weightspace.source import Program, resolve_source
from weightspace.symmetry import derive
from weightspace.symmetry.verify import relative_error

CHECKPOINTS = ("akamaster_akamaster_pretrained.th", "DanSun18_run_4_model.th", "DanSun18_run_8_1_model.th")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_resnet_and_its_images_have_one_form(name: str, shared_data: Path, repository: Path):
    checkpoint = open_checkpoint(shared_data / "resnet_cifar10" / "resnet20" / name)
    source = resolve_source(f"{repository / 'checkpoints_zoo' / 'cifar_resnet.py'}:resnet20", checkpoint=checkpoint)
    program, inputs = Program.from_source(source), source.example_inputs()
    spec = derive(source.build(meta=True), inputs.args, inputs.kwargs)
    state = checkpoint.tensors()
    permuted = canonicalize(state, spec, ("permutation",))
    form = canonicalize(state, spec)
    assert relative_error(program.outputs(form.tensors), program.outputs(state)) < 1e-5
    assert len({group.name for group in form.groups}) == 12
    for seed in range(4):
        moved = spec.apply(spec.random_element(torch.Generator().manual_seed(seed)), state)
        assert same(canonicalize(moved, spec, ("permutation",)).tensors, permuted.tensors)
        moved = image(spec, state, seed, DEFAULT_KINDS)
        assert difference(canonicalize(moved, spec).tensors, form.tensors) < 1e-5
