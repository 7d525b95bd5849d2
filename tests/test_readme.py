"""The Python examples of the README run as they stand, and its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from safetensors.torch import load_file

from weightspace.symmetry.verify import relative_error

REPOSITORY = Path(__file__).resolve().parents[1]


def test_the_python_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    zoo = REPOSITORY / "checkpoints_zoo"
    (tmp_path / "runs").mkdir()
    for name, number in (("a", 0), ("b", 1)):
        weights = load_file(zoo / f"digits_cnn_{number}.safetensors")
        torch.save({"state_dict": {f"module.{key}": t for key, t in weights.items()}}, tmp_path / f"runs/{name}.th")
    models = (zoo / "models.py").read_text(encoding="utf-8")
    (tmp_path / "model.py").write_text(f"{models}\n\nresnet20 = digits_cnn\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 3
    names: dict[str, Any] = {}
    for example in examples:
        exec(example, names)  # our own text
    alignment, aligned = names["alignment"], names["aligned"]
    assert alignment.preservation_error < 1e-6
    assert alignment.objective_after > alignment.objective_before
    assert set(aligned) == set(names["b"])
    program = names["program"]
    (moved,), (original,) = program.outputs(names["moved"]), program.outputs(program.state())
    assert relative_error([moved], [original]) < 1e-5
    assert all(torch.allclose(value, torch.ones_like(value)) for value in names["back"].values.values())


def test_the_pictures_are_there_and_show_what_they_say():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", readme)
    drawn = ElementTree.parse(REPOSITORY / picture).getroot()
    titles = {title.text for title in drawn.iter("{http://www.w3.org/2000/svg}title")}
    weights = load_file(REPOSITORY / "checkpoints_zoo" / "digits_cnn_0.safetensors")
    for name, tensor in weights.items():
        if tensor.numel() > 1:
            shape = "×".join(map(str, tensor.shape))
            assert any((title or "").startswith(f"{name} {shape}\n") for title in titles), name
