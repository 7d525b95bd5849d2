import pytest
import torch
from safetensors.torch import save_file

from weightspace.checkpoint import check_compatible, check_finite, open_checkpoint
from weightspace.errors import CheckpointMismatchError


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e5m2, torch.complex64]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_located(dtype, value, tmp_path):
    weights = torch.zeros(2, 3)
    weights[1, 2] = value
    save_file({"a": torch.ones(2), "w": weights.to(dtype)}, tmp_path / "w.safetensors")
    with pytest.raises(
        CheckpointMismatchError, match=r"w\.safetensors: tensor 'w': .*at index \(1, 2\) \(1 of 6"
    ) as caught:
        check_finite(open_checkpoint(tmp_path / "w.safetensors"))
    assert ("nan" if value != value else "inf") in str(caught.value)


def test_finite_weights_pass(state):
    check_finite(state)


def test_a_scalar_is_located():
    with pytest.raises(CheckpointMismatchError, match=r"weights: tensor 'scale': expected finite .* at index \(\)"):
        check_finite({"scale": torch.tensor(float("nan"))})


@pytest.fixture
def pair(tmp_path, state):
    def write(other):
        torch.save(state, tmp_path / "a.pt")
        torch.save(other, tmp_path / "b.pt")
        return open_checkpoint(tmp_path / "a.pt"), open_checkpoint(tmp_path / "b.pt")

    return write


def test_equal_names_and_shapes_are_compatible_whatever_the_type(pair, state):
    check_compatible(
        *pair({name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()})
    )


def test_a_missing_tensor_names_both_sides(pair, state):
    del state["bn.bias"]
    a, b = pair(state)
    torch.save({**state, "bn.bias": torch.ones(3)}, a.path)
    a = open_checkpoint(a.path)
    with pytest.raises(
        CheckpointMismatchError, match=r"b\.pt: expected tensor 'bn\.bias' of shape \(3,\) as in .*a\.pt"
    ):
        check_compatible(a, b)


def test_an_extra_tensor_names_both_sides(pair, state):
    a, b = pair({**state, "x": torch.ones(2), "y": torch.ones(2)})
    with pytest.raises(
        CheckpointMismatchError, match=r"a\.pt: expected tensor 'x' and 1 more of shape \(2,\) as in .*b\.pt"
    ):
        check_compatible(a, b)


def test_another_shape_names_both_shapes(pair, state):
    a, b = pair({**state, "fc2.weight": torch.zeros(3, 5)})
    message = r"b\.pt: tensor 'fc2\.weight': expected shape \(3, 4\) as in .*a\.pt, found \(3, 5\)"
    with pytest.raises(CheckpointMismatchError, match=message):
        check_compatible(a, b)


def test_nothing_in_common_is_another_architecture(pair):
    a, b = pair({"other": torch.zeros(1)})
    with pytest.raises(
        CheckpointMismatchError, match=r"b\.pt: expected the architecture of .*a\.pt, found no tensor name"
    ):
        check_compatible(a, b)


def test_mappings_have_no_path():
    with pytest.raises(CheckpointMismatchError, match="the second: expected tensor 'b'"):
        check_compatible({"a": torch.ones(1), "b": torch.ones(1)}, {"a": torch.ones(1)})


def test_other_classes_are_told_from_other_shapes(pair, state):
    a, b = pair({**state, "fc2.weight": torch.zeros(7, 4)})
    message = r"b\.pt: tensor 'fc2\.weight': expected the same classes as in .*a\.pt, found 3 there and 7 here; pass"
    with pytest.raises(CheckpointMismatchError, match=message):
        check_compatible(a, b)
    bias = {"fc2.bias": torch.zeros(3)}
    with pytest.raises(CheckpointMismatchError, match=r"fc2\.bias': expected shape \(3,\)"):
        check_compatible({**state, **bias}, {**state, "fc2.bias": torch.zeros(7)})
    with pytest.raises(CheckpointMismatchError, match=r"expected the same classes as in .*, found 3 there and 7 here"):
        check_compatible({**state, **bias}, {**b.tensors(), "fc2.bias": torch.zeros(7)})
