"""Checks a composed config before anything is built: every key against the annotation of the argument it becomes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from cloudedge_pl.commands.reporting import clear_references, require_keys, resolved
from cloudedge_pl.errors import argument_types, lookup, require_range, require_types

MAX_PIXELS = 16_384
"""A larger side or number of channels is treated as a mistake before memory is allocated."""

SET_BY_COMMAND = {"trainer": ("strategy", "callbacks", "logger"), "model": ("num_classes",)}
"""Arguments that the command sets itself."""

TARGETED = ("callbacks", "logger")
"""Groups in which every key is an object that Hydra makes."""

GROUPS = (
    "data",
    "model",
    "fleet",
    "workload",
    "offloading",
    "formulas",
    "codec",
    "exit_head",
    "exits",
    "scheduler",
    "strategy",
    "callbacks",
    "trainer",
    "logger",
    "costs",
    "arrivals",
    "link_process",
    "churn",
    "scenario",
    "dormancy",
)
"""Groups of the configs."""

SETTINGS = (
    "offloading",
    "formulas",
    "codec",
    "exit_head",
    "exits",
    "workload",
    "scheduler",
    "arrivals",
    "link_process",
    "churn",
    "dormancy",
)
"""Groups that are built once to check their values; building them is cheap."""

NEED_TARGET = (*SETTINGS, "scenario", "fleet", "costs", "data", "model", "trainer")
"""Groups that are one object, made by their ``_target_``."""


class Limit(NamedTuple):
    """The smallest value of a finite number, and whether it must be a whole number."""

    low: float
    whole: bool = True
    open_low: bool = False


LIMITS: dict[str, dict[str, Limit]] = {
    "Trainer": {
        "max_epochs": Limit(-1),
        "min_epochs": Limit(0),
        "max_steps": Limit(-1),
        "min_steps": Limit(0),
        "limit_train_batches": Limit(0, whole=False),
        "limit_val_batches": Limit(0, whole=False),
        "limit_test_batches": Limit(0, whole=False),
        "limit_predict_batches": Limit(0, whole=False),
        "overfit_batches": Limit(0, whole=False),
        "val_check_interval": Limit(0, whole=False, open_low=True),
        "check_val_every_n_epoch": Limit(1),
        "num_sanity_val_steps": Limit(-1),
        "log_every_n_steps": Limit(0),
        "accumulate_grad_batches": Limit(1),
        "gradient_clip_val": Limit(0, whole=False),
        "num_nodes": Limit(1),
        "reload_dataloaders_every_n_epochs": Limit(0),
    },
    "ModelCheckpoint": {
        "save_top_k": Limit(-1),
        "every_n_train_steps": Limit(0),
        "every_n_epochs": Limit(0),
    },
    "EarlyStopping": {"patience": Limit(0), "min_delta": Limit(0, whole=False)},
    "TQDMProgressBar": {"refresh_rate": Limit(0), "process_position": Limit(0)},
    "RichProgressBar": {"refresh_rate": Limit(0)},
    "CSVLogger": {"flush_logs_every_n_steps": Limit(1)},
    "TensorBoardLogger": {"flush_secs": Limit(1)},
}
"""Smallest values of Lightning's arguments, by class. Lightning accepts most smaller values and fails later."""


def _keys(
    seed: int,
    test: bool,
    ckpt_path: str | None,
    ckpt: str,
    num_classes: int,
    input_shape: list[int],
    granularity: str,
    run: str | None,
    num_tasks: int | None,
    until_seconds: float | None,
    exit_share: float,
    records: str,
    figures: bool,
    objective_metric: str | list[str] | None,
    objective_direction: str | list[str],
) -> None:
    """The keys at the top of the configs, as a signature."""


def check_config(cfg: DictConfig, needed: Sequence[str]) -> None:
    """Checks every key of a config of a command that plans.

    Args:
        cfg: the composed config.
        needed: groups and keys that the command needs.

    Raises:
        ValueError: if a key is missing, unknown or of the wrong type. The message names the key, the value and what
            is expected.
    """
    cfg = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])  # Hydra checks its own part
    with clear_references():
        missing = sorted(OmegaConf.missing_keys(cfg), key=len)
    if missing:
        raise ValueError(f"{missing[0]} is not given; write {missing[0]}=... on the command line.")
    content = resolved(cfg)
    require_keys(content, needed)
    require_types("", _keys, content)
    if content.get("ckpt_path") is not None and not Path(content["ckpt_path"]).is_file():
        raise ValueError(
            f"ckpt_path is {content['ckpt_path']!r}, where no file is; give a checkpoint, or null."
        )
    if "num_classes" in content:
        require_range("", 1, 1_000_000, num_classes=content["num_classes"])
    if "input_shape" in content:
        _check_shape(content["input_shape"])
    for key, group in content.items():
        _check_group(key, group)
    _check_trainer(content)


