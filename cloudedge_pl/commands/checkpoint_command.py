"""The command line of commands that take ``ckpt=PATH``: it is based on the config of the run that wrote the file.

``ckpt=newest`` is the checkpoint of the newest run in ``outputs``.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from cloudedge_pl.commands.help import WITH_KEYS
from cloudedge_pl.commands.own_config import based_on, find_config
from cloudedge_pl.commands.reporting import quoted, run

NEWEST = "newest"
"""Given as the path: the best checkpoint of the newest run in ``outputs``."""


def run_on_checkpoint(command: str, app: Callable[[], Any]) -> None:
    """Runs a Hydra command with the config of a checkpoint's run; every key can be overridden.

    Keys of a command's own, those of ``conf/COMMAND.yaml``, are given like the run's keys, and lie in the config below
    the command's name.

    Args:
        command: its name, for messages.
        app: reads ``sys.argv``; its config has ``ckpt``, the checkpoint's path.
    """
    given = [argument for argument in sys.argv[1:] if argument.startswith("ckpt=")]
    if not given:
        sys.exit(
            f"cloudedge {command}: give the checkpoint: ckpt=outputs/.../checkpoints/best.ckpt, or ckpt=newest"
        )
    checkpoint = Path(given[0].removeprefix("ckpt="))
    try:
        if str(checkpoint) == NEWEST:
            checkpoint = newest_checkpoint(Path("outputs"))
            print(f"The newest checkpoint is {checkpoint}.")
        config = find_config(checkpoint)
    except FileNotFoundError as error:
        sys.exit(f"cloudedge {command}: {error}")
    rest = [argument for argument in sys.argv[1:] if argument not in given]
    saved = OmegaConf.load(config / "config.yaml")
    assert isinstance(saved, DictConfig)
    if command in WITH_KEYS:
        with resources.as_file(resources.files("cloudedge_pl.conf") / f"{command}.yaml") as path:
            saved[command] = OmegaConf.load(path)
        rest = [f"{command}.{each}" if each.partition("=")[0] in saved[command] else each for each in rest]
    # ++, because the config of an earlier command of this kind has the key.
    run(functools.partial(_based_on, saved, [f"++ckpt={quoted(str(checkpoint.resolve()))}", *rest], app))


def newest_checkpoint(outputs: Path) -> Path:
    """The checkpoint that was written last of those with the best validation, of all runs below a folder.

    Raises:
        FileNotFoundError: if there is none.
    """
    found = list(outputs.glob("**/checkpoints/best.ckpt"))
    if not found:
        raise FileNotFoundError(
            f"there is no checkpoints/best.ckpt below {outputs.resolve()}; train first, or give ckpt=PATH."
        )
    return max(found, key=lambda path: path.stat().st_mtime)


def _based_on(saved: DictConfig, arguments: list[str], app: Callable[[], Any]) -> None:
    with based_on(saved, arguments) as sys.argv[1:]:
        app()
