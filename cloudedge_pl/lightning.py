"""Lightning as this process uses it: ``pytorch_lightning`` or ``lightning.pytorch`` (:mod:`cloudedge_pl.namespace`).

Whatever of the package derives from a class of Lightning, or compares with one, takes it from here. Configs do, too:
``_target_: cloudedge_pl.lightning.pl.Trainer``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from cloudedge_pl.namespace import PACKAGES, namespace

if TYPE_CHECKING:
    import pytorch_lightning as pl
else:
    pl = import_module(PACKAGES[namespace()])

__all__ = ["pl"]
