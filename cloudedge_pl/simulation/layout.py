"""Memory of the event engine: a row per task, node and station, and one record of scalars.

The compiled kernel and Python share these numpy structured arrays. The rows of the task table are those of tasks that
are in the system or about to arrive; a finished task leaves it as a row of
:class:`~cloudedge_pl.simulation.task_records.TaskRecords`.

A *job* is a task on one of its two ways: ``2 * row`` to the cloud, ``2 * row + 1`` to the exit head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

INPUTS = ("arrival", "size", "work", "noise", "slowdown", "deadline")
TIMES = ("window", "at_node", "started", "done", "sent", "arrived", "answered", "finished")
COSTS = ("upload_bytes", "exit_bytes", "download_bytes", "joules")

TASK = np.dtype(
    [(name, np.float64) for name in (*INPUTS, *TIMES, *COSTS)]
    + [
        ("task", np.int64),
        ("sample", np.int64),
        ("kind", np.int32),
        ("node", np.int32),
        ("owner", np.int32),
        ("successor", np.int32),
    ]
    + [("attempts", np.int32), ("queued", np.int32), ("next0", np.int32), ("next1", np.int32)]
    + [
        (name, np.int8)
        for name in ("exits", "decides", "state", "path", "awake", "pending", "needs_node", "diverted")
    ],
    align=True,
)
"""A task: its inputs, time stamps (nan until they are known), costs over all attempts, and where it is."""

WAITING, INSIDE, FINISHED, DEAD = range(4)
"""States of a row: waits at the master, is in the system, has left it, was replaced by a new attempt."""

NODE = np.dtype(
    [
        (name, np.float64)
        for name in (
            "execution_seconds",
            "jitter",
            "cloud_bits_per_second",
            "master_bits_per_second",
            "compute_watts",
            "transmit_watts",
            "queued_seconds",
            "running_until",
            "first_until",
            "promised_cloud_bits",
            "promised_exit_bits",
            "queued_cloud_bits",
            "queued_exit_bits",
            "sending_until",
            "busy_seconds",
            "joules",
            "upload_bytes",
            "download_bytes",
            "exit_upload_bytes",
            "exit_download_bytes",
            "up_since",
            "up_seconds",
        )
    ]
    + [
        ("tasks", np.int64),
        ("lost_tasks", np.int64),
        ("failures", np.int64),
        ("occupancy", np.int64),
        ("held_head", np.int64),
        ("held_tail", np.int64),
    ]
    + [("blocked", np.int64), ("stalled_next", np.int64), ("available", np.int8), ("alive", np.int8)],
    align=True,
)
"""A node: its speeds and powers, the work that is promised to it, and its accounts.

``compute_watts`` is what computing draws beyond idle power, ``queued_seconds`` the expected work of tasks that are
assigned and not started, ``occupancy`` their number without those held at the master. Transfers of tasks that are not
computed yet are promised, those that wait for the radio are queued. ``running_until`` and ``sending_until`` are the
expected ends of the running task and transfer. Where an idle node waits for an input, ``running_until`` is the input's
arrival; ``first_until`` is the expected end of the task that runs or will run first.
"""

STATION = np.dtype(
    [("busy_seconds", np.float64), ("queue_seconds", np.float64), ("changed", np.float64)]
    + [("started", np.float64), ("rest_bits", np.float64), ("free_since", np.float64)]
    + [(name, np.int64) for name in ("servers", "busy", "head", "tail", "length", "longest", "jobs", "job")],
    align=True,
)
"""A station: a first-come-first-served queue of jobs, and its servers.

``queue_seconds`` is the time integral of the queue's length. ``job``, ``started`` and ``rest_bits`` are those of the
job in service, at stations with one server.
"""

WORLD = np.dtype(
    [
        (name, np.float64)
        for name in (
            "clock",
            "link_known",
            "churn_known",
            "terminal_seconds",
            "exit_seconds",
            "cloud_seconds",
            "upload_bytes",
            "download_bytes",
            "exit_upload_bytes",
            "exit_download_bytes",
            "master_bits_per_second",
            "backhaul_bits_per_second",
            "backhaul_until",
            "mean_bits_per_second",
            "master_compute_watts",
            "master_transmit_watts",
            "master_joules",
            "window_seconds",
            "link_delay",
            "decided_at",
            "asleep_seconds",
        )
    ]
    + [
        (name, np.int64)
        for name in (
            "num_nodes",
            "num_rows",
            "num_rows_given",
            "first_open",
            "next_arrival",
            "open_rows",
            "final",
            "waiting_head",
            "waiting_tail",
            "num_waiting",
            "window_tasks",
            "window_due",
            "window_scheduled",
            "places_itself",
            "decides_itself",
            "has_rule",
            "awake",
            "training",
            "exit_policy",
            "node_capacity",
            "radio_capacity",
            "cloud_capacity",
            "overload",
            "cloud_used",
            "stalled_head",
            "stalled_tail",
            "heap_size",
            "sequence",
            "link_at",
            "link_count",
            "churn_at",
            "churn_count",
            "probes",
            "switches",
            "num_switches_kept",
            "num_available",
            "rows_room",
            "switches_room",
            "tasks_address",
            "nodes_address",
            "stations_address",
            "events_address",
            "segments_address",
            "changes_address",
            "switches_address",
        )
    ]
    + [("rule", np.float64, (16,)), ("dormancy", np.float64, (8,))],
    align=True,
)
"""Scalars: the clock, costs of a task of size and work 1, rules, and where the lists and the heap begin and end."""

BLOCK, REJECT, EXIT = range(3)
"""Policies of a full queue."""

EVENT = np.dtype([("time", np.float64), ("order", np.int64), ("item", np.int64)])
SEGMENT = np.dtype(
    [(name, np.float64) for name in ("start_seconds", "bits_per_second", "propagation_seconds")]
)
CHANGE = np.dtype([("seconds", np.float64), ("node", np.int64), ("kind", np.int64)])
SWITCH = np.dtype([("seconds", np.float64), ("awake", np.int64)])
"""Of the heap, the link, the churn, and the cloud's state."""

NOT_STALLED = -2
"""``stalled_next`` of a node whose radio does not wait for a place in the cloud."""

NODES, RADIOS, DOWNLINKS = range(3)
"""Groups of stations, ``num_nodes`` each; node j's radio is station ``RADIOS * num_nodes + j``."""
BACKHAUL, CLOUD_SERVERS, RECEIVER, EXIT_HEAD, SENDER = range(5)
"""Single stations, after ``3 * num_nodes`` others."""


World = Any
"""The world's record, as the kernel sees it."""


@dataclass
class Arrays:
    """All arrays of a running engine; the world holds the addresses of the others.

    Args:
        world: [1] of WORLD.
        tasks: [room] of TASK, as the others.
        nodes: [num_nodes].
        stations: [num_stations].
        events: [room], the heap.
        segments: [link_count].
        changes: [churn_count].
        switches: [room].
    """

    world: np.ndarray
    tasks: np.ndarray
    nodes: np.ndarray
    stations: np.ndarray
    events: np.ndarray
    segments: np.ndarray
    changes: np.ndarray
    switches: np.ndarray

    def __post_init__(self) -> None:
        self.publish()

    def publish(self) -> None:
        """Tells the world where the arrays are; to be called whenever one of them was replaced."""
        for name in ("tasks", "nodes", "stations", "events", "segments", "changes", "switches"):
            self.world[f"{name}_address"] = getattr(self, name).ctypes.data
        self.world["rows_room"], self.world["switches_room"] = len(self.tasks), len(self.switches)
