import json
import platform

import pytest
import torch

import weightspace
from weightspace.checkpoint import Provenance


def test_the_record_is_complete_and_sorted():
    record = Provenance("wsp merge a b", {"t": 0.5, "method": "interpolate"}, {"b": "1", "a": "0"}, seed=0)
    assert json.loads(record.to_json()) == {
        "command": "wsp merge a b",
        "recipe": {"t": 0.5, "method": "interpolate"},
        "inputs": {"a": "0", "b": "1"},
        "seed": 0,
        "versions": {
            "weightspace": weightspace.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    assert record.to_json().index('"a"') < record.to_json().index('"b"')
    assert json.loads(record.to_json(indent=2)) == json.loads(record.to_json())


@pytest.mark.parametrize(("recipe", "error"), [({"t": float("nan")}, ValueError), ({"t": object()}, TypeError)])
def test_what_is_not_json_is_an_error_of_the_caller(recipe, error):
    with pytest.raises(error):
        Provenance("wsp", recipe, {}).to_json()
