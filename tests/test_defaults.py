"""There is one set of defaults: the constructors' are those of conf/, so that Python and the commands run the same."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import get_method, instantiate
from omegaconf import DictConfig, OmegaConf

import cloudedge_pl as ce
from cloudedge_pl.commands import reporting  # noqa: F401  # registers the resolvers of the configs
from cloudedge_pl.commands.help import read

BUILT: dict[str, Callable[[], Any]] = {
    "fleet": ce.Fleet.preset,
    "workload": ce.Workload,
    "offloading": ce.OffloadGoal,
    "formulas": ce.CostFormulas,
    "codec": ce.CodecConfig,
    "exit_head": ce.ExitHeadConfig,
    "exits": ce.ExitSettings,
}
"""Groups whose objects compare by value, and what makes the default in Python."""

GIVEN = {"num_classes", "backbone", "dirpath", "filename", "seed", "root", "path", "link", "weights"}
"""Keys that a run must or may give, and objects that are compared as a whole."""


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        return compose("train")


@pytest.mark.parametrize("group", BUILT)
def test_the_default_object_of_a_group(composed: DictConfig, group: str) -> None:
    assert instantiate(composed[group], _convert_="all") == BUILT[group]()


def test_the_strategy_by_name_runs_what_the_command_runs(composed: DictConfig) -> None:
    configured = instantiate(composed.strategy, _convert_="all").settings
    plain = ce.CloudEdgeStrategy().settings
    for field in dataclasses.fields(plain):
        ours, theirs = getattr(plain, field.name), getattr(configured, field.name)
        if field.name == "scheduler":
            assert type(ours) is type(theirs)
            ours, theirs = vars(ours), vars(theirs)
        assert ours == theirs, field.name


def targets(value: Any, key: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every mapping with a ``_target_`` of this package, at a key or below it."""
    if not isinstance(value, dict):
        return
    if str(value.get("_target_", "")).startswith("cloudedge_pl."):
        own = {name: each for name, each in value.items() if not name.startswith("_")}
        yield key, value["_target_"], own
    for name, each in value.items():
        yield from targets(each, f"{key}.{name}")


def options() -> list[str]:
    """The options whose values are defaults of a constructor: all but variants of another option."""
    variants = {
        "workload": {"inference", "paper"},
        "fleet": {"single", "paper"},
        "formulas": {"paper"},
        "churn": {"rates", "events"},
        "dormancy": {"paper", "quantile", "deadline", "never", "always"},
        "exits": {"confidence", "entropy", "none"},
    }
    found = []
    for group in files("cloudedge_pl.conf").iterdir():
        if not group.is_dir() or group.name in ("experiment", "sweep", "trainer", "logger", "__pycache__"):
            continue
        for path in group.iterdir():
            name = path.name.removesuffix(".yaml")
            if (
                path.name.endswith(".yaml")
                and not name.startswith("_")
                and name not in variants.get(group.name, ())
            ):
                found.append(f"{group.name}={name}")
    chosen = [each for each in found if each.partition("=")[0] not in ("codec", "model")]
    return sorted([*chosen, "codec=int8", "model=resnet34"])


def groups_of(command: str) -> set[str]:
    return {group.name for group in read(f"{command}.yaml")[1]}


@pytest.mark.parametrize("option", options())
def test_every_key_is_the_default_of_its_argument(option: str) -> None:
    group = option.partition("=")[0]
    command = next(name for name in ("train", "plan", "simulate", "serve") if group in groups_of(name))
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        content = OmegaConf.to_container(compose(command, [option])[group], resolve=False)
    compared = 0
    for key, target, keys in targets(content, group):
        if target.endswith("BestCheckpoint") or ".lightning." in target:
            continue  # Lightning's arguments and defaults
        parameters = inspect.signature(get_method(target)).parameters
        for name, value in keys.items():
            own = isinstance(value, dict) and "_target_" in value  # compared by itself
            if own or name in GIVEN or name not in parameters or (isinstance(value, str) and "${" in value):
                continue
            default = parameters[name].default
            default = list(default) if isinstance(default, tuple) else default
            assert value == default or (value in ({}, []) and default is None), f"{key}.{name}"
            compared += 1
    assert compared or group in ("scheduler", "costs", "strategy", "arrivals"), "nothing was compared"
