"""A system to compare with, as a frozen dataclass: what it changes, where it is from, and where it deviates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloudedge_pl.costs.input_codec import INPUT_CODECS
from cloudedge_pl.errors import lookup, require_fields
from cloudedge_pl.exits import EXIT_POLICIES
from cloudedge_pl.scheduling import SCHEDULERS
from cloudedge_pl.systems.services import Service

BARGAINING: Final = "bargaining"
"""The scheduler that only systems have: :class:`~cloudedge_pl.systems.bargaining.BargainingBalancer`."""

CUTS: Final = ("given", "cloud", "edge", "min_delay", "min_energy")
"""Where a system cuts: as the goal that is given says, at an end, or where an objective is best."""


@dataclass(frozen=True, kw_only=True)
class System:
    """A way to run one network on one fleet.

    Args:
        title: its name in tables and figures.
        cut: one of :data:`CUTS`. ``cloud`` and ``edge`` are split points 0 and N, whether they keep the plan's limits
            or not; the last two are objectives of the planner over all split points, the ends included.
        input_codec: the form in which pictures are sent at split point 0: "raw" or "jpeg".
        scheduler: a key of :data:`~cloudedge_pl.scheduling.SCHEDULERS`, or "bargaining"; None is the scheduler that is
            given.
        sleeps: whether the cloud sleeps by the rule that is given.
        exits: the policy by which the exit head answers while the cloud is awake; a key of
            :data:`~cloudedge_pl.exits.EXIT_POLICIES`.
        exit_method: how the threshold of the exits is calibrated: "ucb" or "crc"; None as the run's settings say.
        exits_on_node: whether every node has the exit head and sends class scores to the master; else the master has
            it and gets the cut tensors.
        service: chooses for each task who answers it, in place of dormancy; None leaves that to the other fields.
        source: where it is described.
        deviates: what is different here, or left open.

    Raises:
        ValueError: if a name is unknown, or the cloud both sleeps by a rule and is chosen for each task.
    """

    title: str
    cut: str = "given"
    input_codec: str = "raw"
    scheduler: str | None = None
    sleeps: bool = False
    exits: str = "none"
    exit_method: str | None = None
    exits_on_node: bool = False
    service: Service | None = None
    source: str = ""
    deviates: str = ""

    def __post_init__(self) -> None:
        owner = f"system {self.title!r}"
        require_fields(owner, self)
        lookup(CUTS, self.cut, "cut of a system")
        lookup(INPUT_CODECS, self.input_codec, "input codec")
        lookup(EXIT_POLICIES, self.exits, "exit policy")
        if self.exit_method is not None:
            lookup(("ucb", "crc"), self.exit_method, "method of calibration")
        if self.scheduler is not None:
            lookup((*SCHEDULERS, BARGAINING), self.scheduler, "scheduler")
        if self.sleeps and self.service is not None:
            raise ValueError(
                f"{owner} has sleeps=True and a service; both decide whether the cloud answers. Give one of them."
            )

    @property
    def may_exit(self) -> bool:
        """Whether the exit head answers samples of which it is sure."""
        return self.exits != "none"
