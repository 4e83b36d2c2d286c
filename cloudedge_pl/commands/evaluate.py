"""``cloudedge evaluate ckpt=PATH``: tests a checkpoint with the config of its run.

The config of the run (``.hydra/config.yaml`` in a folder above the checkpoint) is the config of this command, and every
key can be overridden: ``cloudedge evaluate ckpt=outputs/.../best.ckpt fleet.link.variation=0.5``.
"""

from __future__ import annotations

import time
from typing import Any

import hydra
from omegaconf import DictConfig

from cloudedge_pl.commands.checkpoint_command import run_on_checkpoint
from cloudedge_pl.commands.reporting import summary_if_stopped
from cloudedge_pl.commands.rows import leaves_row
from cloudedge_pl.commands.running import (
    build,
    clear_errors,
    console,
    output_dir,
    write_json,
)
from cloudedge_pl.commands.train import RunProgress, pictures_tested, summarise
from cloudedge_pl.reports.run_table import summary_table


def evaluate(cfg: DictConfig) -> dict[str, Any]:
    """Tests ``cfg.ckpt``, writes summary.json to Hydra's directory and returns its content."""
    started = time.perf_counter()
    record = RunProgress()

    def summary() -> dict[str, Any]:
        return summarise(cfg, record) | {"checkpoint": str(cfg.ckpt)}

    with summary_if_stopped() as progress:
        progress.done = summary
        datamodule, module, record.trainer, _ = build(cfg)
        progress.stage = "test"
        tested = record.trainer.test(
            module, datamodule=datamodule, ckpt_path=cfg.ckpt, verbose=False, weights_only=True
        )
        if not tested:
            raise ValueError("trainer.limit_test_batches is 0, which tests nothing; give a larger one.")
        record.metrics.update(tested[0])
        record.metrics.update(pictures_tested(module, datamodule, record.trainer))
        found = summary() | {"wall_seconds": time.perf_counter() - started}
        write_json(output_dir() / "summary.json", found)
        console().print(summary_table(found))
        console().print(f"summary.json is in {output_dir()}", soft_wrap=True)
    return found


@hydra.main(version_base="1.3", config_path=None)
@clear_errors
@leaves_row
def _app(cfg: DictConfig) -> None:
    evaluate(cfg)


def main() -> None:
    """Entry point of ``cloudedge evaluate``."""
    run_on_checkpoint("evaluate", _app)