def _check_shape(shape: list[int]) -> None:
    if len(shape) != 3:
        raise ValueError(f"input_shape is {shape}; give channels, height and width, such as [3,32,32].")
    for index, side in enumerate(shape):
        named: dict[str, Any] = {f"input_shape[{index}]": side}
        require_range("", 1, MAX_PIXELS, **named)


def _check_group(key: str, group: Any) -> None:
    if key in GROUPS and not isinstance(group, Mapping):
        raise ValueError(
            f"{key} is {group!r}; it must be a mapping of keys, or the name of a file of conf/{key}."
        )
    if key in NEED_TARGET and "_target_" not in group:
        raise ValueError(
            f"{key} has no _target_; take one from conf/{key}, or base your file on one of them."
        )
    if key in GROUPS:
        _check_targets(key, group)
    if key in SETTINGS:
        make = get_target(key, group["_target_"])
        make(**{str(name): each for name, each in group.items() if name != "_target_"})


def _check_targets(key: str, value: Any) -> None:
    """Checks every mapping with a ``_target_`` at a key and below it."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            given = {str(name): each for name, each in value.items() if not str(name).startswith("_")}
            _check_call(key, get_target(key, value["_target_"]), given)
        elif key.count(".") == 0 and key in TARGETED:
            _require_targets(key, value)
        for name, each in value.items():
            _check_targets(f"{key}.{name}", each)


def _require_targets(key: str, value: Mapping[str, Any]) -> None:
    for name, each in value.items():
        if each is not None and not (isinstance(each, Mapping) and "_target_" in each):
            raise ValueError(
                f"{key}.{name} is {each!r}; it must be a mapping with a _target_, or null to leave it out."
            )


def get_target(key: str, name: Any) -> Callable[..., Any]:
    """Imports the ``_target_`` of a key.

    Raises:
        ValueError: if it is not text, or cannot be imported.
    """
    if not isinstance(name, str):
        raise ValueError(f"{key}._target_ is {name!r}; it must be the full name of a class or function.")
    try:
        return get_method(name)
    except Exception as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ValueError(f"{key}._target_ is {name!r}, which cannot be imported: {reason}") from error


def _check_call(key: str, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    for name in SET_BY_COMMAND.get(key, ()):
        if name in given:
            raise ValueError(f"{key}.{name} is set by the command itself; leave it out.")
    known = argument_types(function) or dict.fromkeys(inspect.signature(function).parameters, Any)
    parameters = inspect.signature(function).parameters
    accepts_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    if not accepts_all or _is_ours(function):
        for name in given:
            if name not in parameters:
                lookup(list(known), name, f"key of {key},")
    require_types(key, function, given)
    for base in inspect.getmro(function) if inspect.isclass(function) else ():
        for name, limit in LIMITS.get(base.__name__, {}).items():
            if isinstance(given.get(name), (int, float)):
                value: dict[str, Any] = {name: given[name]}
                open_ends = {"open_low": limit.open_low, "open_high": True}
                require_range(key, limit.low, math.inf, whole=limit.whole, **open_ends, **value)


def _check_trainer(content: Mapping[str, Any]) -> None:
    """Refuses combinations that Lightning accepts but that make no sense."""
    trainer = content.get("trainer", {})
    for unit in ("epochs", "steps"):
        least, most = trainer.get(f"min_{unit}"), trainer.get(f"max_{unit}")
        if least is not None and most is not None and 0 <= most < least:
            raise ValueError(f"trainer.min_{unit} is {least}; it must be at most trainer.max_{unit}={most}.")
    if trainer.get("num_nodes", 1) != 1 and "_target_" in content.get("strategy", {}):
        raise ValueError(
            f"trainer.num_nodes is {trainer['num_nodes']}; a cut runs in one process: it must be 1. The nodes of the "
            "fleet are fleet.num_nodes."
        )
    if trainer.get("limit_test_batches") == 0 and content.get("test", True):
        raise ValueError("trainer.limit_test_batches is 0, which tests nothing; write test=false for that.")
    _check_monitors(content.get("callbacks", {}), trainer)


def _check_monitors(callbacks: Mapping[str, Any], trainer: Mapping[str, Any]) -> None:
    """Refuses to monitor a validation metric when no validation runs."""
    every, last = trainer.get("check_val_every_n_epoch") or 1, trainer.get("max_epochs")
    why = ""
    if trainer.get("limit_val_batches") == 0:
        why = "trainer.limit_val_batches=0"
    elif last is not None and 0 < last < every:
        why = f"trainer.check_val_every_n_epoch={every} and trainer.max_epochs={last}"
    for name, callback in callbacks.items():
        monitor = callback.get("monitor") if isinstance(callback, Mapping) else None
        if why and isinstance(monitor, str) and monitor.startswith("val/"):
            raise ValueError(
                f"callbacks.{name}.monitor is {monitor!r}, but with {why} no validation runs: "
                f"set callbacks.{name}=null, or monitor a metric of the training, such as train/loss."
            )


def _is_ours(function: Callable[..., Any]) -> bool:
    return str(getattr(function, "__module__", "")).startswith("cloudedge_pl.")
