"""Six networks of four architectures, by files and by state dicts, with targets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.symmetry import networks
from weightspace.graph.datasets import Network
from weightspace.symmetry import derive

MAKES = (networks.mlp, networks.residual, networks.attention, networks.mlp)


@pytest.fixture
def given(tmp_path: Path) -> list[Network]:
    found = []
    for place, make in enumerate(MAKES):
        torch.manual_seed(place)
        module, args, kwargs = make()
        spec = derive(module.eval(), args, kwargs)
        path = tmp_path / f"{place}.safetensors"
        save_file(module.state_dict(), path)
        found.append(Network(path, spec, {"loss": 0.5 * place, "accuracy": 1 - 0.1 * place}))
    wide = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).double()
    path = tmp_path / "stack.pt"
    torch.save({"state_dict": wide.state_dict()}, path)
    found.append(Network(str(path), None, {"accuracy": 0.25, "loss": 2.0}))
    found.append(Network(networks.mlp()[0].state_dict(), found[0].architecture, {"accuracy": 0.0, "loss": 3.0}))
    return found
