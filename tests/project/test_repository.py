"""What is committed: no addresses of package registries, no lock files, constraints that fit the declared ranges."""

import re
import subprocess
import tomllib

import pytest

packaging_requirements = pytest.importorskip("packaging.requirements")

# Put together here, so that this file does not name them either.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("anaconda", "org"),
        ("download", "pytorch", "org"),
        ("deb", "debian", "org"),
    )
]
LOCK_FILES = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml", "package-lock.json", "pixi.lock"}


@pytest.fixture(scope="module")
def tracked(repository):
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [repository / name for name in listed.stdout.split("\0") if name and (repository / name).is_file()]


def test_no_registry_is_named(tracked):
    named = []
    for path in tracked:
        content = path.read_bytes().lower()
        named += [f"{path}: {host}" for host in REGISTRY_HOSTS if host.encode() in content]
    assert named == []


def test_no_lock_file_is_committed(tracked):
    assert [path for path in tracked if path.name in LOCK_FILES] == []


def test_committed_files_are_small(tracked):
    assert [path for path in tracked if path.stat().st_size > 1_000_000] == []


@pytest.fixture(scope="module")
def pinned(repository):
    lines = (repository / "constraints.txt").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.]+", line) for line in lines)
    return {normalised(name): version for name, version in (line.split("==") for line in lines)}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_constraints_fit_what_pyproject_declares(repository, pinned):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    requirements = [packaging_requirements.Requirement(line) for line in declared]
    for requirement in requirements:
        if requirement.name == project["name"]:
            continue
        assert normalised(requirement.name) in pinned, requirement.name
        assert requirement.specifier.contains(pinned[normalised(requirement.name)]), requirement


def test_the_extra_all_holds_every_feature(repository):
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert packaging_requirements.Requirement(everything).extras == set(extras) - {"all", "dev"}
