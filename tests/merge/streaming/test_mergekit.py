"""mergekit's documented kinds of recipes, given unchanged to mergekit and to ours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

from tests.merge.streaming.llama import save_llama
from weightspace.checkpoint import open_checkpoint
from weightspace.merge.recipe import read_recipe
from weightspace.merge.streaming import merge_files, prepare

INTERPRETER = os.environ.get("WSP_MERGEKIT_PYTHON")
pytestmark = pytest.mark.skipif(INTERPRETER is None, reason="WSP_MERGEKIT_PYTHON names no interpreter with mergekit")

TWO = (
    "models:\n- {model: M1, parameters: {weight: 0.6, density: 0.5}}\n"
    "- {model: M2, parameters: {weight: 0.3, density: 0.7}}\n"
)
WHOLE = TWO.replace("0.5", "1.0").replace("0.7", "1.0")
TAIL = "base_model: M0\ndtype: DTYPE\n"
RECIPES = {
    "linear": "merge_method: linear\nmodels:\n- {model: M1, parameters: {weight: 1.0}}\n"
    "- {model: M2, parameters: {weight: 0.3}}\n- {model: M0, parameters: {weight: 0.5}}\ndtype: DTYPE\n",
    "gradient slerp": "slices:\n- sources:\n  - {model: M1, layer_range: [0, 4]}\n"
    "  - {model: M2, layer_range: [0, 4]}\nmerge_method: slerp\nbase_model: M1\n"
    "parameters:\n  t:\n  - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}\n"
    "  - {filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}\n  - value: 0.5\ndtype: DTYPE\n",
    "ties with gradients": "models:\n- {model: M1, parameters: {density: [1, 0.7, 0.1], weight: 1.0}}\n"
    "- model: M2\n  parameters:\n    density: 0.33\n    weight: [{filter: mlp, value: 0.5}, {value: 0.1}]\n"
    f"merge_method: ties\nparameters: {{normalize: true, int8_mask: true}}\n{TAIL}",
    "frankenmerge": "slices:\n- sources:\n  - {model: M1, layer_range: [0, 3]}\n"
    "- sources:\n  - {model: M2, layer_range: [1, 4]}\nmerge_method: passthrough\ndtype: DTYPE\n",
    "task_arithmetic": f"merge_method: task_arithmetic\n{TWO}{TAIL}",
    "model_stock": f"merge_method: model_stock\nmodels: [{{model: M1}}, {{model: M2}}]\n{TAIL}",
    "breadcrumbs": f"merge_method: breadcrumbs\n{TWO}parameters: {{gamma: 0.1}}\n{TAIL}",
    "breadcrumbs_ties": f"merge_method: breadcrumbs_ties\n{TWO}parameters: {{gamma: 0.1, lambda: 0.8}}\n{TAIL}",
    "dare_ties": f"merge_method: dare_ties\n{WHOLE}{TAIL}",  # with masks: tests/merge/methods
    "della": f"merge_method: della\n{WHOLE}{TAIL}",
    "sce": f"merge_method: sce\nmodels: [{{model: M1}}, {{model: M2}}]\n{TAIL}",
    "nuslerp": f"merge_method: nuslerp\n{TWO}dtype: DTYPE\n",
    "multislerp": f"merge_method: multislerp\n{TWO}dtype: DTYPE\n",
    "karcher": f"merge_method: karcher\n{TWO}dtype: DTYPE\n",
}
SCRIPT = """
import sys
from pathlib import Path
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
for path in sorted(Path(sys.argv[1]).glob("*.yml")):
    recipe = MergeConfiguration.model_validate(yaml.safe_load(path.read_text()))
    run_merge(recipe, str(path.with_suffix("")) + "-theirs", MergeOptions(copy_tokenizer=False, quiet=True))
"""
# Theirs is rounded to the type after every step, ours once: some times the last bit.
TOLERANCES = {"float32": 1e-6, "bfloat16": 5 * 2.0**-8}


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def merged(request, tmp_path_factory) -> tuple[Path, str]:
    """A folder with recipes, and what mergekit made of each."""
    folder = tmp_path_factory.mktemp("mergekit")
    dtype = request.param
    for seed in range(3):
        save_llama(folder / f"m{seed}", seed, getattr(torch, dtype), kinds=False)
    for name, text in RECIPES.items():
        for seed in range(3):
            text = text.replace(f"M{seed}", str(folder / f"m{seed}"))
        (folder / f"{name}.yml").write_text(text.replace("DTYPE", dtype))
    assert INTERPRETER is not None
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    ran = subprocess.run(
        [INTERPRETER, "-c", SCRIPT, folder], capture_output=True, text=True, env=environment, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return folder, dtype


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_agree(merged: tuple[Path, str], name: str) -> None:
    folder, dtype = merged
    merge_files(prepare(read_recipe(folder / f"{name}.yml"), folder / f"{name}-ours"))
    ours, theirs = open_checkpoint(folder / f"{name}-ours"), open_checkpoint(folder / f"{name}-theirs")
    assert set(ours) == set(theirs)
    selects = name.startswith(("ties", "breadcrumbs", "dare", "della", "sce"))
    for tensor in theirs:
        assert ours.info(tensor) == theirs.info(tensor)
        one, other = ours[tensor].double(), theirs[tensor].double()
        far = (one - other).abs() / other.abs().max()
        if selects and dtype == "bfloat16":  # rounded differences tie, and another of equals is kept
            far = far.flatten().sort().values[: int(0.9 * far.numel())]
        assert float(far.max()) <= TOLERANCES[dtype], (tensor, float(far.max()))
