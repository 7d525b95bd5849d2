import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from weightspace.checkpoint import open_checkpoint
from weightspace.errors import SourceError
from weightspace.source import ACTIVATIONS, Program, StackSource, resolve_source


def stored(tmp_path, tensors: dict[str, torch.Tensor], name: str = "net.pt"):
    torch.save(tensors, tmp_path / name)
    return open_checkpoint(tmp_path / name)


def inferred(tmp_path, shapes: dict[str, tuple[int, ...]], **options) -> StackSource:
    source = resolve_source(
        None, checkpoint=stored(tmp_path, {n: torch.randn(s) for n, s in shapes.items()}), **options
    )
    assert isinstance(source, StackSource)
    return source


def order(source: StackSource) -> list[str]:
    return [layer.name for layer in source.layers]


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_mlp_computes_what_the_trained_module_computed(tmp_path, activation: str) -> None:
    layers = nn.ModuleDict({"a": nn.Linear(6, 5), "b": nn.Linear(5, 5, bias=False), "c": nn.Linear(5, 2)})
    checkpoint = stored(tmp_path, layers.state_dict())
    source = resolve_source(None, checkpoint=checkpoint, activation=activation)
    program = Program.from_source(source)
    assert program.state_names == tuple(checkpoint)
    assert source.evaluation_refusal() is None
    x = torch.randn(4, 6)
    f = ACTIVATIONS[activation]
    expected = layers["c"](f(layers["b"](f(layers["a"](x)))))
    torch.testing.assert_close(program.prediction(checkpoint.tensors(), x), expected)


def test_images_fit_an_mlp(tmp_path) -> None:
    program = Program.from_source(inferred(tmp_path, {"fc.weight": (3, 12), "fc.bias": (3,)}))
    state = program.state()
    x = torch.randn(5, 3, 2, 2)
    expected = F.linear(x.flatten(1), state["fc.weight"], state["fc.bias"])
    torch.testing.assert_close(program.prediction(state, x), expected)


def test_state_dict_names_are_those_of_the_checkpoint_however_deep(tmp_path) -> None:
    shapes = {
        "encoder.block.0.lin.weight": (4, 3),
        "encoder.block.0.lin.bias": (4,),
        "encoder.block.10.lin.weight": (4, 4),
        "encoder.block.10.lin.bias": (4,),
        "head.weight": (4, 4),
        "head.out.weight": (2, 4),
        "head.out.bias": (2,),
    }
    source = inferred(tmp_path, shapes)
    built = {name: tuple(tensor.shape) for name, tensor in source.build().state_dict().items()}
    assert built == shapes
    assert source.build(meta=True).get_parameter("head.out.weight").is_meta


def test_numbers_order_sorted_names(tmp_path) -> None:
    tensors = {f"layer{i}.weight": torch.randn(4, 4) for i in (1, 2, 10)}
    save_file(tensors, tmp_path / "net.safetensors")
    source = resolve_source(None, checkpoint=open_checkpoint(tmp_path / "net.safetensors"))
    assert isinstance(source, StackSource)
    assert order(source) == ["layer1", "layer2", "layer10"]


def test_the_order_of_the_file_decides_where_it_is_one_of_definition(tmp_path) -> None:
    shapes = {"z.weight": (4, 4), "z.bias": (4,), "b.weight": (4, 4), "a.weight": (4, 4)}
    assert order(inferred(tmp_path, shapes)) == ["z", "b", "a"]


def test_shapes_order_families_of_sorted_names(tmp_path) -> None:
    shapes = {"classifier.0.weight": (8, 16), "classifier.2.weight": (2, 8), "features.0.weight": (4, 3, 3, 3)}
    assert order(inferred(tmp_path, shapes)) == ["features.0", "classifier.0", "classifier.2"]


def test_an_ambiguous_order_is_refused(tmp_path) -> None:
    # An autoencoder whose file has lost the order: decoder first would chain as well.
    shapes = {"decoder.0.weight": (9, 4), "encoder.0.weight": (4, 9)}
    with pytest.raises(SourceError, match=r"more than one order .*--arch"):
        inferred(tmp_path, shapes)


