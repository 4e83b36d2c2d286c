"""Which node runs which task: one protocol, one registry, from first come first served to an ant colony.

``schedule(times)`` answers one question; ``create_scheduler(name)`` makes a scheduler that learns from window to
window.
"""

from __future__ import annotations

from cloudedge_pl.scheduling.registry import SCHEDULERS, as_scheduler, create_scheduler, schedule
from cloudedge_pl.scheduling.sliding_window import StreamSchedule, schedule_stream
from cloudedge_pl.scheduling.types import Assignment, NodeState, Scheduler, TaskWindow

__all__ = [
    "SCHEDULERS",
    "Assignment",
    "NodeState",
    "Scheduler",
    "StreamSchedule",
    "TaskWindow",
    "as_scheduler",
    "create_scheduler",
    "schedule",
    "schedule_stream",
]
