"""The committed checkpoints are what their README says, and their recipe makes the same files every time."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from weightspace.checkpoint import open_checkpoint
from weightspace.data import open_data
from weightspace.evaluate import evaluate
from weightspace.source import Program, resolve_source
from weightspace.stats import has_batchnorm, reset_batchnorm

NAMES = ("digits_mlp_0", "digits_mlp_1", "digits_cnn_0", "digits_cnn_1")


@pytest.fixture(scope="module")
def zoo(repository):
    return repository / "checkpoints_zoo"


@pytest.fixture(scope="module")
def data(zoo):
    return open_data(zoo / "digits")


def program_of(zoo, name):
    return Program.from_source(resolve_source(f"{zoo / 'models.py'}:{name[:-2]}"))


@pytest.mark.parametrize("name", NAMES)
def test_each_checkpoint_reaches_the_accuracy_that_the_readme_states(zoo, data, name):
    program, checkpoint = program_of(zoo, name), open_checkpoint(zoo / f"{name}.safetensors")
    program.check_state(checkpoint)
    score = evaluate(program, checkpoint.tensors(), data.evaluation.batches(250))
    stated = re.search(rf"`{name}\.safetensors` .* ([\d.]+) % \|", (zoo / "README.md").read_text())
    assert stated is not None
    # Another machine may round one borderline digit the other way.
    assert 100 * score.accuracy == pytest.approx(float(stated[1]), abs=0.21)
    assert score.accuracy >= 0.95
    assert (zoo / f"{name}.safetensors").stat().st_size < 100_000


@pytest.mark.parametrize("name", ["digits_mlp", "digits_cnn"])
def test_the_two_networks_of_a_kind_are_independent(zoo, name):
    first, second = (open_checkpoint(zoo / f"{name}_{seed}.safetensors").tensors() for seed in (0, 1))
    for key in first:
        if first[key].ndim > 1:
            a, b = first[key].flatten(), second[key].flatten()
            assert abs(float(a @ b / (a.norm() * b.norm()))) < 0.5


def test_the_mlp_is_inferred_from_its_checkpoint(zoo, data):
    checkpoint = open_checkpoint(zoo / "digits_mlp_0.safetensors")
    program = Program.from_source(resolve_source(None, checkpoint=checkpoint, activation="relu"))
    inferred = evaluate(program, checkpoint.tensors(), data.evaluation.batches(250))
    assert inferred == evaluate(program_of(zoo, "digits_mlp_0"), checkpoint.tensors(), data.evaluation.batches(250))


def test_the_statistics_of_the_cnn_can_be_measured_again(zoo, data):
    program, state = program_of(zoo, "digits_cnn_0"), open_checkpoint(zoo / "digits_cnn_0.safetensors").tensors()
    assert has_batchnorm(program)
    reset = reset_batchnorm(program, state, data.statistics.batches(500, shuffle_seed=0))
    assert evaluate(program, reset, data.evaluation.batches(250)).accuracy >= 0.98


def test_the_data_are_the_digits_of_scikit_learn(data):
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    splits = data.splits["train"], data.splits["test"]
    assert [len(split) for split in splits] == [1297, 500]
    x = np.concatenate([split.x[np.arange(len(split))] for split in splits])[..., 0]
    y = np.concatenate([split.y for split in splits])

    def multiset(images, labels):
        return sorted((label, image.tobytes()) for label, image in zip(labels.tolist(), images, strict=True))

    assert multiset(np.rint(x * (16 / 255)).astype(np.uint8), y) == multiset(
        digits.images.astype(np.uint8), digits.target
    )


def test_the_recipe_makes_the_same_files_twice(zoo, repository, tmp_path):
    pytest.importorskip("sklearn")
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    for folder in ("first", "second"):
        subprocess.run(
            [sys.executable, zoo / "train_digits.py", "--out", tmp_path / folder, "--epochs", "1"],
            check=True, env=environment, capture_output=True,
        )  # fmt: skip
    files = sorted(file.relative_to(tmp_path / "first") for file in (tmp_path / "first").rglob("*") if file.is_file())
    assert len(files) == 2 * len(NAMES) + 2
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    for split in ("train", "test"):
        committed, made = (np.load(path / "digits" / f"{split}.npz") for path in (zoo, tmp_path / "first"))
        assert all(np.array_equal(committed[name], made[name]) for name in ("x", "y"))
