"""Which node runs which task: one protocol, one registry, from first come first served to an ant colony.

``schedule(times)`` schedules one window. ``create_scheduler(name)`` makes a scheduler that learns from window to
window.
"""

from __future__ import annotations

from cloudedge_pl.scheduling.atsa import AdaptiveTaskScheduler
from cloudedge_pl.scheduling.exact import ExactScheduler
from cloudedge_pl.scheduling.lists import (
    FirstComeFirstServed,
    LongestProcessingTime,
    MaxMin,
    MinCompletion,
    MinMin,
    RandomScheduler,
    RoundRobin,
    Sufferage,
    WorkStealing,
)
from cloudedge_pl.scheduling.registry import SCHEDULERS, as_scheduler, create_scheduler, schedule
from cloudedge_pl.scheduling.sliding_window import StreamSchedule, schedule_stream
from cloudedge_pl.scheduling.swarms import AntSystem, ParticleSwarm, PrintedAdaptiveTaskScheduler
from cloudedge_pl.scheduling.types import Assignment, NodeState, Scheduler, TaskWindow

__all__ = [
    "SCHEDULERS",
    "AdaptiveTaskScheduler",
    "AntSystem",
    "Assignment",
    "ExactScheduler",
    "FirstComeFirstServed",
    "LongestProcessingTime",
    "MaxMin",
    "MinCompletion",
    "MinMin",
    "NodeState",
    "ParticleSwarm",
    "PrintedAdaptiveTaskScheduler",
    "RandomScheduler",
    "RoundRobin",
    "Scheduler",
    "StreamSchedule",
    "Sufferage",
    "TaskWindow",
    "WorkStealing",
    "as_scheduler",
    "create_scheduler",
    "schedule",
    "schedule_stream",
]
