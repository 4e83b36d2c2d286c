"""The floors of the house: modules import downwards only; the lowest two need neither torch nor Lightning."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import cloudedge_pl

PACKAGE = cloudedge_pl.__name__
ROOT = Path(cloudedge_pl.__file__).parent

FLOORS: dict[str, int] = {
    name: floor
    for floor, names in enumerate(
        [
            [
                "errors",
                "settings",
                "files",
                "signals",
                "_registration",
                "namespace",
                "fleet",
                "presets",
                "fleet_files",
                "text_tables",
                "yaml_files",
                "pictures",
                "costs",
            ],
            ["dormancy", "exits", "scheduling", "offloading"],
            ["simulation", "partition"],
            ["lightning", "systems", "serving"],
            ["data", "validation"],
            ["training"],
            ["paper", "export"],
            ["reports"],
            ["commands"],  # the roof: they put everything together
        ]
    )
    for name in names
}
ROOMS = {"layers": 0, "checkpoints": 0, "nodes": 1, "cut": 2, "strategies": 3, "callbacks": 4, "module": 4}
"""The rooms of training/: a module imports from its own room and from those below it."""

LIGHTNING = {"pytorch_lightning", "lightning", "lightning_fabric"}
TORCH = {"torch", "torchvision", "torchmetrics"}
MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def _unit(module: str) -> str:
    """The part of the package that a dotted name belongs to: "costs" of cloudedge_pl.costs.energy."""
    return module.split(".")[1]


def _dotted(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(path: Path) -> Iterator[str]:
    """Every dotted name that a file imports, wherever in the file, relative ones resolved."""
    package = _dotted(path) if path.name == "__init__.py" else _dotted(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            # `from cloudedge_pl import errors` imports a module, too
            yield from (f"{module}.{alias.name}" if module == PACKAGE else module for alias in node.names)


def _floor(path: Path) -> int:
    return FLOORS[_unit(_dotted(path))]


def test_every_part_of_the_package_has_a_floor():
    parts = {_unit(_dotted(path)) for path in MODULES}
    assert parts <= FLOORS.keys(), f"give these a floor in FLOORS: {sorted(parts - FLOORS.keys())}"


@pytest.mark.parametrize("path", MODULES, ids=_dotted)
def test_a_module_imports_downwards_only(path):
    unit, floor = _unit(_dotted(path)), _floor(path)
    for name in _imports(path):
        if name.split(".")[0] != PACKAGE:
            continue
        other = _unit(f"{name}.")
        if other not in FLOORS:
            assert unit == "commands", f"{_dotted(path)}: import from the module that has it, not {PACKAGE}"
            continue
        allowed = other == unit or FLOORS[other] < floor or FLOORS[other] == floor == 0
        assert allowed, f"{_dotted(path)} (floor {floor}) imports {name} (floor {FLOORS[other]})"


def test_the_ground_floor_is_built_without_a_cycle():
    ground = {name: set() for name, floor in FLOORS.items() if floor == 0}
    for path in MODULES:
        unit = _unit(_dotted(path))
        if unit in ground:
            ground[unit] |= {_unit(name) for name in _imports(path) if name.startswith(f"{PACKAGE}.")} - {
                unit
            }
    tuple(TopologicalSorter(ground).static_order())  # raises CycleError


IN_ROOMS = [path for path in MODULES if _dotted(path).startswith(f"{PACKAGE}.training.")]


@pytest.mark.parametrize("path", IN_ROOMS, ids=_dotted)
def test_a_room_of_training_imports_downwards_only(path):
    room = _dotted(path).split(".")[2]
    for name in _imports(path):
        other = f"{name}...".split(".")[2]
        if name.startswith(f"{PACKAGE}.training"):
            assert other in ROOMS, f"{_dotted(path)}: import from the module that has it, not {name}"
            assert other == room or ROOMS[other] < ROOMS[room], f"{_dotted(path)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=_dotted)
def test_a_module_uses_only_what_its_floor_may(path):
    imported = {name.split(".")[0] for name in _imports(path)}
    if _unit(_dotted(path)) == "simulation":
        assert imported <= sys.stdlib_module_names | {"numpy", "numba", PACKAGE}, (
            "the simulation is numpy and numba only"
        )
    if _unit(_dotted(path)) == "paper":
        assert "matplotlib" not in imported, "numbers and verdicts only; reports/paper draws them"
    if _floor(path) <= 1 or _unit(_dotted(path)) in ("serving", "validation"):
        assert not imported & TORCH, "floors 0 and 1, and a weak device, do without torch"
    if _floor(path) <= 2 or _unit(_dotted(path)) in ("serving", "validation"):
        assert not imported & LIGHTNING, "floors 0 to 2 do without Lightning"


def test_planning_scheduling_and_serving_load_neither_torch_nor_lightning():
    light = [
        _dotted(path)
        for path in MODULES
        if _floor(path) <= 1 or _unit(_dotted(path)) in ("simulation", "serving", "validation")
    ]
    code = (
        "import sys, json, importlib\n"
        f"for name in {[PACKAGE, *light]!r}: importlib.import_module(name)\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert PACKAGE in loaded
    assert not loaded & (TORCH | LIGHTNING)


@pytest.mark.parametrize(
    "unit", ["costs", "exits", "offloading", "serving", "simulation", "training", "validation"]
)
def test_the_modules_of_a_part_import_each_other_without_a_cycle_and_at_the_top(unit):
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        if _unit(_dotted(path)) != unit:
            continue
        graph[_dotted(path)] = {name for name in _imports(path) if name.startswith(f"{PACKAGE}.{unit}")}
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                nested = [
                    node for node in ast.walk(function) if isinstance(node, (ast.Import, ast.ImportFrom))
                ]
                assert not nested, f"{_dotted(path)}: {function.name} imports; do that at the top"
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError


def test_the_simulator_knows_no_planner():
    for path in MODULES:
        if _unit(_dotted(path)) == "simulation":
            assert not [name for name in _imports(path) if name.startswith(f"{PACKAGE}.offloading")]
