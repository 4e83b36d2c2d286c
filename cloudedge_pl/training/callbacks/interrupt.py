"""Ctrl-C between two steps instead of within one, with a checkpoint that resumes."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities import rank_zero_info
from typing_extensions import override


class InterruptCheckpoint(Checkpoint):
    """On Ctrl-C finishes the step, saves a checkpoint and stops; a second Ctrl-C stops at once, without one.

    It is a ``Checkpoint``, so that Lightning runs it after every callback whose state it saves.

    Args:
        dirpath: folder of the checkpoint; None takes the trainer's default root.
        filename: of the checkpoint, without its ending.
    """

    def __init__(self, dirpath: str | None = None, filename: str = "interrupted") -> None:
        self.dirpath, self.filename = dirpath, filename
        self._interrupted = False
        self._before: Any = None

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._interrupted = False
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)

    def _note(self, signum: int, frame: Any) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True
        rank_zero_info(
            "\nCtrl-C: finishing the step and saving a checkpoint; press it again to stop at once."
        )

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._interrupted:
            path = Path(self.dirpath or trainer.default_root_dir) / f"{self.filename}.ckpt"
            trainer.save_checkpoint(path)
            rank_zero_info(
                f"Interrupted at step {trainer.global_step}. Saved {path}; resume with ckpt_path={path}"
            )
            raise KeyboardInterrupt

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
