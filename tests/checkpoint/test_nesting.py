from pathlib import Path

import pytest
import torch

from weightspace.checkpoint.nesting import STATE_DICT_KEYS, find_state_dict
from weightspace.errors import CheckpointFormatError

PATH = Path("run.pt")
WEIGHTS = {"w": torch.ones(2)}
OTHER = {"w": torch.zeros(2)}
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize("key", [*STATE_DICT_KEYS, "generator"])
def test_one_state_dict_is_found_under_any_key(key):
    found = find_state_dict(
        {"epoch": 1, key: WEIGHTS, "optimizer": OPTIMIZER, "lr_scheduler": {"t": torch.ones(1)}}, PATH
    )
    assert found.entries is WEIGHTS
    assert found.notes == (f"read from '{key}'",)


@pytest.mark.parametrize(
    "beside",
    [
        {
            "optimizer_states": [OPTIMIZER],
            "pytorch-lightning_version": "2.4.0",
            "callbacks": {"best": {"s": torch.ones(1)}},
        },
        {"opt": OPTIMIZER, "amp_scaler": {"scale": torch.ones(1)}, "rng": {"cpu": torch.ones(1)}},
        {"loss": torch.tensor(0.3), "layer._extra_state": {"amax": torch.ones(1)}},
    ],
    ids=["lightning", "timm", "loose tensors"],
)
def test_training_state_is_passed_over(beside):
    assert find_state_dict({**beside, "state_dict": WEIGHTS}, PATH).entries is WEIGHTS


def test_a_plain_state_dict_is_itself():
    assert find_state_dict(WEIGHTS, PATH).entries is WEIGHTS
    assert find_state_dict(WEIGHTS, PATH).notes == ()


def test_wrappers_may_be_nested():
    found = find_state_dict({"checkpoint": {"epoch": 1, "model": {"state_dict": WEIGHTS}}}, PATH)
    assert found.entries is WEIGHTS
    assert found.notes == ("read from 'checkpoint' > 'model' > 'state_dict'",)


@pytest.mark.parametrize("key", ["model_ema", "state_dict_ema", "ema", "ema_state_dict", "params_ema"])
def test_averaged_weights_are_read_only_when_asked_for(key):
    loaded = {"model": WEIGHTS, key: OTHER}
    assert find_state_dict(loaded, PATH).entries is WEIGHTS
    assert any(key in note for note in find_state_dict(loaded, PATH).notes)
    assert find_state_dict(loaded, PATH, prefer="ema").entries is OTHER
    assert find_state_dict(loaded, PATH, prefer=key).entries is OTHER


def test_averaged_weights_alone_are_read_and_reported():
    found = find_state_dict({"params_ema": OTHER}, PATH)
    assert found.entries is OTHER
    assert "these are averaged (EMA) weights" in found.notes


def test_ema_is_a_whole_component():
    assert find_state_dict({"cinema_model": WEIGHTS}, PATH).notes == ("read from 'cinema_model'",)


def test_preference_decides_between_several():
    loaded = {"student": WEIGHTS, "teacher": OTHER}
    with pytest.raises(CheckpointFormatError, match=r"several: 'student', 'teacher'; say which with prefer"):
        find_state_dict(loaded, PATH)
    assert find_state_dict(loaded, PATH, prefer="teacher").entries is OTHER


def test_preference_may_lie_deeper():
    loaded = {"state_dict": {"student": WEIGHTS, "teacher": OTHER}}
    assert find_state_dict(loaded, PATH, prefer="student").entries is WEIGHTS


@pytest.mark.parametrize("loaded", [{"model": WEIGHTS}, WEIGHTS])
def test_an_absent_preference_is_an_error(loaded):
    with pytest.raises(CheckpointFormatError, match="expected weights under 'teacher'"):
        find_state_dict(loaded, PATH, prefer="teacher")


CIRCLE: dict[str, object] = {"loose": {"t": torch.ones(1)}}
CIRCLE["state_dict"] = CIRCLE


@pytest.mark.parametrize(
    ("loaded", "found"),
    [
        (torch.ones(2, 3), r"a single tensor of shape \(2, 3\)"),
        ([WEIGHTS, WEIGHTS], "a list of 2 entries"),
        (3, "a int"),
        (CIRCLE, "a dict"),
    ],
)
def test_what_is_no_state_dict_is_described(loaded, found):
    with pytest.raises(CheckpointFormatError, match=f"run.pt: expected a state dict .*found {found}"):
        find_state_dict(loaded, PATH)
