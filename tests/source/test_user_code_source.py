import os
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from torch import nn

from weightspace.errors import SourceError
from weightspace.source import Program, resolve_source


@pytest.fixture
def write(tmp_path):
    """Write a Python file and give its path as text."""

    def write(code: str, name: str = "nets.py") -> str:
        path = tmp_path / name
        path.write_text("import torch\nfrom torch import nn\n" + dedent(code))
        return str(path)

    return write


def test_a_file_may_import_its_neighbours_and_define_several_networks(write, tmp_path) -> None:
    write("WIDTH = 5", "sizes_of_nets.py")
    path = write(
        """
        from sizes_of_nets import WIDTH
        def small(): return nn.Linear(3, WIDTH)
        class Wide(nn.Sequential):
            def __init__(self): super().__init__(nn.Linear(4, 2 * WIDTH))
        """
    )
    assert resolve_source(f"{path}:small").build().weight.shape == (5, 3)
    assert resolve_source(f"{path}:Wide").build()[0].weight.shape == (10, 4)


def test_a_changed_file_is_read_again(write) -> None:
    path = write("def net(): return nn.Linear(3, 5)")
    assert resolve_source(f"{path}:net").build().out_features == 5
    stamp = Path(path).stat().st_mtime_ns
    write("def net(): return nn.Linear(3, 6)")
    os.utime(path, ns=(stamp + 10**9, stamp + 10**9))
    assert resolve_source(f"{path}:net").build().out_features == 6


def test_modules_are_found_in_the_working_folder(write, tmp_path, monkeypatch) -> None:
    write("class Nets:\n    @staticmethod\n    def tiny(): return nn.Linear(2, 2)", "my_own_nets.py")
    monkeypatch.chdir(tmp_path)
    assert resolve_source("my_own_nets:Nets.tiny").build().in_features == 2


def test_meta_build_keeps_ties_and_real_buffers(write) -> None:
    path = write(
        """
        class Tied(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Embedding(7, 4)
                self.head = nn.Linear(4, 7, bias=False)
                self.head.weight = self.embed.weight
                self.register_buffer("mask", torch.arange(3.0), persistent=False)
            def forward(self, x): return self.head(self.embed(x))
        """
    )
    module = resolve_source(f"{path}:Tied").build(meta=True)
    assert module.head.weight is module.embed.weight
    assert module.head.weight.is_meta
    assert module.mask.tolist() == [0, 1, 2]
    assert not module.training


@pytest.mark.parametrize(
    ("code", "shape"),
    [
        ("nn.Sequential(nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 2))", (9,)),
        ("nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 26 * 26, 2))", (3, 28, 28)),
        ("nn.Sequential(nn.Conv2d(1, 4, 7, 4), nn.AdaptiveAvgPool2d(1), nn.Flatten())", (1, 32, 32)),
        ("nn.Sequential(nn.Conv1d(2, 4, 80), nn.ReLU())", (2, 128)),
        ("nn.Sequential(nn.Embedding(11, 4), nn.Linear(4, 11))", (16,)),
        ("nn.LSTM(5, 6, batch_first=True)", (16, 5)),
        ("nn.Sequential(nn.Conv3d(1, 2, 3), nn.ReLU())", (1, 16, 32, 32)),
    ],
    ids=["mlp", "cnn with flatten", "cnn with pooling", "sound", "tokens", "rnn", "video"],
)
def test_the_input_is_found_from_the_first_layer(write, code: str, shape: tuple[int, ...]) -> None:
    source = resolve_source(f"{write(f'def net(): return {code}')}:net")
    (x,) = source.example_inputs(batch=3).args
    assert tuple(x.shape) == (3, *shape)
    assert x.is_floating_point() == ("Embedding" not in code)
    source.build()(x)


def test_a_positional_table_before_the_first_layer_does_not_mislead(write) -> None:
    path = write(
        """
        class ViT(nn.Module):
            def __init__(self):
                super().__init__()
                self.position = nn.Parameter(torch.zeros(1, 16, 8))
                self.patch = nn.Conv2d(3, 8, 8, 8)
                self.head = nn.Linear(8, 2)
            def forward(self, x):
                x = self.patch(x).flatten(2).transpose(1, 2) + self.position
                return self.head(x.mean(1))
        """
    )
    assert resolve_source(f"{path}:ViT").example_inputs().args[0].shape == (2, 3, 32, 32)


