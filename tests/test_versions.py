"""The files of versions that the suite is run with name every direct dependency, the lowest at its lower bound."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(*extras: str) -> dict[str, Requirement]:
    listed = list(PROJECT["dependencies"])
    for extra in extras:
        listed += PROJECT["optional-dependencies"][extra]
    return {wanted.name: wanted for wanted in map(Requirement, listed) if wanted.name != PROJECT["name"]}


def tried() -> dict[str, Requirement]:
    # "test" names the others as cloudedge_pl[...]
    return requirements("test", "lightning", "parquet", "export", "serve", "sweep")


def pins(name: str) -> dict[str, Version]:
    lines = (ROOT / "constraints" / f"{name}.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {package: Version(version) for package, version in pinned}


@pytest.mark.parametrize("name", ["oldest", "newest"])
def test_every_direct_dependency_is_pinned_within_its_range(name):
    wanted, pinned = tried(), pins(name)
    assert set(wanted) == set(pinned)
    assert all(pinned[package] in wanted[package].specifier for package in wanted)


def test_the_oldest_are_the_lower_bounds():
    pinned = pins("oldest")
    for package, wanted in tried().items():
        lowest = [Version(part.version) for part in wanted.specifier if part.operator == ">="]
        assert lowest == [pinned[package]], f"{package}: {wanted.specifier}, and {pinned[package]} was tried"


def imported(folder: str) -> set[str]:
    """The packages that the files of a folder import, wherever in a file, other than Python's and our own."""
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module or "")
    ours = {
        PROJECT["name"],
        "tests",
        *(path.stem for at in (folder, "benchmarks") for path in (ROOT / at).iterdir()),
    }
    return {name.split(".")[0] for name in names} - sys.stdlib_module_names - ours


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("cloudedge_pl", ("export", "serve")),
        ("tests", ("test", "export", "serve")),
        ("benchmarks", ("test", "bench", "export", "serve")),
    ],
)
def test_what_is_imported_is_required_by_name(folder, extras):
    required = {canonicalize_name(name) for name in requirements(*extras)}
    shipped_by = packages_distributions()
    missing = {
        name
        for name in imported(folder)
        if not {canonicalize_name(each) for each in shipped_by.get(name, [name])} & required
    }
    assert not missing, f"{folder} imports what only comes with other packages: {sorted(missing)}"