@pytest.mark.parametrize(
    ("shapes", "sample"),
    [
        ({"c1": (4, 3, 5, 5), "c2": (6, 4, 3, 3), "fc": (10, 6 * 25)}, (3, 8, 8)),
        ({"c1": (4, 1, 3, 3), "fc": (10, 4 * 6)}, (1, 28, 28)),
        ({"c1": (4, 2, 9), "fc": (10, 4 * 7)}, (2, 50)),
        ({"c1": (4, 1, 3, 3, 3), "fc": (10, 4)}, (1, 8, 8, 8)),
        ({"c1": (4, 1, 2, 2), "c2": (5, 4, 1, 1)}, (1, 8, 8)),
    ],
)
def test_convolution_stack_runs_and_refuses_to_be_evaluated(tmp_path, shapes, sample: tuple[int, ...]) -> None:
    source = inferred(tmp_path, {f"{name}.weight": shape for name, shape in shapes.items()}, activation="relu")
    program = Program.from_source(source)
    assert program.outputs(program.state())[0].shape[:2] == (2, list(shapes.values())[-1][0])
    assert program.prediction(program.state(), torch.randn(3, *sample)).shape[0] == 3
    refusal = source.evaluation_refusal()
    assert refusal is not None
    assert "strides" in refusal


def test_hidden_channels_of_the_stand_in_may_be_permuted_together_with_the_flattened_inputs(tmp_path) -> None:
    program = Program.from_source(
        inferred(tmp_path, {"c.weight": (4, 3, 3, 3), "c.bias": (4,), "fc.weight": (5, 4 * 9), "fc.bias": (5,)})
    )
    state = program.state()
    perm = torch.tensor([2, 0, 3, 1])
    moved = state | {
        "c.weight": state["c.weight"][perm],
        "c.bias": state["c.bias"][perm],
        "fc.weight": state["fc.weight"].unflatten(1, (4, 9))[:, perm].flatten(1),
    }
    torch.testing.assert_close(program.outputs(moved), program.outputs(state))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"a.weight": (4, 3), "bn.weight": (4,), "bn.bias": (4,)}, r"bn\.weight.*\(4,\).*--arch"),
        ({"a.weight": (4, 3), "a.bias": (3,)}, r"a\.bias.*\(3,\).*--arch"),
        ({"a.weight": (4, 3), "b.weight": (2, 5)}, r"b\.weight.*takes the 4 outputs of a.*\(2, 5\).*--arch"),
        ({"a.weight": (4, 3), "c.weight": (4, 4, 3, 3)}, r"c\.weight.*--arch"),
        ({"a.weight": (4, 3, 3, 3), "b.weight": (2, 10)}, r"b\.weight.*--arch"),
        ({"embedding.table": (4, 3)}, r"embedding\.table.*--arch"),
        ({"weight": (4, 3)}, r"weight.*--arch"),
        ({"a..b.weight": (4, 3)}, r"a\.\.b\.weight.*--arch"),
        ({"a.weight": (0, 3)}, r"a\.weight.*--arch"),
    ],
)
def test_anything_else_is_refused_by_name(tmp_path, shapes, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        inferred(tmp_path, shapes)
    assert "net.pt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_no_module_can_have_is_refused(tmp_path) -> None:
    with pytest.raises(SourceError, match=r"forward.*--arch"):
        inferred(tmp_path, {"forward.weight": (4, 3)}).build()


def test_the_activation_decides_about_evaluation(tmp_path) -> None:
    two = {"a.weight": (4, 3), "b.weight": (2, 4)}
    refusal = inferred(tmp_path, two).evaluation_refusal()
    assert refusal is not None
    assert "--activation" in refusal
    assert inferred(tmp_path, two, activation="tanh").evaluation_refusal() is None
    assert inferred(tmp_path, {"a.weight": (4, 3)}).evaluation_refusal() is None
    with pytest.raises(SourceError, match="did you mean relu"):
        inferred(tmp_path, two, activation="rellu")
    with pytest.raises(SourceError, match="drop it"):
        resolve_source("timm:resnet18", activation="relu")


def test_real_checkpoints_of_the_shared_data(shared_data) -> None:
    mlp = open_checkpoint(shared_data / "mlp_seeds" / "mnist_mlp_seed0.pt")
    source = resolve_source(None, checkpoint=mlp, activation="relu")
    assert isinstance(source, StackSource)
    assert order(source) == ["fc1", "fc2", "fc3"]
    lenet = open_checkpoint(shared_data / "cifar_lenet" / "bearmeal_cifar_net.pth")
    program = Program.from_source(resolve_source(None, checkpoint=lenet))
    assert program.state_names == tuple(lenet)
    program.check_state(lenet)
    assert program.outputs(lenet.tensors())[0].shape == (2, 10)
