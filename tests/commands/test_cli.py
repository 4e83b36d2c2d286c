"""The console script: help without heavy imports, unknown commands, every config composes."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import pytest
from hydra import compose, initialize_config_module

from cloudedge_pl.commands.cli import COMMANDS


def names(group: str) -> list[str]:
    return sorted(
        p.name.removesuffix(".yaml")
        for p in (files("cloudedge_pl.conf") / group).iterdir()
        if p.name.endswith(".yaml")
    )


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_imports_neither_torch_nor_hydra() -> None:
    done = python(
        "import sys; sys.argv=['cloudedge', '--help']; from cloudedge_pl.commands.cli import main; main();"
        "print([m for m in ('torch', 'hydra', 'pytorch_lightning', 'numpy') if m in sys.modules])"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("[]")
    assert all(command in done.stdout for command in COMMANDS)


def test_unknown_command_lists_those_there_are() -> None:
    done = python(
        "import sys; sys.argv=['cloudedge', 'trian']; from cloudedge_pl.commands.cli import main; main()"
    )
    assert done.returncode == 1
    assert "Did you mean 'train'" in done.stderr
    assert "plan" in done.stderr


@pytest.mark.parametrize("imports", ["cloudedge_pl, pytorch_lightning", "pytorch_lightning, cloudedge_pl"])
def test_strategy_name_is_known_in_either_order_of_imports(imports: str) -> None:
    done = python(
        f"import {imports}; from pytorch_lightning.strategies import StrategyRegistry;"
        "print('cloudedge' in StrategyRegistry)"
    )
    assert done.stdout.strip() == "True", done.stderr


def test_importing_the_package_imports_nothing_heavy() -> None:
    done = python(
        "import sys, cloudedge_pl; print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("experiment", names("experiment"))
def test_experiments_compose(experiment: str) -> None:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        assert compose("train", overrides=[f"experiment={experiment}"]).model


@pytest.mark.parametrize(
    ("group", "option"),
    [
        (group, option)
        for group in (
            "model",
            "data",
            "fleet",
            "workload",
            "offloading",
            "scheduler",
            "exit_head",
            "strategy",
        )
        for option in names(group)
    ],
)
def test_every_option_composes(group: str, option: str) -> None:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        assert compose("train", overrides=[f"{group}={option}"])[group]


def test_every_key_is_documented() -> None:
    """A key of a YAML file has a comment: beside it, above it, or above the run of keys it stands in."""
    import re

    root = files("cloudedge_pl.conf")
    for group in ("model", "data", "fleet", "workload", "offloading", "scheduler", "exit_head", "strategy"):
        for option in names(group):
            text = (root / group / f"{option}.yaml").read_text()
            keys = re.findall(r"^ *([a-z]\w*):", text, flags=re.MULTILINE)
            if "- _self_" in text:  # it changes another file of the group, which documents its keys
                base = re.search(r"^  - (\w+)$", text, flags=re.MULTILINE)
                assert base is not None
                known = (root / group / f"{base.group(1)}.yaml").read_text()
                assert all(f"{key}:" in known for key in keys if key != "defaults"), f"{group}/{option}"
                continue
            comments = text.count("#")
            assert comments >= 1, f"{group}/{option}"
            assert len(keys) <= 4 * comments, f"{group}/{option}: {len(keys)} keys, {comments} comments"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_says_what_every_key_means_and_imports_nothing_heavy(command: str) -> None:
    done = python(
        f"import sys; sys.argv=['cloudedge', '{command}', 'fleet=single', '--help'];"
        "from cloudedge_pl.commands.cli import main; main();"
        "print([m for m in ('torch', 'hydra', 'pytorch_lightning', 'numpy') if m in sys.modules])"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("[]")
    assert "scheduler=atsa    one of: aco, atsa" in done.stdout or command == "plan"
    if command != "schedule":
        assert "fleet=single    one of: file, mixed, single" in done.stdout
        shown = " ".join(done.stdout.split())
        assert "fleet.device=raspberry-pi-4 One device or several in turn" in shown
        assert "offloading.objective=deepest deepest (the paper's), or another objective" in shown
        assert "fleet.link.propagation_seconds=0.05 One way, edge to cloud." in shown
