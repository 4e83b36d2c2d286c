"""metrics.csv of a training that goes on in the folder of its run: the rows up to its checkpoint stay."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

from typing_extensions import override

from cloudedge_pl.lightning import pl


class EarlierMetrics(pl.Callback):
    """Keeps the rows of an earlier part of the training, which Lightning's CSVLogger would delete.

    Args:
        logger: whose file exists.
    """

    def __init__(self, logger: pl.loggers.CSVLogger) -> None:
        self._logger = logger
        with metrics_path(logger).open(newline="", encoding="utf-8") as file:
            rows = [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(file)]
        self._rows = [row for row in rows if "step" in row]

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the rows of the steps before the checkpoint; those after it are trained again."""
        kept = [row for row in self._rows if int(row["step"]) < trainer.global_step]
        self._logger.experiment.metrics[:0] = kept


def metrics_path(logger: pl.loggers.CSVLogger) -> Path:
    """Returns the path of a logger's file."""
    return Path(logger.log_dir, "metrics.csv")


def open_metrics(logger: pl.loggers.Logger, goes_on: bool) -> EarlierMetrics | None:
    """Opens the file of a CSVLogger, without its warning about the folder unless it deletes metrics.

    Hydra's files in the folder of the run are not deleted.

    Args:
        logger: of the run.
        goes_on: whether the training goes on in the folder of its run.

    Returns:
        What keeps the metrics so far, if there are any to keep.
    """
    if not isinstance(logger, pl.loggers.CSVLogger):
        return None
    there = metrics_path(logger).is_file()
    earlier = EarlierMetrics(logger) if there and goes_on else None
    with warnings.catch_warnings():
        if earlier is not None or not there:
            warnings.filterwarnings("ignore", "Experiment logs directory .* is not empty", UserWarning)
        _ = logger.experiment  # created on first access
    return earlier
