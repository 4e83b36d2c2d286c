"""Other ways to compute a module, in place of its own ``forward`` for a while."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from torch import Tensor, nn

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


@contextmanager
def standing_in(stand_ins: Sequence[StandIn]) -> Iterator[None]:
    """Inside, the modules compute by their stand-ins, the innermost one where there are several.

    A module that has a ``forward`` of its own, not its class's, keeps it: somebody has put it there, and what it does
    is not known.
    """
    taken = [
        (stand_in.module.__dict__, stand_in) for stand_in in stand_ins if not _has_its_own(stand_in.module)
    ]
    before = [attributes.get("forward") for attributes, _ in taken]
    for attributes, stand_in in taken:
        attributes["forward"] = stand_in
    try:
        yield
    finally:
        for (attributes, _), earlier in zip(taken, before, strict=True):
            if earlier is None:
                del attributes["forward"]
            else:
                attributes["forward"] = earlier


def _has_its_own(module: nn.Module) -> bool:
    forward = module.__dict__.get("forward")
    return forward is not None and not isinstance(forward, StandIn)
