"""Handles Ctrl-C and SIGTERM between two steps, and saves a checkpoint to resume from."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from typing_extensions import override

from cloudedge_pl.lightning import pl
from cloudedge_pl.signals import Interrupted, SignalHandlers


class InterruptCheckpoint(pl.callbacks.Checkpoint):
    """On Ctrl-C or SIGTERM finishes the batch, saves a checkpoint and raises :class:`Interrupted`.

    It acts during training and its validation; outside of them there is no state to lose. A validation that runs, or
    is due after the batch, is finished as well: a resumed training does not repeat it. A second signal stops
    immediately, without a checkpoint. ``Interrupted`` is a ``SystemExit``: the exit status is 130 after Ctrl-C and 143
    after SIGTERM.

    It is a ``Checkpoint``, so that Lightning runs it after every callback whose state it saves.

    Args:
        dirpath: folder of the checkpoint; None takes the trainer's default root.
        filename: name of the checkpoint, without its ending.
    """

    def __init__(self, dirpath: str | None = None, filename: str = "interrupted") -> None:
        self.dirpath, self.filename = dirpath, filename
        self._handlers = SignalHandlers(self._note)
        self._signum: int | None = None
        self._in_step = False

    def _note(self, signum: int) -> None:
        if self._signum is not None:
            self._signum = None
            self._handlers.restore()
            raise Interrupted(signum, at_once=True)
        self._signum = signum
        name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
        pl.utilities.rank_zero_info(
            f"\n{name}: finishing the batch or validation and saving a checkpoint; once more stops at once."
        )

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Lightning itself records a SIGTERM that arrives during its set-up.
        self._signum = signal.SIGTERM if trainer.received_sigterm else None
        self._in_step = False
        self._handlers.install()

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._in_step = True

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._in_step = False
        if not _validation_follows(trainer):
            self._stop_if_asked(trainer)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_if_asked(trainer)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_if_asked(trainer)
        self._handlers.restore()

    @override
    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Saves also if no batch came because Ctrl-C reached the DataLoader's workers too."""
        self._handlers.restore()
        if not self._in_step and not isinstance(exception, Interrupted):
            self._stop_if_asked(trainer)

    @override
    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._handlers.restore()

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        if self._signum is None:
            return
        path = Path(self.dirpath or trainer.default_root_dir) / f"{self.filename}.ckpt"
        trainer.save_checkpoint(path)
        signum, self._signum = self._signum, None
        self._handlers.restore()
        pl.utilities.rank_zero_info(
            f"Interrupted at step {trainer.global_step}. Saved {path}; resume with ckpt_path={path}"
        )
        raise Interrupted(signum, checkpoint=path)


def _validation_follows(trainer: pl.Trainer) -> bool:
    """Whether a validation is due after the training batch that ends."""
    fetcher = trainer.fit_loop._data_fetcher
    return fetcher is not None and trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)
