"""Keeps out of the commands' output what Lightning says and a user of the commands can do nothing with.

The process is ours only here: whoever uses the package as a library hears all of it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = tuple(
    f"{package}.utilities.rank_zero"
    for package in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric")
)

SAID = {
    "litlogger": "an advertisement; loggers are chosen in the config",
    "TPU available": "nothing here runs on one",
    "estimate number of stepping batches": "how the learning rate's schedule finds its length",
}
"""Part of what Lightning says, and why it is left out."""


def _is_for_the_user(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(part in message for part in SAID)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Leaves :data:`SAID` out of the log, and one warning about Lightning's own code."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(_is_for_the_user)
    with warnings.catch_warnings():
        # Lightning 2.6 flattens batches with a class that newer versions of torch call deprecated.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(_is_for_the_user)
