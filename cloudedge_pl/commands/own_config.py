"""The config of the run that wrote a checkpoint, for the commands that use the checkpoint."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

FITTED = (
    "model._target_",
    "model.backbone",
    "model.backbone_options",
    "model.optimizer",
    "data.num_classes",
    "strategy.backbone",
)
"""Keys that must have the values of the run; otherwise its checkpoint does not load, or has another meaning."""

LENGTH = (
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.limit_train_batches",
    "trainer.accumulate_grad_batches",
    "data.batch_size",
)
"""Keys that determine the number of training steps, which every ``model.schedule`` except "constant" depends on."""


MULTIRUN = ("-m", "--multirun")
"""Hydra's flags for a sweep, which must precede all overrides."""

RESUMABLE = ("interrupted.ckpt", "last.ckpt")
"""Checkpoints with which a training goes on."""


def resumable_checkpoint(folders: Iterable[Path]) -> Path | None:
    """Returns the newest checkpoint of a training whose parts are in these folders; None if there is none yet."""
    paths = [folder / "checkpoints" / name for folder in folders for name in RESUMABLE]
    there = [path for path in paths if path.is_file()]
    return max(there, key=lambda path: path.stat().st_mtime_ns, default=None)


def find_config(checkpoint: Path) -> Path:
    """Returns the folder with the config of the run that wrote ``checkpoint``.

    Raises:
        FileNotFoundError: if the checkpoint does not exist, or no folder above it holds ``.hydra/config.yaml``.
    """
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"no checkpoint at {checkpoint}; give ckpt=PATH of a file that `cloudedge train` wrote."
        )
    for folder in checkpoint.resolve().parents:
        if (folder / ".hydra" / "config.yaml").is_file():
            return folder / ".hydra"
    raise FileNotFoundError(
        f"no .hydra/config.yaml in a folder above {checkpoint}; leave the checkpoint in the directory of its run."
    )


@contextmanager
def resumed_arguments(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Yields the command line of ``cloudedge train``, based on the config of the run that wrote ``ckpt_path``.

    Overrides apply on top. A group that is given (``scheduler=fcfs``) replaces that of the run. ``experiment=`` is
    refused, because it may change any group. Without ``ckpt_path``, or without the config of its run, the command line
    is unchanged.

    Args:
        arguments: as given by the user.
    """
    given = given_keys(arguments)
    checkpoint = given.get("ckpt_path")
    if checkpoint is not None and not isinstance(checkpoint, str):
        raise ValueError(f"ckpt_path is {checkpoint!r}; it must be a path.")
    if checkpoint is None or "--config-path" in arguments or "--config-name" in arguments:
        yield list(arguments)
        return
    try:
        saved = OmegaConf.load(find_config(Path(checkpoint)) / "config.yaml")
    except FileNotFoundError as error:
        if not Path(checkpoint).is_file():
            raise FileNotFoundError(f"ckpt_path={checkpoint}: there is no such file.") from error
        print(f"{error} Going on with the composed config.", file=sys.stderr)
        yield list(arguments)
        return
    assert isinstance(saved, DictConfig)
    if given.get("experiment") is not None:
        raise ValueError(
            f"experiment={given['experiment']} does not go with ckpt_path={checkpoint}, which has a config of its own. "
            "Give the keys that are to differ, or leave ckpt_path out to start anew."
        )
    print(f"Resuming {checkpoint} with the config of its run; what the command line gives differs.")
    with based_on(saved, arguments) as based:
        yield based


@contextmanager
def based_on(saved: DictConfig, arguments: Sequence[str]) -> Iterator[list[str]]:
    """Yields a command line with the config of a run; given groups (``scheduler=fcfs``) replace those of the run."""
    flags = [each for each in arguments if each in MULTIRUN]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "own.yaml").write_text(_primary(saved, given_keys(arguments)), encoding="utf-8")
        overrides = [each for each in arguments if each not in MULTIRUN]
        yield ["--config-path", folder, "--config-name", "own", *flags, *overrides]


def given_keys(arguments: Sequence[str]) -> dict[str, Any]:
    """Returns keys and values of the overrides; Hydra handles the other arguments."""
    overrides = [each for each in arguments if "=" in each and not each.startswith("-")]
    parsed = OverridesParser.create().parse_overrides(overrides)
    return {each.key_or_group: each.value() for each in parsed if not each.is_sweep_override()}


def _primary(saved: DictConfig, given: dict[str, Any]) -> str:
    """Returns a primary config: the saved one, and after it the groups that the command line chooses."""
    conf = resources.files("cloudedge_pl.conf")
    groups = [key for key, value in given.items() if isinstance(value, str) and conf.joinpath(key).is_dir()]
    content = OmegaConf.masked_copy(saved, [str(key) for key in saved if key not in groups])
    defaults = ["_self_", *({group: given[group]} for group in groups), "_run_dirs"]
    head = {"defaults": defaults, "hydra": {"searchpath": ["pkg://cloudedge_pl.conf"]}}
    return OmegaConf.to_yaml(OmegaConf.create(head)) + OmegaConf.to_yaml(content)


def check_resume(cfg: DictConfig) -> None:
    """Compares the config of a resumed run with that of the run that wrote the checkpoint.

    Raises:
        ValueError: if a key has a value for which the checkpoint is not valid, or the learning rate schedule was made
            for another number of steps.
    """
    if cfg.ckpt_path is None:
        return
    try:
        saved = OmegaConf.load(find_config(Path(cfg.ckpt_path)) / "config.yaml")
    except FileNotFoundError:
        return  # reported when the command line was read, or by Lightning
    assert isinstance(saved, DictConfig)
    for key in FITTED:
        before, now = OmegaConf.select(saved, key), OmegaConf.select(cfg, key)
        if before != now:
            raise ValueError(
                f"{key}={now} does not go with ckpt_path={cfg.ckpt_path}, which was written with {key}={before}. "
                "Leave that key out, or leave ckpt_path out to start anew."
            )
    schedule = OmegaConf.select(cfg, "model.schedule")
    for key in LENGTH:
        before, now = OmegaConf.select(saved, key), OmegaConf.select(cfg, key)
        if before != now and schedule not in (None, "constant"):
            raise ValueError(
                f"{key}={now} does not go with model.schedule={schedule}: the run of ckpt_path laid it out for "
                f"{key}={before}, and it fits no other length. Add model.schedule=constant model.learning_rate=..., "
                "or leave ckpt_path out to train anew over the new length."
            )