def test_layers_of_the_user_are_tried_by_their_first_matrix(write) -> None:
    path = write(
        """
        class Own(nn.Module):
            def __init__(self):
                super().__init__()
                self.matrix = nn.Parameter(torch.randn(6, 3))
            def forward(self, x): return x @ self.matrix
        """
    )
    assert resolve_source(f"{path}:Own").example_inputs().args[0].shape == (2, 6)


def test_the_given_shape_and_the_given_example_win(write) -> None:
    path = write(
        """
        def free(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))
        class Two(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(3, 2)
            def forward(self, x, *, scale): return self.layer(x) * scale
        def named(): return Two(), {"x": torch.tensor([[1.0, 2.0, 4.0]]), "scale": torch.tensor(2.0)}
        def placeholder(): return nn.Linear(3, 2), torch.zeros(1, 3)
        def several(): return nn.Bilinear(3, 4, 5), (torch.randn(6, 3), torch.randn(6, 4))
        """
    )
    assert resolve_source(f"{path}:free", input_shape=(3, 17, 19)).example_inputs().args[0].shape == (2, 3, 17, 19)
    named = resolve_source(f"{path}:named").example_inputs(batch=3, dtype=torch.float64).kwargs
    assert named["x"].tolist() == [[1.0, 2.0, 4.0]] * 3
    assert named["scale"] == 2.0
    assert named["x"].dtype == torch.float64
    (noise,) = resolve_source(f"{path}:placeholder").example_inputs(batch=3).args
    assert noise.shape == (3, 3)
    assert noise.unique().numel() == 9
    program = Program.from_source(resolve_source(f"{path}:several"))
    assert program.outputs(program.state())[0].shape == (6, 5)


@pytest.mark.parametrize(
    ("code", "place", "message"),
    [
        ("def net(:", ":3:", "SyntaxError"),
        ("import nothing_of_this_name\ndef net(): pass", ":3:", "nothing_of_this_name"),
        ("def net():\n    return nn.Linear(width, 3)", ":4:", "NameError"),
        ("def net():\n    return nn.Linear('a', 3)", ":4:", "TypeError"),
        ("def net():\n    raise SystemExit(3)", ":4:", "SystemExit"),
        ("def net(width): pass", "nets.py", "TypeError"),
        ("def net(): return 3", "nets.py", "expected a torch.nn.Module"),
        ("net = 3", "nets.py", "expected a function"),
        ("def net(): return nn.LazyLinear(3)", "nets.py", "lazy"),
    ],
)
def test_a_failure_of_the_users_code_is_one_line_with_its_place(write, code: str, place: str, message: str) -> None:
    path = write(code)
    with pytest.raises(SourceError, match=message) as caught:
        resolve_source(f"{path}:net").build()
    text = str(caught.value)
    assert place in text
    assert path in text
    assert "\n" not in text


def test_a_failing_forward_pass_tells_its_line(write) -> None:
    path = write(
        """
        class Net(nn.Linear):
            def __init__(self): super().__init__(3, 4)
            def forward(self, x):
                return super().forward(y)
        """
    )
    with pytest.raises(SourceError, match=r"nets\.py:7: NameError.*--input-shape"):
        resolve_source(f"{path}:Net").example_inputs()


def test_what_is_not_there_is_named(write, tmp_path) -> None:
    path = write("def resnet20(): return nn.Linear(1, 1)")
    with pytest.raises(SourceError, match="did you mean resnet20"):
        resolve_source(f"{path}:resnet21").build()
    with pytest.raises(SourceError, match="no file"):
        resolve_source(f"{tmp_path}/other.py:net")
    with pytest.raises(SourceError, match="after the colon"):
        resolve_source(f"{path}:")
    with pytest.raises(SourceError, match="no module named 'no_such_module'"):
        resolve_source("no_such_module:net").build()
    with pytest.raises(SourceError, match=r"no module named 'weightspace\.nothing'"):
        resolve_source("weightspace.nothing:net").build()


def test_build_is_the_same_every_time(write) -> None:
    source = resolve_source(f"{write('def net(): return nn.Linear(3, 3)')}:net")
    first, second = source.build(), source.build()
    assert isinstance(first, nn.Linear)
    assert torch.equal(first.weight, second.weight)
