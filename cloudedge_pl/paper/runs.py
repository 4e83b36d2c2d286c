"""Systems at the points of a sweep. All of them run in the event engine, as those of ``cloudedge compare`` do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.costs.transmission import cloud_rate_bits_per_second, master_rate_bits_per_second
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.errors import InfeasiblePlanError
from cloudedge_pl.fleet import Fleet
from cloudedge_pl.offloading import OffloadGoal
from cloudedge_pl.paper.setting import PaperSetting
from cloudedge_pl.simulation.arrivals import PoissonArrivals
from cloudedge_pl.simulation.task_records import TaskRecords
from cloudedge_pl.simulation.task_source import TaskSource
from cloudedge_pl.simulation.tasks import TaskClass
from cloudedge_pl.systems import (
    BuiltSystem,
    Setting,
    System,
    SystemResult,
    build_system,
    simulate_system,
    system_result,
)

LEAST_GAIN = 0.005
"""Values that differ by less than this share are taken for equal, because the simulations draw at random."""


def lower(value: float, other: float) -> bool:
    """Whether a value is lower than another by more than chance."""
    return value < (1 - LEAST_GAIN) * other


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a system is tried; None keeps what the paper's setting has.

    Args:
        num_nodes: of the fleet.
        tasks_per_second: that arrive.
        link_bits_per_second: from edge to cloud.
        variation: of the link; 0 makes it constant.
        codec: of cut tensors.
        goal: where the network is cut.
        dormancy: the rule of systems whose cloud sleeps.
        small: whether pictures have the small size.
        exit_share: of the tasks of which the exit head is sure, in systems with exits.
        jpeg_bytes: of a picture as JPEG; None measures it on the data.
    """

    num_nodes: int | None = None
    tasks_per_second: float | None = None
    link_bits_per_second: float | None = None
    variation: float | None = None
    codec: CodecConfig | None = None
    goal: OffloadGoal | None = None
    dormancy: DormancyRule | None = None
    small: bool = False
    exit_share: float = 0.3
    jpeg_bytes: float | None = None

    def cut_at(self, split_point: int) -> Point:
        """Returns the same with a given split point."""
        return replace(
            self, goal=replace(self.goal or OffloadGoal(), split_point=split_point, exclude_ends=False)
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """What a system did at a point.

    Args:
        built: the system, its plan and its costs.
        result: what ``cloudedge compare`` reports.
        load: of the busiest kind of station, with the tasks that each got: the time that its jobs take, over the time
            there is. From 1 on queues grow without end, and the mean delay is that of the number of tasks.
        occupied_joules: mean over the answers: active joules, and idle power of the node while the task is on it.
    """

    built: BuiltSystem
    result: SystemResult
    load: float
    occupied_joules: float

    @property
    def keeps_up(self) -> bool:
        """Whether every station has the time for its jobs."""
        return self.load < 1


def systems_setting(setting: PaperSetting, point: Point) -> Setting:
    """Returns what systems share at a point."""
    fleet = setting.fleet(
        num_nodes=point.num_nodes,
        bandwidth_bits_per_second=point.link_bits_per_second,
        variation=point.variation,
    )
    rate = point.tasks_per_second
    return Setting(
        profile=setting.small_profile if point.small else setting.profile,
        fleet=fleet,
        workload=setting.workload if rate is None else replace(setting.workload, arrival_rate=rate),
        num_classes=setting.num_classes,
        goal=point.goal or setting.goal,
        formulas=setting.formulas,
        codec=point.codec or setting.codec,
        make_scheduler=setting.make_scheduler,
        dormancy=point.dormancy or setting.dormancy,
        measure_picture=_measure(setting, point),
    )


def _measure(setting: PaperSetting, point: Point) -> Callable[[InputCodec], float] | None:
    given, measure = point.jpeg_bytes, setting.measure_picture
    if given is not None:
        return lambda codec: given
    size = setting.small_image_size if point.small else setting.image_size
    return None if measure is None else lambda codec: measure(codec, size)


def run(setting: PaperSetting, system: System, point: Point, *, repetition: int = 0) -> Outcome:
    """Runs a system at a point. All systems get the same tasks and the same link in the same repetition.

    Raises:
        InfeasiblePlanError: if the goal's objective finds no split point that keeps every limit.
    """
    shared = systems_setting(setting, point)
    built = build_system(system, shared)
    seed, workload = setting.seed + repetition, shared.workload
    source = TaskSource(
        arrivals=PoissonArrivals(tasks_per_second=workload.arrival_rate),
        classes=[TaskClass(deadline_seconds=workload.max_delay_seconds)],
        noise=setting.scenario.service,
        seed=seed,
    )
    tasks = source.next(setting.num_tasks)
    found = simulate_system(built, tasks, setting.scenario, exit_share=point.exit_share, seed=seed)
    assert found.records is not None
    result = system_result(built, found)
    return Outcome(
        built=built,
        result=result,
        load=busiest_load(built, result, workload.arrival_rate, setting.scenario.cloud_servers),
        occupied_joules=occupied_joules(found.records, shared.fleet),
    )


class Runs:
    """Runs systems at points in all repetitions, and remembers what it ran.

    Args:
        setting: of the paper. A plan of its goal leaves each side a part of the network, unless the point has a goal of
            its own.
        most: repetitions, where the setting asks for more.

    Attributes:
        repetitions: of a comparison at the paper's setting.
        few: repetitions of a comparison of two systems on the same draws, along an axis.
    """

    def __init__(self, setting: PaperSetting, most: int) -> None:
        measure = setting.measure_picture
        if measure is not None:  # a moment for each call, and there are thousands
            setting = replace(setting, measure_picture=functools.cache(measure))
        self.setting, self.repetitions, self.few = setting, min(setting.seeds, most), min(setting.seeds, 2)
        self._known: dict[tuple[str, str, int], list[Outcome] | None] = {}

    def outcomes(
        self, system: System, point: Point, *, repetitions: int | None = None
    ) -> list[Outcome] | None:
        """Returns every repetition; None where no split point keeps every limit.

        Args:
            system: by its own fields, so that two of one title are two.
            point: where it runs.
            repetitions: None takes all.
        """
        point = replace(point, goal=point.goal or planned_goal(self.setting))
        count = self.repetitions if repetitions is None else repetitions
        key = (repr(system), repr(point), count)
        if key not in self._known:
            try:
                self._known[key] = [
                    run(self.setting, system, point, repetition=each) for each in range(count)
                ]
            except InfeasiblePlanError:
                self._known[key] = None
        return self._known[key]


def planned_goal(setting: PaperSetting) -> OffloadGoal:
    """Returns the setting's goal without the ends, which would leave nothing to one of the sides."""
    goal = setting.goal
    return replace(goal, exclude_ends=True) if goal.split_point is None else goal


def busiest_load(
    built: BuiltSystem, result: SystemResult, tasks_per_second: float, cloud_servers: int = 1
) -> float:
    """The largest load among nodes, radios, cloud and master, of tasks that arrive without end.

    Args:
        built: the system.
        result: its shares of who answered, and its bytes.
        tasks_per_second: that arrive.
        cloud_servers: tasks that the cloud serves at once.
    """
    costs, fleet = built.costs, built.plan.fleet
    with np.errstate(divide="ignore"):
        nodes = 1 / (1 / costs.execution_seconds).sum()
    sent, to_exit, exited = (
        result.mean_upload_bytes or 0,
        result.mean_exit_bytes or 0,
        result.exited_share or 0,
    )
    radios = (
        8 * sent / cloud_rate_bits_per_second(fleet).sum()
        + 8 * to_exit / master_rate_bits_per_second(fleet).sum()
    )
    seconds = (
        nodes,
        radios,
        costs.cloud_seconds * (1 - exited) / cloud_servers,
        costs.exit_seconds * exited,
        8 * to_exit / fleet.coordinator.throughput_bits_per_second,
    )
    return float(tasks_per_second * max(seconds))


def occupied_joules(records: TaskRecords, fleet: Fleet) -> float:
    """Mean joules of an answer if idle power counts for each task by itself, while it waits, runs and is sent.

    Two tasks on one node are charged for the same second each, so the sum may exceed what the node can draw.

    Source: Xu 2020, Sec. 3.3 (E^s as a part of every task); see ``static_energy`` in
    :class:`~cloudedge_pl.costs.formulas.CostFormulas`.
    """
    answered = records[records.answered]
    ends = np.where(np.isnan(answered.sent_seconds), answered.done_seconds, answered.sent_seconds)
    idle = fleet.array("idle_watts")[answered.node]
    return float((answered.joules + idle * (ends - answered.at_node_seconds)).mean())


def values_of(outcomes: Iterable[Outcome], field: str) -> np.ndarray:
    """The field of the result in each repetition in which it is known, float64 [repetitions]."""
    found = [getattr(each.result, field) for each in outcomes]
    return np.array([value for value in found if value is not None], dtype=np.float64)


def mean_of(outcomes: Iterable[Outcome], field: str) -> float:
    """Mean over repetitions of a field of the result; nan if it is never known."""
    values = values_of(outcomes, field)
    return float(values.mean()) if len(values) else float("nan")


def jpeg_of(setting: PaperSetting) -> InputCodec:
    """The JPEG that pictures are sent as."""
    return replace(setting.goal, input_codec="jpeg").picture
