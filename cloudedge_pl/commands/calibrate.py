"""``cloudedge calibrate ckpt=PATH``: chooses the exits' threshold for a trained network, on its validation set.

The config of the run (``.hydra/config.yaml`` in a folder above the checkpoint) is the config of this command, and every
key can be overridden: ``cloudedge calibrate ckpt=outputs/.../best.ckpt exits.max_disagreement=0.01``. The checkpoint
stays as it is; a copy with the calibration is written to the folder of this command.
"""

from __future__ import annotations

import time
from typing import Any

import hydra
from omegaconf import DictConfig, open_dict

from cloudedge_pl.commands.checkpoint_command import run_on_checkpoint
from cloudedge_pl.commands.exit_report import exit_summary, needs_calibration, save_exits, say_calibrated
from cloudedge_pl.commands.reporting import summary_if_stopped
from cloudedge_pl.commands.rows import leaves_row
from cloudedge_pl.commands.running import build, clear_errors, console, output_dir, versions, write_json
from cloudedge_pl.exits.settings import MAX_DISAGREEMENT
from cloudedge_pl.training.strategies.calibration import calibrate_exits, save_calibration
from cloudedge_pl.training.strategies.hooks import RunHooks


def calibrate(cfg: DictConfig) -> dict[str, Any]:
    """Calibrates ``cfg.ckpt``, writes checkpoint, summary.json and figure to Hydra's directory.

    Returns:
        The content of summary.json.

    Raises:
        ValueError: if the settings leave nothing to calibrate.
    """
    started = time.perf_counter()
    with summary_if_stopped() as progress:
        turn_on(cfg)
        datamodule, module, trainer, _ = build(cfg)
        strategy = trainer.strategy
        if not isinstance(strategy, RunHooks) or not needs_calibration(strategy):
            raise ValueError(
                "there is nothing to calibrate: the run cuts nothing, exits.policy is none or exits.threshold is "
                "given. Give exits=confidence exits.max_disagreement=0.02."
            )
        progress.stage = "calibration"
        found = calibrate_exits(trainer, module, datamodule=datamodule, ckpt_path=cfg.ckpt)
        path = output_dir() / "checkpoints" / "calibrated.ckpt"
        save_calibration(strategy, cfg.ckpt, path)
        summary = {
            "checkpoint": str(cfg.ckpt),
            "calibrated_checkpoint": str(path),
            "exits": exit_summary(strategy),
            "seed": cfg.seed,
            "versions": versions(),
            "wall_seconds": time.perf_counter() - started,
        }
        write_json(output_dir() / "summary.json", summary)
        save_exits(strategy, output_dir())
        say_calibrated(found)
        console().print(f"The checkpoint with the calibration is {path}", soft_wrap=True)
    return summary


def turn_on(cfg: DictConfig) -> None:
    """Gives the default limit to a run that has neither a policy, nor a limit, nor a threshold.

    The config of a run from before there were exits gets the group, too.
    """
    with open_dict(cfg):
        if "exits" not in cfg:
            cfg.exits = {"_target_": "cloudedge_pl.exits.ExitSettings"}
        if "_target_" in cfg.strategy and "exits" not in cfg.strategy:
            cfg.strategy.exits = "${exits}"
        if all(cfg.exits.get(name) is None for name in ("policy", "max_disagreement", "threshold")):
            cfg.exits.max_disagreement = MAX_DISAGREEMENT


@hydra.main(version_base="1.3", config_path=None)
@clear_errors
@leaves_row
def _app(cfg: DictConfig) -> None:
    calibrate(cfg)


def main() -> None:
    """Entry point of ``cloudedge calibrate``."""
    run_on_checkpoint("calibrate", _app)
