"""Imports point one way: each package uses only those on lower floors."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

FLOORS = (
    {"errors"},
    {"atomic", "outputs", "structure", "views"},
    {"checkpoint", "data", "symmetry", "assignment"},
    {"source"},
    {"stats"},
    {"align", "canonical"},
    {"graph"},
    {"merge"},
    {"evaluate", "nn"},
    {"zoo", "train"},
)
FLOOR = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}


def imported(file: Path, package: str) -> set[str]:
    """Subpackages of `package` that a file imports, also inside functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: import by the full name"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found.update(name.split(".")[1] for name in names if name.startswith(f"{package}."))
    return found


def test_every_package_has_a_floor(repository):
    parts = {path.stem for path in (repository / "weightspace").iterdir() if path.suffix in {"", ".py"}}
    assert parts - {"__init__", "__pycache__", "testing"} <= set(FLOOR)


def test_imports_point_down(repository):
    upward = []
    for file in sorted((repository / "weightspace").rglob("*.py")):
        own = file.relative_to(repository / "weightspace").parts[0].removesuffix(".py")
        if own not in FLOOR:
            continue
        for other in imported(file, "weightspace") - {own, "__version__"}:
            if other in FLOOR and FLOOR[other] >= FLOOR[own]:
                upward.append(f"{file.relative_to(repository)} imports weightspace.{other}")
    assert upward == []


def test_the_library_does_not_know_its_command_line(repository):
    for file in sorted((repository / "weightspace").rglob("*.py")):
        names = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert not names & {"wsp", "typer", "rich"}, file


def test_the_detector_sees_imports_wherever_they_stand(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("import weightspace.align.solve\ndef f():\n    from weightspace.merge import merge\n")
    assert imported(file, "weightspace") == {"align", "merge"}


@pytest.mark.parametrize("module", ["weightspace", "weightspace.errors"])
def test_the_top_imports_nothing_heavy(module):
    program = f"import sys, {module}; print(sorted({{'torch', 'numpy', 'scipy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
