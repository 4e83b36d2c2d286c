"""The console script: help without heavy imports, unknown commands, every config composes."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_module
from omegaconf import DictConfig, OmegaConf

from cloudedge_pl.commands.checking import check_config
from cloudedge_pl.commands.cli import COMMANDS, FOR_SERVING, as_yaml
from cloudedge_pl.commands.help import Key, composed, read, show
from cloudedge_pl.commands.running import NEEDED


def names(group: str) -> list[str]:
    return sorted(
        p.name.removesuffix(".yaml")
        for p in (files("cloudedge_pl.conf") / group).iterdir()
        if p.name.endswith(".yaml") and not p.name.startswith("_")
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


@pytest.mark.parametrize("command", ["node", "cloud", "serve", "up", "ask", "validate"])
@pytest.mark.parametrize("package", FOR_SERVING)
def test_servers_without_their_packages_say_what_to_install(command: str, package: str) -> None:
    done = python(
        f"import sys; sys.argv=['cloudedge', {command!r}]; sys.modules[{package!r}] = None;"
        "from cloudedge_pl.commands.cli import main; main()"
    )
    assert done.returncode == 1
    expected = f"cloudedge {command} needs the package {package!r}; pip install 'cloudedge_pl[serve]'.\n"
    assert done.stderr == expected


def test_another_missing_package_is_not_said_to_be_one_for_serving() -> None:
    done = python(
        "import sys; sys.argv=['cloudedge', 'node']; sys.modules['omegaconf'] = None;"
        "from cloudedge_pl.commands.cli import main; main()"
    )
    assert done.returncode == 1
    assert "omegaconf" in done.stderr
    assert "cloudedge_pl[serve]" not in done.stderr


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("fleet.max_energy_joules=.inf", "fleet.max_energy_joules=inf"),
        ("a=-.Inf", "a=-Inf"),
        ("a=[.inf,1,.nan]", "a=[inf,1,nan]"),
        ("+a={b: .inf, c:.nan}", "+a={b: inf, c:nan}"),
        ("-m", "-m"),
        ("a=1.inf", "a=1.inf"),
        ("file=data/.info", "file=data/.info"),
        ("file=x.inf", "file=x.inf"),
        ("file='.inf'", "file='.inf'"),
        ("hydra.run.dir=.infinite", "hydra.run.dir=.infinite"),
    ],
)
def test_infinity_is_written_as_in_yaml_too(override: str, expected: str) -> None:
    assert as_yaml(override) == expected


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


MISSING = {
    "cifar10_subset": "data.root=images",
    "image_folder": "data.root=images",
    "file": "fleet.path=fleet.csv",
}
"""The keys that an option leaves to the user."""


def composed_config(*overrides: str) -> DictConfig:
    """The config of ``cloudedge train``, with a folder in place of Hydra's."""
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        text = OmegaConf.to_yaml(compose("train", overrides=list(overrides)))
    plain = OmegaConf.create(text.replace("${hydra:runtime.output_dir}", "somewhere"))
    assert isinstance(plain, DictConfig)
    return plain


@pytest.mark.parametrize("experiment", names("experiment"))
def test_experiments_are_valid_configs(experiment: str) -> None:
    given = [MISSING[experiment]] if experiment in MISSING else []
    check_config(composed_config(f"experiment={experiment}", *given), NEEDED)


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
            "formulas",
            "codec",
            "scheduler",
            "exit_head",
            "exits",
            "strategy",
        )
        for option in names(group)
    ],
)
def test_every_option_is_a_valid_config(group: str, option: str) -> None:
    given = [MISSING[option]] if option in MISSING else []
    check_config(composed_config(f"{group}={option}", *given), NEEDED)


def conf_files() -> list[str]:
    root = files("cloudedge_pl.conf")
    groups = [p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("_")]
    return [f"{group}={option}" for group in sorted(groups) for option in names(group)]


@pytest.mark.parametrize("chosen", conf_files())
def test_help_says_what_every_key_means(chosen: str) -> None:
    """A comment stands above a key, beside it, or where an option or an experiment builds on another file, there."""
    group, option = chosen.split("=")
    shown = []
    for command in ("train", "plan", "simulate", "schedule", "serve", "collect"):
        _, own, sections = composed(command, {group: option})
        shown += [(key.name, key.comment) for key in own]
        shown += [(f"{each.group}.{key.name}", key.comment) for each in sections for key in each.keys]
    assert not [name for name, comment in shown if not comment]
    inside = yaml.safe_load((files("cloudedge_pl.conf") / group / f"{option}.yaml").read_text())
    for name in inside.keys() - {"_target_", "_partial_", "defaults"}:
        within = name if group == "experiment" else f"{group}.{name}"
        assert any(each == within or each.startswith(f"{within}.") for each, _ in shown), name


def test_keys_of_hydra_that_we_set_have_a_comment() -> None:
    _, keys = read("_run_dirs.yaml")[1:]
    assert keys
    assert all(key.comment for key in keys)


def test_a_key_without_a_comment_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.yaml").write_text(
        "# What it is for.\n\n# Of it.\none:\n  # Two.\n  two: 2\n  three: 3\n"
    )
    monkeypatch.setattr("cloudedge_pl.commands.help.files", lambda _: tmp_path)
    assert read("some.yaml") == (
        "What it is for.",
        [],
        [Key("one", "", "Of it."), Key("one.two", "2", "Two."), Key("one.three", "3", "")],
    )


def test_help_of_an_experiment_shows_what_it_sets() -> None:
    shown = " ".join(show("train", ["experiment=paper_full"]).split())
    assert "data=cifar10 one of:" in shown
    assert "trainer.max_epochs=-1 Largest number of epochs" in shown
    assert "trainer.max_steps=64000 Largest number of optimizer steps" in shown
    assert "data=digits one of:" in " ".join(show("train", ["experiment=paper_full", "data=digits"]).split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_says_what_every_key_means_and_imports_nothing_heavy(command: str) -> None:
    done = python(
        f"import sys; sys.argv=['cloudedge', '{command}', 'fleet=single', '--help'];"
        "from cloudedge_pl.commands.cli import main; main();"
        "print([m for m in ('torch', 'hydra', 'pytorch_lightning', 'numpy') if m in sys.modules])"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("[]")
    if command in ("node", "cloud", "ask", "collect"):  # they have no groups
        return
    assert "scheduler=atsa    one of: aco, atsa" in done.stdout or command == "plan"
    if command not in ("schedule", "serve", "up", "validate"):
        assert "fleet=single    one of: file, mixed, paper, single" in done.stdout
        shown = " ".join(done.stdout.split())
        assert "fleet.device=raspberry-pi-4 One device, or several that are used in turn" in shown
        assert "offloading.objective=deepest deepest (the paper's), or another objective" in shown
        assert "fleet.link.propagation_seconds=0.05 Propagation delay from edge to cloud" in shown
