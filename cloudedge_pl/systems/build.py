"""Puts a system together for one network and one fleet: its plan, costs, scheduler and rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.formulas import CostFormulas
from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.costs.profile import CostProfile
from cloudedge_pl.costs.roofline import exit_seconds
from cloudedge_pl.costs.split import SplitCosts, split_costs
from cloudedge_pl.dormancy import Decide, DormancyRule
from cloudedge_pl.errors import require_range
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.offloading import OffloadGoal, OffloadPlan, plan_offloading, with_picture_bytes
from cloudedge_pl.scheduling import Scheduler, create_scheduler
from cloudedge_pl.systems.bargaining import BargainingBalancer
from cloudedge_pl.systems.system import BARGAINING, System

SCORE_BYTES = 4
"""Of one class score, as float32."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Setting:
    """What all systems share.

    Args:
        profile: of the network.
        fleet: nodes, master, cloud and link.
        workload: its phase must be inference.
        num_classes: outputs of the network.
        goal: where the network is cut by a system of the cut "given", and the quality of JPEG.
        formulas: by which costs are computed.
        codec: form in which cut tensors are sent to the cloud.
        make_scheduler: returns a new scheduler, for systems without one of their own.
        dormancy: the rule of systems whose cloud sleeps.
        accuracy_gap: by how much the cloud is more accurate than the exit head, in [-1, 1].
        measure_picture: takes a form of pictures and returns their mean bytes; None if there are no pictures.

    Raises:
        ValueError: if the phase is training, or a value is outside its range.
    """

    profile: CostProfile
    fleet: Fleet
    workload: Workload
    num_classes: int
    goal: OffloadGoal = field(default_factory=OffloadGoal)
    formulas: CostFormulas = field(default_factory=CostFormulas)
    codec: CodecConfig = field(default_factory=CodecConfig)
    make_scheduler: Callable[[], Scheduler] = lambda: create_scheduler("min_completion")
    dormancy: DormancyRule = field(default_factory=DormancyRule)
    accuracy_gap: float = 0.1
    measure_picture: Callable[[InputCodec], float] | None = None

    def __post_init__(self) -> None:
        if self.workload.phase != "inference":
            raise ValueError(
                f"systems are compared in inference, and workload.phase is {self.workload.phase!r}; give "
                "workload=inference."
            )
        require_range("comparison", -1, 1, accuracy_gap=self.accuracy_gap)


@dataclass(frozen=True, eq=False, kw_only=True)
class BuiltSystem:
    """A system that is ready to run.

    Args:
        system: what it is.
        plan: where the network is cut, and what that costs.
        costs: of one task there, the exit head where the system has it.
        scheduler: new, so that nothing is left in it of another run.
        dormancy: the rule by which the cloud sleeps, or what chooses for each task who answers; None keeps it awake.
    """

    system: System
    plan: OffloadPlan
    costs: SplitCosts
    scheduler: Scheduler
    dormancy: DormancyRule | Decide | None

    @property
    def has_exit_head(self) -> bool:
        """Whether anyone but the cloud can answer a task that is cut."""
        return self.costs.exit_seconds > 0


def build_system(system: System, setting: Setting) -> BuiltSystem:
    """Plans a system and makes its parts.

    Raises:
        InfeasiblePlanError: if an objective finds no split point that keeps every limit.
        ValueError: if pictures are sent as JPEG, and their bytes are neither given nor measurable.
    """
    goal = _goal(system, setting)
    workload = replace(setting.workload, picture_bytes=None) if goal.picture.is_raw else setting.workload
    plan = plan_offloading(
        setting.profile,
        setting.fleet,
        with_picture_bytes(workload, goal, setting.measure_picture),
        goal=goal,
        formulas=setting.formulas,
        codec=setting.codec,
    )
    costs = split_costs(
        setting.profile, setting.fleet, plan.workload, plan.split_point, setting.formulas, setting.codec
    )
    if system.exits_on_node:
        costs = with_exits_on_nodes(costs, plan, setting.num_classes)
    dormancy: DormancyRule | Decide | None = setting.dormancy if system.sleeps else None
    if system.service is not None:
        dormancy = system.service.decide(costs, setting.fleet, setting.accuracy_gap)
    return BuiltSystem(
        system=system, plan=plan, costs=costs, scheduler=_scheduler(system, setting), dormancy=dormancy
    )


def _goal(system: System, setting: Setting) -> OffloadGoal:
    given = replace(setting.goal, input_codec=system.input_codec)
    if system.cut == "given":
        return given
    if system.cut in ("cloud", "edge"):
        at = 0 if system.cut == "cloud" else setting.profile.num_segments
        return replace(given, split_point=at, exclude_ends=False)
    return replace(given, objective=system.cut, split_point=None, exclude_ends=False)


def _scheduler(system: System, setting: Setting) -> Scheduler:
    """Returns a new scheduler."""
    if system.scheduler is None:
        return setting.make_scheduler()
    if system.scheduler == BARGAINING:
        return BargainingBalancer(arrival_rate=setting.workload.arrival_rate)
    return create_scheduler(system.scheduler)


def with_exits_on_nodes(costs: SplitCosts, plan: OffloadPlan, num_classes: int) -> SplitCosts:
    """Returns the costs of a cut if every node has an exit head: it computes for longer and sends class scores.

    The master takes the maximum over the scores, an operation a class.

    Args:
        costs: with the exit head on the master.
        plan: with the split point.
        num_classes: outputs of the network.
    """
    if costs.exit_seconds == 0:
        return costs
    at, profile, roofline = plan.split_point, plan.profile, plan.formulas.roofline
    heads = [exit_seconds(profile, node, roofline=roofline)[at] for node in plan.fleet.nodes]
    return replace(
        costs,
        execution_seconds=costs.execution_seconds + np.array(heads),
        exit_seconds=num_classes / plan.fleet.coordinator.effective_flops_per_second,
        exit_upload_bytes=float(SCORE_BYTES * num_classes),
        task_memory_bytes=costs.task_memory_bytes + float(profile.exit_activation_bytes[at]),
    )
