"""Removes messages of Lightning and other packages that do not help a user of the commands.

This happens in the commands only. Programs that use the package as a library see all messages.
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
"""Parts of Lightning's messages, and why they are removed."""


OTHERS = ("alembic",)
"""Packages that report on themselves; their warnings stay."""


def _is_for_the_user(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(part in message for part in SAID)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Removes :data:`SAID` from the log, and one warning about Lightning's own code."""
    for name in OTHERS:
        logging.getLogger(name).setLevel(logging.WARNING)
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
