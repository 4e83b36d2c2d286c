"""The files of versions that the suite is run with name every direct dependency, the lowest at its lower bound."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent


def requirements() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    listed += project["optional-dependencies"][
        "lightning"
    ]  # which the extra "test" names as cloudedge_pl[lightning]
    return {wanted.name: wanted for wanted in map(Requirement, listed) if wanted.name != project["name"]}


def pins(name: str) -> dict[str, Version]:
    lines = (ROOT / "constraints" / f"{name}.txt").read_text().splitlines()
    pinned = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {package: Version(version) for package, version in pinned}


@pytest.mark.parametrize("name", ["oldest", "newest"])
def test_every_direct_dependency_is_pinned_within_its_range(name):
    wanted, pinned = requirements(), pins(name)
    assert set(wanted) <= set(pinned)
    assert all(pinned[package] in wanted[package].specifier for package in wanted)


def test_the_oldest_are_the_lower_bounds():
    pinned = pins("oldest")
    for package, wanted in requirements().items():
        lowest = [Version(part.version) for part in wanted.specifier if part.operator == ">="]
        assert lowest == [pinned[package]], f"{package}: {wanted.specifier}, and {pinned[package]} was tried"


def test_every_package_that_is_imported_is_a_dependency():
    """Not one that comes along with another, which may drop it."""
    wanted = {name.lower() for name in requirements()}
    providers = packages_distributions()
    known = {*sys.stdlib_module_names, "cloudedge_pl"}
    for path in (ROOT / "cloudedge_pl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module]
            for package in {module.partition(".")[0] for module in modules} - known:
                from_ = {name.lower().replace("_", "-") for name in providers.get(package, ())}
                assert from_ & wanted, f"{path.relative_to(ROOT)} imports {package}"
