"""The conditions under which a fleet works, beyond its machines and its link's figures: one frozen dataclass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cloudedge_pl.errors import lookup, require_fields, require_positive, require_range
from cloudedge_pl.fleet import Phase
from cloudedge_pl.settings import as_settings
from cloudedge_pl.simulation.churn import Churn
from cloudedge_pl.simulation.layout import BLOCK, EXIT, REJECT
from cloudedge_pl.simulation.links import LINKS, LinkSettings
from cloudedge_pl.simulation.tasks import ServiceNoise, TaskClass

OVERLOAD = {"block": BLOCK, "reject": REJECT, "exit": EXIT}
"""What happens to a task that meets a full queue."""


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """Lengths of the queues, and what happens to a task that meets a full one.

    ``block``: it waits where it is, at the master or on its node, which stays occupied; a transfer to a full cloud does
    not begin. ``reject``: it leaves the system and is counted. ``exit``: where the cloud is full, the exit head
    answers; elsewhere the task is rejected.

    Args:
        node_tasks: tasks that wait at a node or are on their way to it; None is no limit, as for all that follow.
        radio_transfers: transfers that wait for a node's radio.
        cloud_tasks: tasks that wait in the cloud or are on their way to it.
        policy: block, reject or exit.

    Raises:
        ValueError: if a value is outside its range.
    """

    node_tasks: int | None = None
    radio_transfers: int | None = None
    cloud_tasks: int | None = None
    policy: str = "block"

    def __post_init__(self) -> None:
        require_fields("queues", self)
        lookup(OVERLOAD, self.policy, "policy of full queues")
        for name in ("node_tasks", "radio_transfers", "cloud_tasks"):
            limit = getattr(self, name)
            if limit is not None:
                require_range("queues", 0, math.inf, open_high=True, whole=True, **{name: limit})


@dataclass(frozen=True, kw_only=True)
class WindowRule:
    """When a window of waiting tasks opens, in inference: by count or by time.

    Args:
        tasks: it opens when so many tasks wait; 1 dispatches every task at its arrival.
        seconds: it opens at multiples of this time if a task waits; None goes by count.

    Raises:
        ValueError: if a value is outside its range.
    """

    tasks: int = 1
    seconds: float | None = None

    def __post_init__(self) -> None:
        require_fields("window", self)
        require_range("window", 1, math.inf, open_high=True, whole=True, tasks=self.tasks)
        if self.seconds is not None:
            require_positive("window", seconds=self.seconds)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How the link varies, which nodes fail, how service times vary, how long queues are, and when windows open.

    Args:
        link: how the link between edge and cloud changes with time; made by a class of
            :data:`~cloudedge_pl.simulation.links.LINKS`.
        classes: kinds of tasks, as objects or mappings of their fields; none: all tasks are equal.
        churn: nodes that join, leave and fail.
        service: how a node's service times vary.
        queues: limits of queues.
        window: when windows open in inference; a training step is one window.
        cloud_servers: tasks that the cloud serves at once.
        backhaul_bits_per_second: capacity that all transfers to the cloud share, one at a time; infinite is none.

    Raises:
        ValueError: if a value is outside its range.
    """

    link: LinkSettings = field(default_factory=LINKS["lognormal"])
    churn: Churn = field(default_factory=Churn)
    classes: Sequence[TaskClass | Mapping[str, Any]] = ()
    service: ServiceNoise = field(default_factory=ServiceNoise)
    queues: QueueLimits = field(default_factory=QueueLimits)
    window: WindowRule = field(default_factory=WindowRule)
    cloud_servers: int = 1
    backhaul_bits_per_second: float = math.inf

    def __post_init__(self) -> None:
        require_fields("scenario", self)
        classes = tuple(as_settings(TaskClass, each, "a task class") for each in self.classes)
        object.__setattr__(self, "classes", classes)
        kinds: dict[str, type[Any]] = {"queues": QueueLimits, "window": WindowRule, "service": ServiceNoise}
        for name, kind in kinds.items():
            if isinstance(getattr(self, name), Mapping):
                object.__setattr__(self, name, as_settings(kind, getattr(self, name), name))
        require_range("scenario", 1, 1_000_000, whole=True, cloud_servers=self.cloud_servers)
        require_positive(
            "scenario", allow_infinite=True, backhaul_bits_per_second=self.backhaul_bits_per_second
        )

    @property
    def equal_tasks(self) -> bool:
        """Whether all tasks are equal and take the time that the scheduler expects.

        Dispatched one by one, such tasks leave a scheduler nothing to decide: each goes to the node that finishes it
        first.
        """
        service = self.service
        steady = service.straggler_probability == 0 and not np.any(service.jitter)
        return len({(each.size, each.work) for each in self.task_classes}) == 1 and steady

    @property
    def task_classes(self) -> tuple[TaskClass, ...]:
        """The kinds of tasks as objects."""
        return tuple(each for each in self.classes if isinstance(each, TaskClass)) or (TaskClass(),)

    def check_phase(self, phase: Phase) -> None:
        """Raises ValueError if training would lose samples: its gradients are waited for, so queues must block."""
        queues = self.queues
        limited = [queues.node_tasks, queues.radio_transfers, queues.cloud_tasks] != [None, None, None]
        if phase == "training" and limited and queues.policy != "block":
            raise ValueError(
                f'queues: policy is "{queues.policy}"; in training every sample is answered, so full queues must '
                'block: policy="block", or no limits.'
            )
