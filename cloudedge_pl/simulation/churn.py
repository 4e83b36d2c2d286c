"""Nodes that fail, are repaired, leave and join, as settings and as a process that gives the events in order.

A node is up if its given events let it be there and it is not under repair from a failure at random.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cloudedge_pl.errors import (
    lookup,
    require_fields,
    require_positive,
    require_range,
    require_saved,
    require_seed,
)
from cloudedge_pl.simulation.events import FAIL, JOIN, LEAVE
from cloudedge_pl.text_tables import read_timed_csv

KINDS = {"join": JOIN, "leave": LEAVE, "fail": FAIL}
"""What may happen to a node: it takes tasks again; it takes no more and finishes those that it has; it loses them."""

BLOCK_SECONDS = 3600.0
"""Failures are drawn for so much time at once."""

STREAM = 0x636875726E
"""Part of every seed here; it keeps the draws apart from others that are made from the same seed."""

Row = tuple[float, str, str, str]
"""Time, node, event, and where it is given."""


@dataclass(frozen=True, eq=False)
class ChurnEvents:
    """Events in order of time, as columns [num_events].

    Args:
        time_seconds: on the virtual clock, float64.
        node: index of the node, int32.
        kind: a value of :data:`KINDS`, int8.
    """

    time_seconds: np.ndarray
    node: np.ndarray
    kind: np.ndarray

    def __len__(self) -> int:
        return len(self.time_seconds)


@dataclass(frozen=True, kw_only=True)
class Churn:
    """Failures at random, and events that are given.

    Args:
        failures_per_hour: mean number of failures per hour that a node is up; the times between them are exponential;
            in [0, 1e6].
        repair_seconds: mean time until a node that failed at random joins again, exponential.
        events: path of a CSV file with the columns ``t_seconds``, ``node`` (its name) and ``event`` (join, leave or
            fail), in order of time; or rows of these three. A node stays away until its next join. Nothing fails at
            random meanwhile, and a join in the midst of a repair takes effect at its end.
        absent: names of the nodes that are absent at the start.

    Raises:
        ValueError: if a value is outside its range; for a file the message names the line.
    """

    failures_per_hour: float = 0.0
    repair_seconds: float = 60.0
    events: str | os.PathLike[str] | Sequence[Sequence[Any]] = ()
    absent: Sequence[str] = ()

    def __post_init__(self) -> None:
        require_fields("churn", self)
        object.__setattr__(self, "absent", tuple(self.absent))
        if not isinstance(self.events, (str, os.PathLike)):
            object.__setattr__(self, "events", tuple(tuple(row) for row in self.events))
        require_range("churn", 0, 1e6, failures_per_hour=self.failures_per_hour)
        require_positive("churn", repair_seconds=self.repair_seconds)
        _ = self.rows  # read now

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The events that are given."""
        if isinstance(self.events, (str, os.PathLike)):
            rows = _from_file(Path(self.events).expanduser())
        else:
            rows = _from_rows(self.events)
        for _, _, event, place in rows:
            lookup(KINDS, event, f"event of churn in {place}:")
        return rows

    @property
    def fails(self) -> bool:
        """Whether a node may fail."""
        return self.failures_per_hour > 0 or any(event == "fail" for _, _, event, _ in self.rows)

    def process(self, node_names: Sequence[str], seed: int = 0) -> ChurnProcess:
        """Makes a process that starts at 0 s.

        Args:
            node_names: of the fleet, in order.
            seed: of the draws.

        Raises:
            ValueError: if a node is unknown.
        """
        return ChurnProcess(self, node_names, seed)


def _from_file(path: Path) -> tuple[Row, ...]:
    times, rows = read_timed_csv(path, ("node", "event"))
    return tuple(
        (seconds, cells["node"], cells["event"], f"{path}, line {at}")
        for seconds, (at, cells) in zip(times, rows, strict=True)
    )


def _from_rows(given: Sequence[Sequence[Any]]) -> tuple[Row, ...]:
    rows: list[Row] = []
    before = 0.0
    for at, row in enumerate(given):
        if len(row) != 3:
            raise ValueError(f"churn: events[{at}] is {list(row)}; write time in seconds, node and event.")
        values: dict[str, Any] = {f"events[{at}] seconds": row[0]}
        require_range("churn", before, math.inf, open_high=True, **values)
        before = float(row[0])
        rows.append((before, row[1], row[2], f"churn.events[{at}]"))
    return tuple(rows)


