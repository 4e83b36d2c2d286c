"""What all kinds of links share: settings, and the process that gives a link's segments block by block."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cloudedge_pl.errors import CheckpointError, require_fields, require_seed
from cloudedge_pl.fleet import Link
from cloudedge_pl.simulation.link_segments import LinkSegments, with_outages


class Place(NamedTuple):
    """Where a process stands: all that its next block depends on, besides settings and seed."""

    block: int = 0
    """Number of the next block."""
    start_seconds: float = 0.0
    """Start of the next block; inf behind a block that lasts for ever."""
    carried: float = 0.0
    """What a law carries from block to block, such as the last value of an autoregressive series."""


@dataclass(frozen=True, kw_only=True)
class LinkSettings(ABC):
    """What all links have in common.

    Args:
        outages: pairs of start and end in seconds, ascending and apart. The rate is 0 in between.

    Raises:
        ValueError: if a value is outside its range.
    """

    outages: Sequence[Sequence[float]] = ()

    def __post_init__(self) -> None:
        require_fields(self._owner, self)
        pairs = tuple(tuple(pair) for pair in self.outages)
        object.__setattr__(self, "outages", pairs)
        before = 0.0
        for row, pair in enumerate(pairs):
            if len(pair) != 2 or not before <= pair[0] < pair[1] < math.inf:
                raise ValueError(
                    f"{self._owner}: outages[{row}] is {list(pair)}; it must be [start, end] in seconds with "
                    f"{before:g} <= start < end < inf, behind the outage before it."
                )
            before = pair[1]

    @property
    def _owner(self) -> str:
        """Name of these settings in messages."""
        return f"link_process {type(self).__name__}"

    def process(self, link: Link, seed: int = 0) -> LinkProcess:
        """Makes a process that starts at 0 s.

        Args:
            link: gives the mean or usual rate and propagation delay.
            seed: of the draws.
        """
        require_seed(self._owner, seed=seed)
        return LinkProcess(self, link, seed)

    @abstractmethod
    def draw(self, link: Link, seed: int, place: Place) -> tuple[LinkSegments, float]:
        """Draws a block, without outages.

        The block starts at ``place.start_seconds`` and depends on nothing but the arguments.

        Returns:
            The block, and what is carried to the next.
        """


class LinkProcess:
    """A link over time, drawn when it is asked for.

    A reader that must see its present block again after a resumption keeps the :meth:`state_dict` from before that
    block's :meth:`next`.

    Args:
        settings: of the link.
        link: gives the usual rate and propagation delay.
        seed: of the draws.
    """

    def __init__(self, settings: LinkSettings, link: Link, seed: int) -> None:
        self.settings, self.link, self.seed = settings, link, seed
        self._place = Place()

    def next(self) -> LinkSegments:
        """Returns the block behind the last one; the first starts at 0 s, and each where its predecessor ends.

        Raises:
            RuntimeError: if the last block lasts for ever.
        """
        if math.isinf(self._place.start_seconds):
            raise RuntimeError("the link's last block lasts for ever; there is none behind it.")
        segments, carried = self.settings.draw(self.link, self.seed, self._place)
        self._place = Place(self._place.block + 1, segments.end_seconds, carried)
        return with_outages(segments, self.settings.outages)

    def state_dict(self) -> dict[str, Any]:
        """Where the process stands: four plain values."""
        return {"settings": type(self.settings).__name__, **self._place._asdict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            CheckpointError: if the state belongs to a link of another kind.
        """
        ours, theirs = type(self.settings).__name__, state.get("settings")
        if theirs != ours:
            raise CheckpointError(
                f"the checkpoint's link is {theirs}, this run's is {ours}; resume with the link of the checkpoint."
            )
        self._place = Place(**{field: state[field] for field in Place._fields})
