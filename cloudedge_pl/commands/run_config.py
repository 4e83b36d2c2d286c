"""The command line of commands that take ``run=FOLDER``: the config of that run gives the defaults of their groups."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from cloudedge_pl.commands.own_config import MULTIRUN, given_keys
from cloudedge_pl.commands.reporting import quoted
from cloudedge_pl.dormancy import DormancyRule

TAKEN = (
    "data",
    "model",
    "fleet",
    "workload",
    "link_process",
    "churn",
    "scenario",
    "offloading",
    "formulas",
    "codec",
    "exit_head",
    "exits",
    "scheduler",
    "seed",
)
"""Groups and keys that a run of ``cloudedge train`` gives to other commands, which take those that they have."""

TRAINED = ("data", "model", "codec", "exit_head")
"""Groups that made the run's network what it is."""


@contextmanager
def arguments_of_run(arguments: Sequence[str], command: str) -> Iterator[list[str]]:
    """Yields the arguments of a command, based on the config of the run that they name; without one, as they are.

    Args:
        arguments: of the command line.
        command: the command's name, which is that of its config.

    Raises:
        FileNotFoundError: if the folder holds no run.
    """
    folder = given_keys(arguments).get("run")
    if folder is None:
        yield list(arguments)
        return
    path = Path(str(folder)).resolve()
    flags = [each for each in arguments if each in MULTIRUN]
    rest = [each for each in arguments if each not in MULTIRUN and not each.startswith("run=")]
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "own.yaml").write_text(_primary(path, rest, command), encoding="utf-8")
        yield ["--config-path", temporary, "--config-name", "own", *flags, f"run={quoted(str(path))}", *rest]


def load_run(folder: Path) -> DictConfig:
    """Returns the config of a run.

    Raises:
        FileNotFoundError: if the folder holds none.
    """
    path = folder / ".hydra" / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(
            f"run is {folder}, which holds no .hydra/config.yaml; give the folder of a `cloudedge train`."
        )
    saved = OmegaConf.load(path)
    assert isinstance(saved, DictConfig)
    return saved


def config_of_run(cfg: DictConfig) -> DictConfig:
    """Returns the config of ``cfg.run`` with the exits of ``cfg``, to evaluate its network.

    Raises:
        ValueError: if ``cfg`` has another network, or other data, than the run.
    """
    saved = load_run(Path(cfg.run))
    for group in TRAINED:
        if group in saved and OmegaConf.to_container(saved[group]) != OmegaConf.to_container(cfg[group]):
            raise ValueError(
                f"{group} differs from that of the run {cfg.run}, whose network was trained with it; leave {group} "
                "out, or give another run."
            )
    with open_dict(saved):
        saved.exits = cfg.exits
    return saved


def own_keys_and_groups(command: str) -> tuple[DictConfig, dict[str, str | None]]:
    """Returns the keys of a command's config, and its groups with their options; None is an empty choice."""
    text = (resources.files("cloudedge_pl.conf") / f"{command}.yaml").read_text(encoding="utf-8")
    keys = OmegaConf.create(text)
    assert isinstance(keys, DictConfig)
    entries = [each for each in keys.pop("defaults") if isinstance(each, DictConfig)]
    return keys, {str(group): option for each in entries for group, option in each.items()}


def _primary(folder: Path, arguments: Sequence[str], command: str) -> str:
    """Returns a primary config: the command's own, with what the run gives and the command line does not."""
    saved, given = load_run(folder), given_keys(arguments)
    own, groups = own_keys_and_groups(command)
    chosen = {name: given[name] for name in groups if isinstance(given.get(name), str)}
    taken = [
        name for name in TAKEN if name in saved and name not in chosen and (name in groups or name in own)
    ]
    content = OmegaConf.merge(own, OmegaConf.masked_copy(saved, taken))
    assert isinstance(content, DictConfig)
    with open_dict(content):
        if "workload" in content:
            content.workload.phase = "inference"
        if "offloading" in content:
            content.offloading.update(split_point=_split_point(folder), exclude_ends=False)
        content.dormancy.update(_dormancy(saved))
    composed = [{name: chosen.get(name, option)} for name, option in groups.items() if name not in taken]
    head = {
        "defaults": ["_self_", *composed, "_run_dirs"],
        "hydra": {"searchpath": ["pkg://cloudedge_pl.conf"]},
    }
    return OmegaConf.to_yaml(OmegaConf.create(head)) + OmegaConf.to_yaml(content)


def _split_point(folder: Path) -> int | None:
    """Where the run's network is cut; None if it left no plan."""
    path = folder / "plan.json"
    return int(json.loads(path.read_text(encoding="utf-8"))["split_point"]) if path.is_file() else None


def _dormancy(saved: DictConfig) -> dict[str, Any]:
    """The run's rule by which the cloud slept; none where its callback was left out."""
    callback = OmegaConf.select(saved, "callbacks.dormancy")
    if callback is None:
        return {"mode": "never"}
    names = {field.name for field in fields(DormancyRule)}
    return {str(name): value for name, value in callback.items() if name in names}