class ChurnProcess:
    """Events of a fleet's churn, drawn when they are asked for.

    Args:
        settings: of the churn.
        node_names: of the fleet, in order.
        seed: of the draws.

    Attributes:
        absent: indices of the nodes that are absent at the start.
        changes: whether anything ever happens.
    """

    def __init__(self, settings: Churn, node_names: Sequence[str], seed: int = 0) -> None:
        require_seed("churn", seed=seed)
        self.settings, self.seed = settings, seed
        index = {name: node for node, name in enumerate(node_names)}
        self.absent = [lookup(index, name, "node in churn.absent:") for name in settings.absent]
        self.changes = bool(settings.rows) or settings.failures_per_hour > 0
        self._fails = settings.failures_per_hour > 0
        self._times = np.array([row[0] for row in settings.rows], dtype=np.float64)
        self._nodes = np.array(
            [lookup(index, name, f"node in {place}:") for _, name, _, place in settings.rows], dtype=np.int32
        )
        self._kinds = np.array([KINDS[event] for _, _, event, _ in settings.rows], dtype=np.int8)
        self._num_nodes = len(node_names)
        self._restart()

    def _restart(self) -> None:
        """Goes back to 0 s."""
        self._known_seconds, self._next_block = 0.0, 0
        # At the start of the next block: which nodes are not under repair, which are away by the given events, and of
        # which the last event was that they left. Others that are away or under repair have failed.
        self._running = np.ones(self._num_nodes, dtype=bool)
        self._away, self._left = set(self.absent), set(self.absent)
        self._entry: dict[str, Any] = {}
        self._block = ChurnEvents(np.empty(0), np.empty(0, np.int32), np.empty(0, np.int8))

    def horizon(self, known_seconds: float) -> float:
        """Returns until when the next :meth:`until` can know; infinite where only given events are left."""
        return known_seconds + BLOCK_SECONDS if self._fails else math.inf

    def until(self, seconds: float) -> ChurnEvents:
        """Returns the events before ``seconds`` that were not returned yet.

        Args:
            seconds: on the virtual clock; infinite only where nothing fails at random.

        Raises:
            ValueError: if it is infinite and failures never end.
        """
        if self._fails and not seconds < math.inf:
            raise ValueError(f"churn: events until {seconds} s have no end; ask until a finite time.")
        parts = [self._between(self._known_seconds, seconds)]
        while self._end_of_block() < seconds:
            self._advance()
            parts.append(self._between(self._known_seconds, seconds))
        self._known_seconds = max(self._known_seconds, seconds)
        columns = ("time_seconds", "node", "kind")
        return ChurnEvents(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    def _end_of_block(self) -> float:
        """End of the block drawn last; without failures at random one block lasts for ever."""
        return math.inf if self._next_block and not self._fails else self._next_block * BLOCK_SECONDS

    def _between(self, low: float, high: float) -> ChurnEvents:
        rows = slice(*np.searchsorted(self._block.time_seconds, [low, high]))
        block = self._block
        return ChurnEvents(block.time_seconds[rows], block.node[rows], block.kind[rows])

    def _advance(self) -> None:
        """Draws the next block."""
        self._entry = {
            "repaired": np.flatnonzero(~self._running).tolist(),
            "away": sorted(self._away),
            "left": sorted(self._left),
        }
        start = self._end_of_block()
        self._next_block += 1
        end = self._end_of_block()
        given = slice(*np.searchsorted(self._times, [start, end]))
        parts: list[tuple[np.ndarray, ...]] = [
            (self._times[given], self._nodes[given], self._kinds[given], np.ones(given.stop - given.start))
        ]
        under_repair = ~self._running
        if self._fails:
            parts += self._draw(start, end)
        times, nodes, kinds, by_hand = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(times, kind="stable")
        times, nodes, kinds, by_hand = times[order], nodes[order], kinds[order], by_hand[order]
        kept = self._kept(nodes, kinds, by_hand, under_repair)
        self._block = ChurnEvents(times[kept], nodes[kept].astype(np.int32), kinds[kept].astype(np.int8))

    def _draw(self, start: float, end: float) -> list[tuple[np.ndarray, ...]]:
        """Draws failures and repairs of one block; exponential times need no memory of the block before."""
        random = np.random.default_rng([self.seed, self._next_block, STREAM])
        means = np.array([self.settings.repair_seconds, 3600.0 / self.settings.failures_per_hour])
        nodes, clock = np.arange(self._num_nodes), np.full(self._num_nodes, start)
        parts: list[tuple[np.ndarray, ...]] = []
        while len(nodes):
            clock = clock + random.standard_exponential(len(nodes)) * means[self._running[nodes].astype(int)]
            before = clock < end
            nodes, clock = nodes[before], clock[before]
            kinds = np.where(self._running[nodes], FAIL, JOIN)
            self._running[nodes] = ~self._running[nodes]
            parts.append((clock, nodes, kinds, np.zeros(len(nodes))))
        return parts

    def _kept(
        self, nodes: np.ndarray, kinds: np.ndarray, by_hand: np.ndarray, under_repair: np.ndarray
    ) -> np.ndarray:
        """Which events of a block change anything, bool [num_events]; updates which nodes are away."""
        kept = np.ones(len(nodes), dtype=bool)
        touched = np.zeros(self._num_nodes, dtype=bool)
        touched[nodes[by_hand > 0]] = True
        touched[list(self._away | self._left)] = True
        for row in np.flatnonzero(touched[nodes]):
            node, kind = int(nodes[row]), int(kinds[row])
            away = node in self._away
            if not by_hand[row]:
                under_repair[node] = kind == FAIL
                kept[row] = not away
            elif kind == JOIN:
                kept[row] = away and not under_repair[node]
                self._away.discard(node)
            else:
                left = node in self._left
                kept[row] = kind == FAIL if left else not away and not under_repair[node]
                self._away.add(node)
            if kept[row]:
                (self._left.add if kind == LEAVE else self._left.discard)(node)
        return kept

    def state_dict(self) -> dict[str, Any]:
        """Where the process stands, as plain containers; it grows only with the nodes that are not up."""
        return {"known_seconds": self._known_seconds, "next_block": self._next_block, **self._entry}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            CheckpointError: if an earlier version wrote it.
        """
        if state["next_block"]:
            require_saved("churn has", state, ("repaired", "away", "left"))
        self._restart()
        self._known_seconds = float(state["known_seconds"])
        if state["next_block"]:
            self._next_block = int(state["next_block"]) - 1
            self._running[state["repaired"]] = False
            self._away, self._left = (set(map(int, state[key])) for key in ("away", "left"))
            self._advance()
