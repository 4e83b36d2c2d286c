"""Other ways to compute a module, in place of its own ``forward`` for a while."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from torch import Tensor, nn

from cloudedge_pl.partition.standing_in import replaced

M = TypeVar("M", bound=nn.Module)


class StandIn(ABC, Generic[M]):
    """Computes what a module does, in another way.

    Args:
        module: whose ``forward`` it stands in for.
    """

    def __init__(self, module: M) -> None:
        self.module = module

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Returns what ``forward`` does."""


def standing_in(stand_ins: Sequence[StandIn]) -> AbstractContextManager[None]:
    """Inside, the modules compute by their stand-ins, the innermost one where there are several.

    A module that has a ``forward`` of its own, not its class's, keeps it: somebody has put it there, and what it does
    is not known.
    """
    return replaced([(each.module, "forward", each) for each in stand_ins if not _has_its_own(each.module)])


def _has_its_own(module: nn.Module) -> bool:
    forward = module.__dict__.get("forward")
    return forward is not None and not isinstance(forward, StandIn)
