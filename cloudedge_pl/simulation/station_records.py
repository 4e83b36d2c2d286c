"""How busy every station of a run was, and how long its queue."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from cloudedge_pl.errors import lookup, require_fields, require_range

STATIONS: Final = {
    "node": "node",
    "radio": "radio",
    "backhaul": "backhaul",
    "cloud": "cloud",
    "downlink": "downlink",
    "receiver": "master's receiver",
    "exit_head": "exit head",
    "sender": "master's sender",
}
"""Kinds of stations in the order in which a task meets them, and what people call them.

A node, its radio and its downlink from the cloud are three stations. The others exist once: the way that all transfers
to the cloud share, the cloud's servers, and on the master what receives cut tensors, answers, and sends gradients.
"""


@dataclass(frozen=True, kw_only=True)
class StationRecord:
    """The statistics of one station: a queue, first come, first served, and its servers.

    Args:
        kind: a key of :data:`STATIONS`.
        machine: name of the node that it belongs to; empty for a station that exists once.
        servers: jobs that are served at once.
        jobs: jobs that were served, whole or in part.
        busy_seconds: time in service, summed over servers; a server that a full queue behind it blocks is not busy.
        mean_queue: mean number of waiting jobs over the elapsed time, without those in service.
        max_queue: most jobs that waited at once.
        utilisation: share of the servers' time in service.

    Raises:
        ValueError: if a value is outside its range.
    """

    kind: str
    machine: str = ""
    servers: int = 1
    jobs: int = 0
    busy_seconds: float = 0.0
    mean_queue: float = 0.0
    max_queue: int = 0
    utilisation: float = 0.0

    def __post_init__(self) -> None:
        require_fields("station", self)
        lookup(STATIONS, self.kind, "kind of station")
        require_range("station", 1, math.inf, open_high=True, servers=self.servers)
        require_range("station", 0, math.inf, jobs=self.jobs, max_queue=self.max_queue)
        require_range("station", 0, math.inf, busy_seconds=self.busy_seconds, mean_queue=self.mean_queue)
        require_range("station", 0, 1 + 1e-9, utilisation=self.utilisation)

    @property
    def name(self) -> str:
        """A unique name, such as "radio of jetson-nano-3" or "cloud"."""
        return f"{STATIONS[self.kind]} of {self.machine}" if self.machine else STATIONS[self.kind]

    @classmethod
    def over(
        cls,
        kind: str,
        machine: str = "",
        *,
        elapsed_seconds: float,
        busy_seconds: float,
        queue_seconds: float,
        servers: int = 1,
        jobs: int = 0,
        max_queue: int = 0,
    ) -> StationRecord:
        """Computes means over an elapsed time; they are 0 if no time has passed.

        Args:
            kind: a key of :data:`STATIONS`.
            machine: name of the node that it belongs to.
            elapsed_seconds: time from the start of the run.
            busy_seconds: as in the record.
            queue_seconds: number of waiting jobs, integrated over time.
            servers: as in the record, like all that follow.
            jobs: served.
            max_queue: waiting at once.
        """
        return cls(
            kind=kind,
            machine=machine,
            servers=servers,
            jobs=jobs,
            busy_seconds=busy_seconds,
            mean_queue=queue_seconds / elapsed_seconds if elapsed_seconds else 0.0,
            max_queue=max_queue,
            utilisation=busy_seconds / (servers * elapsed_seconds) if elapsed_seconds else 0.0,
        )
