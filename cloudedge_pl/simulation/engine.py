"""The event engine: runs tasks through fleet, link and cloud, and says what happened to every one of them.

The compiled loop does the work (:mod:`cloudedge_pl.simulation.loop`). The engine gives it tasks, the link's and the
churn's next blocks, and decisions on windows where a scheduler or a dormancy rule is not compiled. Nothing depends on
how a stream of tasks is cut into pieces: the same tasks give the same records.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.dormancy import Decide, DormancyRule, DormancyState, timed
from cloudedge_pl.fleet import Fleet, Phase
from cloudedge_pl.scheduling import Assignment, Scheduler
from cloudedge_pl.scheduling.bounds import lower_bound
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.scheduling.registry import SCHEDULERS
from cloudedge_pl.simulation.array_state import plain_arrays, records_of, restored_arrays
from cloudedge_pl.simulation.arrays import make_room, new_state
from cloudedge_pl.simulation.compacting import take_finished
from cloudedge_pl.simulation.events import NEED_CHURN, NEED_DECISION, NEED_LINK, NEED_ROWS, NEED_TASKS
from cloudedge_pl.simulation.flow_line import problem_of
from cloudedge_pl.simulation.layout import CHANGE, FINISHED, INPUTS, SEGMENT, TIMES
from cloudedge_pl.simulation.loop import run, skip_finished
from cloudedge_pl.simulation.scenario import Scenario
from cloudedge_pl.simulation.task_records import IN_FLIGHT, TaskRecords
from cloudedge_pl.simulation.tasks import Tasks
from cloudedge_pl.simulation.windows import (
    assign_window,
    consider_window,
    decide,
    is_decided,
    latest_delay,
    measure,
    place_first,
    set_awake,
    window_size,
)

FINISHES_FIRST = frozenset(
    SCHEDULERS[name] for name in ("atsa", "exact", "lpt", "max_min", "min_completion", "min_min", "sufferage")
)
"""Classes that give a window of one task to the node that finishes it first, which needs no call."""

MAX_SECONDS, MAX_BLOCKS = 1e9, 20_000
"""What waits for longer than this, in seconds of the clock or in blocks of the link, would never end."""


class Engine:
    """Tasks on their way through one system.

    Args:
        costs: seconds and bytes of one task of size and work 1 at the split point.
        fleet: nodes, master, cloud and link.
        scheduler: assigns the tasks of a window to nodes.
        scenario: link, churn, service times, queues and windows.
        phase: in training, all tasks that are fed together are one window, and gradients return.
        dormancy: the rule by which the cloud sleeps, or a function in its place; None keeps the cloud awake.
        exits: whether the exit head is asked first while the cloud is awake, in inference.
        seed: of link and churn.

    Attributes:
        arrays: what happens is in them; see :mod:`~cloudedge_pl.simulation.layout`.
        assignment: of the window that a scheduler decided on last; None if the kernel places tasks itself.

    Raises:
        ValueError: if a task fits no node.
    """

    def __init__(
        self,
        costs: SplitCosts,
        fleet: Fleet,
        scheduler: Scheduler,
        scenario: Scenario | None = None,
        *,
        phase: Phase = "inference",
        dormancy: DormancyRule | Decide | None = None,
        exits: bool = False,
        seed: int = 0,
    ) -> None:
        self.costs, self.fleet, self.scheduler = costs, fleet, scheduler
        self.scenario = scenario or Scenario()
        self.scenario.check_phase(phase)
        self._custom = None if dormancy is None or isinstance(dormancy, DormancyRule) else timed(dormancy)
        rule = dormancy if isinstance(dormancy, DormancyRule) else None
        window = self.scenario.window
        one_by_one = phase == "inference" and window.tasks == 1 and window.seconds is None
        self._memory_bytes = fleet.array("memory_bytes")
        self.arrays = new_state(
            costs,
            fleet,
            self.scenario,
            training=phase == "training",
            exit_policy=exits,
            rule=rule,
            places_itself=one_by_one and type(scheduler) in FINISHES_FIRST,
            decides_itself=self._custom is None,
        )
        if np.isinf(self.arrays.nodes["execution_seconds"]).all():
            raise ValueError(
                f"a task takes {costs.task_memory_bytes:,.0f} bytes and no node has as many: the largest has "
                f"{self._memory_bytes.max():,.0f}. Cut earlier, or give the nodes more memory_bytes."
            )
        self._link = self.scenario.link.process(fleet.link, seed)
        self._churn = self.scenario.churn.process([node.name for node in fleet.nodes], seed)
        self._start_churn()
        self.assignment: Assignment | None = None
        self.fed = 0
        self._stalled = 0, 0  # tasks in the system, and blocks since their number changed

    def _start_churn(self) -> None:
        for node in self._churn.absent:
            for name in ("available", "alive"):
                self.arrays.nodes[name][node] = 0
        nodes = self.arrays.nodes
        self._world["num_available"] = int(nodes["available"][np.isfinite(nodes["execution_seconds"])].sum())
        self._world["churn_known"] = 0.0 if self._churn.changes else math.inf

    @property
    def _world(self) -> Any:
        return self.arrays.world[0]

    # --- tasks in, records out ---

    def feed(
        self,
        tasks: Tasks,
        *,
        owners: np.ndarray | None = None,
        decides: np.ndarray | None = None,
        final: bool = False,
    ) -> None:
        """Adds tasks that arrive next.

        Args:
            tasks: none arrives before an earlier one, or before the clock.
            owners: the node of each task, int64 [num_tasks]; None asks the scheduler.
            decides: which tasks ask for a decision of the dormancy rule, bool [num_tasks]; the windows of others take
                over the last one. None: all.
            final: whether no more tasks follow for now, so that the engine can run until all are answered.

        Raises:
            ValueError: if a task arrives in the past.
        """
        world = self._world
        if len(tasks) and tasks.arrival_seconds[0] < world["clock"]:
            raise ValueError(
                f"a task arrives at {tasks.arrival_seconds[0]} s, before the clock, which is at {world['clock']} s; "
                "arrivals must be ascending."
            )
        make_room(self.arrays, len(tasks))
        first = int(world["num_rows"])
        rows = self.arrays.tasks[first : first + len(tasks)]
        columns = {name: getattr(tasks, f"{name}_seconds", None) for name in ("arrival", "deadline")}
        for name in INPUTS:
            rows[name] = columns[name] if name in columns else getattr(tasks, name)
        for name in TIMES:
            rows[name] = math.nan
        rows["task"] = np.arange(self.fed, self.fed + len(tasks))
        rows["sample"], rows["kind"] = tasks.sample, tasks.kind
        rows["exits"] = (tasks.exits != 0) & (tasks.audited == 0)
        rows["decides"] = True if decides is None else decides
        rows["owner"] = -1 if owners is None else owners
        rows["node"], rows["path"] = -1, IN_FLIGHT
        self.fed += len(tasks)
        world = self._world
        world["num_rows"] = world["num_rows_given"] = first + len(tasks)
        world["next_arrival"] = first
        world["open_rows"] += len(tasks)
        world["final"] = final
        consider_window(self._world)

    def run(self, until: float = math.inf) -> bool:
        """Runs until the last arrival, or if it was final until all tasks are answered, and at most until a time.

        Args:
            until: in seconds of the clock.

        Returns:
            Whether the engine waits for tasks; False if it is idle or the time is reached.
        """
        needs = {
            NEED_LINK: self._next_link,
            NEED_CHURN: self._next_churn,
            NEED_ROWS: self._more_rows,
            NEED_DECISION: self._decide_window,
        }
        while (status := int(run(self._world, until))) in needs:
            needs[status]()
        return status == NEED_TASKS

    def take_records(self, *, in_flight: bool = False) -> TaskRecords:
        """Takes the records of tasks that have left the system since the last call, in order of arrival.

        Args:
            in_flight: whether to append those that have not; they stay in the system.
        """
        rows = take_finished(self.arrays)
        if in_flight:
            used = self.arrays.tasks[: int(self._world["num_rows"])]
            rows = np.concatenate((rows, used[used["state"] < FINISHED]))
        return records_of(rows[np.argsort(rows["task"], kind="stable")])

    # --- what the loop needs ---

    def _next_link(self) -> None:
        self._check_end()
        arrays, world, block = self.arrays, self._world, self._link.next()
        kept = arrays.segments[int(world["link_at"]) :]  # earlier ones are not read again
        new = np.zeros(len(block.start_seconds), dtype=SEGMENT)
        for name in SEGMENT.names or ():
            new[name] = getattr(block, name)
        arrays.segments = np.concatenate((kept, new))
        arrays.publish()
        world["link_at"], world["link_count"], world["link_known"] = (
            0,
            len(arrays.segments),
            block.end_seconds,
        )

    def _next_churn(self) -> None:
        world = self._world
        self._check_end()
        known = self._churn.horizon(float(world["churn_known"]))
        events = self._churn.until(known)
        self.arrays.changes = np.zeros(len(events.time_seconds), dtype=CHANGE)
        columns = {"seconds": events.time_seconds, "node": events.node, "kind": events.kind}
        for name, column in columns.items():
            self.arrays.changes[name] = column
        self.arrays.publish()
        world["churn_at"], world["churn_count"], world["churn_known"] = 0, len(self.arrays.changes), known

    def _check_end(self) -> None:
        """Raises ValueError if the clock runs on for a task that will not be done."""
        world = self._world
        open_rows, blocks = self._stalled
        same = open_rows == int(world["open_rows"])
        self._stalled = int(world["open_rows"]), (blocks + 1) * same
        next_seconds = float(self.arrays.events["time"][0]) if world["heap_size"] else 0.0
        if self._stalled[1] > MAX_BLOCKS or MAX_SECONDS < next_seconds < math.inf:
            raise ValueError(
                f"at {self.clock_seconds:g} s of the virtual clock {open_rows} tasks wait for what never ends. Check "
                "outages, repair_seconds, and the units of bandwidth_bits_per_second and backhaul_bits_per_second."
            )

    def _more_rows(self) -> None:
        skip_finished(self._world)
        make_room(self.arrays, int(self._world["open_rows"]))

    def _decide_window(self) -> None:
        if not is_decided(self._world):
            self._decide_awake()
        if self._world["places_itself"]:
            place_first(self._world)
            return
        rows = self._waiting_rows()
        assign_window(self._world, self._nodes_of(rows))

    def _decide_awake(self) -> None:
        if self._custom is None:
            decide(self._world)
            return
        delay = float(measure(self._world))
        if not self._world["has_rule"]:
            return
        after = self._custom(
            self.dormancy,
            delay,
            limit_seconds=float(latest_delay(self._world)),
            clock_seconds=self.clock_seconds,
        )
        self.arrays.world["dormancy"] = after.packed()
        set_awake(self._world, int(after.awake))

    def _waiting_rows(self) -> np.ndarray:
        rows, job = [], int(self._world["waiting_head"])
        following = self.arrays.tasks["next0"]
        for _ in range(window_size(self._world)):
            rows.append(job // 2)
            job = int(following[job // 2])
        return np.array(rows, dtype=np.int64)

    def _nodes_of(self, rows: np.ndarray) -> np.ndarray:
        """Returns the node of each waiting task: its owner's at its first attempt, else the scheduler's choice."""
        tasks, nodes = self.arrays.tasks[rows], self.arrays.nodes
        owner = np.where(tasks["attempts"] == 0, tasks["owner"], -1).astype(np.int64)
        owner[(owner >= 0) & (nodes["available"][np.maximum(owner, 0)] == 0)] = -1
        free, known = np.flatnonzero(owner < 0), (self.arrays, self.costs, self._memory_bytes)
        if len(free):
            self.assignment = self.scheduler.assign(*problem_of(*known, tasks[free]))
            owner[free] = self.assignment.node
        if len(free) < len(rows):
            instance = Instance.of(*problem_of(*known, tasks))
            self.assignment = instance.assignment(owner, lower_bound(instance))
        return owner

    # --- what it shows ---

    @property
    def clock_seconds(self) -> float:
        """The virtual time."""
        return float(self._world["clock"])

    @property
    def dormancy(self) -> DormancyState:
        """The state of the dormancy rule."""
        return DormancyState.unpacked(self._world["dormancy"])

    @dormancy.setter
    def dormancy(self, dormancy: DormancyState) -> None:
        self.arrays.world["dormancy"] = dormancy.packed()
        self._world["awake"] = int(dormancy.awake)

    @property
    def awake(self) -> bool:
        """Whether the cloud was awake in the window that opened last."""
        return bool(self._world["awake"])

    @property
    def link_delay_seconds(self) -> float:
        """The link's delay as it was measured last; the paper's T_rd."""
        return float(self._world["link_delay"])

    @property
    def switches(self) -> int:
        """How often the cloud fell asleep or awoke."""
        return int(self._world["switches"])

    def advance_clock(self, seconds: float) -> None:
        """Sets the clock of an idle engine forward to a time."""
        self._world["clock"] = max(self.clock_seconds, seconds)

    # --- checkpoint ---

    def state_dict(self) -> dict[str, Any]:
        """The engine's whole state, as plain containers."""
        return {
            "arrays": plain_arrays(self.arrays),
            "link": self._link.state_dict(),
            "churn": self._churn.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "fed": self.fed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            CheckpointError: if it belongs to a fleet of another size.
        """
        self.arrays = restored_arrays(state["arrays"], self.arrays)
        self._link.load_state_dict(state["link"])
        self._churn.load_state_dict(state["churn"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.fed = int(state["fed"])
