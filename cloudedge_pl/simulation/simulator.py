"""A fleet under a network that trains or is tested: the event engine, one step of the trainer at a time.

Training and evaluation use this face of :class:`~cloudedge_pl.simulation.engine.Engine`. A training step is one window:
its tasks are there when it opens, and it ends when their gradients are back. In an evaluation tasks arrive one by one,
and a step groups those whose answers the network computes together.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from cloudedge_pl.costs.exchange import Exchange, exchange_costs
from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.dormancy import Decide, DormancyRule, DormancyState
from cloudedge_pl.errors import require_saved
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.scheduling import Assignment, Scheduler
from cloudedge_pl.simulation.accounts import Accounts
from cloudedge_pl.simulation.arrivals import PoissonArrivals
from cloudedge_pl.simulation.books import accounts_of, asleep_seconds, stations_of
from cloudedge_pl.simulation.engine import Engine
from cloudedge_pl.simulation.history import BoundedHistory
from cloudedge_pl.simulation.records import Window, WindowRecord, summarise
from cloudedge_pl.simulation.scenario import Scenario
from cloudedge_pl.simulation.sketch import DelaySketch
from cloudedge_pl.simulation.station_records import StationRecord
from cloudedge_pl.simulation.task_records import TaskRecords
from cloudedge_pl.simulation.task_source import TaskSource
from cloudedge_pl.simulation.tasks import Tasks


class Simulator:
    """Runs the tasks of steps through a fleet whose network is cut at one split point.

    Args:
        costs: seconds and bytes of one task at the split point.
        fleet: nodes, master, cloud and link.
        workload: arrival rate and phase.
        scheduler: assigns each window's tasks.
        scenario: how link, nodes and tasks vary; None takes the defaults.
        dormancy: the rule by which the cloud sleeps, or a function in its place; None keeps the cloud awake.
        exits: whether the exit head is asked first while the cloud is awake, in an evaluation.
        seed: of arrivals, link, churn and service times.

    Attributes:
        engine: the engine.
        history: of the windows, in bounded memory. A window lasts from the end of the previous one to its own
            ``clock_seconds``.
        delays: of all answered tasks.
        sync_seconds: virtual time spent in aggregations.
    """

    def __init__(
        self,
        costs: SplitCosts,
        fleet: Fleet,
        workload: Workload,
        scheduler: Scheduler,
        *,
        scenario: Scenario | None = None,
        dormancy: DormancyRule | Decide | None = None,
        exits: bool = False,
        seed: int = 0,
    ) -> None:
        self.costs, self.fleet, self.workload, self.seed = costs, fleet, workload, seed
        scenario = scenario or Scenario()
        self.engine = Engine(
            costs, fleet, scheduler, scenario, phase=workload.phase, dormancy=dormancy, exits=exits, seed=seed
        )
        arrivals = PoissonArrivals(tasks_per_second=workload.arrival_rate)
        self._source = TaskSource(
            arrivals=arrivals, classes=scenario.task_classes, noise=scenario.service, seed=seed
        )
        rule = dormancy if isinstance(dormancy, DormancyRule) else DormancyRule()
        self._probe_bytes = rule.probe_bytes
        self.history, self.delays = BoundedHistory(), DelaySketch()
        self.sync_seconds = 0.0
        self._sync = Accounts(fleet.num_nodes)
        self._late_seconds = 0.0
        self._sync_seconds = np.zeros(fleet.num_nodes + 1)  # of each machine
        self._exchanges: dict[tuple[float, bytes], Exchange] = {}

    # --- steps ---

    def step(self, num_tasks: int, owners: np.ndarray | None = None) -> WindowRecord:
        """Runs the window of a training step.

        All tasks are there when it opens, and are scheduled together. It lasts until the last gradient is back at its
        node, and at least ``num_tasks / arrival_rate``, the time in which the next batch gathers. docs/windows.md has
        the details.

        Args:
            num_tasks: number of tasks in the window, at least 1.
            owners: the node of each task, int64 [num_tasks], if it is given; None asks the scheduler.

        Raises:
            ValueError: if there is no task, or tasks are left that no node will ever do.
        """
        opens, before = self.clock_seconds, self.accounts
        tasks = dataclasses.replace(self._next(num_tasks), arrival_seconds=np.full(num_tasks, opens))
        self.engine.feed(tasks, owners=owners, final=True)
        self.engine.run()
        records = self.engine.take_records()
        if len(records.task) < num_tasks:
            raise ValueError(
                f"{num_tasks - len(records.task)} of {num_tasks} samples of a step wait for a node, and none will "
                "join: all have failed or left. Let nodes join again (churn.events), or give churn.failures_per_hour=0."
            )
        self.engine.advance_clock(opens + num_tasks / self.workload.arrival_rate)
        after, engine = self.accounts, self.engine
        record = WindowRecord(
            awake=engine.awake,
            link_delay_seconds=engine.link_delay_seconds,
            assignment=self._assignment(records),
            delay_seconds=records.answered_seconds - records.arrival_seconds,
            joules=after.joules - before.joules,
            upload_bytes=after.upload_bytes - before.upload_bytes,
            download_bytes=after.download_bytes - before.download_bytes,
            exit_bytes=after.exit_bytes - before.exit_bytes,
            clock_seconds=self.clock_seconds,
        )
        self._add_to_history(records, record)
        return record

    def admit(
        self, num_tasks: int, exits: np.ndarray | None = None, audited: np.ndarray | None = None
    ) -> Window:
        """Lets the tasks of an evaluation's step arrive, one by one, each dispatched as the scenario's windows say.

        The first one asks the dormancy rule, and the others of the step follow its decision, so that the network
        answers all of them alike. Arrivals go on while earlier tasks are on their way; :meth:`finish` waits for those.

        Args:
            num_tasks: number of tasks, at least 1.
            exits: whether the exit head is sure of a task, bool [num_tasks]; None: of none.
            audited: whether a task goes to the cloud nonetheless, bool [num_tasks]; None: none does.

        Raises:
            ValueError: if there is no task.
        """
        tasks = self._next(num_tasks)
        self._late_seconds = max(self._late_seconds, self.clock_seconds - float(tasks.arrival_seconds[0]))
        none = np.zeros(num_tasks, dtype=bool)
        tasks = dataclasses.replace(
            tasks,
            arrival_seconds=tasks.arrival_seconds + self._late_seconds,
            exits=none if exits is None else exits,
            audited=none if audited is None else audited,
        )
        self.engine.feed(tasks, decides=np.arange(num_tasks) == 0)
        self.engine.run()
        window = Window(self.engine.awake, self.engine.link_delay_seconds)
        self._add_to_history(self.engine.take_records(), window)
        return window

    def finish(self) -> None:
        """Waits until all tasks are answered."""
        self.engine.feed(Tasks.equal(0, 0.0), final=True)
        self.engine.run()
        window = Window(self.engine.awake, self.engine.link_delay_seconds)
        self._add_to_history(self.engine.take_records(), window)

    def _next(self, num_tasks: int) -> Tasks:
        if num_tasks < 1:
            raise ValueError(f"a window of {num_tasks} tasks; it needs at least 1.")
        tasks = self._source.next(num_tasks)
        due = np.minimum(tasks.deadline_seconds, self.workload.max_delay_seconds)
        return dataclasses.replace(tasks, deadline_seconds=due)

    def _assignment(self, records: TaskRecords) -> Assignment:
        """The node of each task in the end, in the form that the scheduler gave."""
        assignment, nodes = self.engine.assignment, records.node.astype(np.int64)
        if assignment is not None and np.array_equal(assignment.node, nodes):
            return assignment
        seconds = self.costs.execution_seconds[nodes]
        loads = np.bincount(nodes, weights=seconds, minlength=self.fleet.num_nodes)
        return Assignment(nodes, loads, 0.0, np.array([loads.max()]))

    def _add_to_history(self, records: TaskRecords, window: Window) -> None:
        delays = (records.answered_seconds - records.arrival_seconds)[records.path >= 0]
        self.delays.add(delays)
        self.history.add(
            clock_seconds=self.clock_seconds,
            tasks=len(delays),
            mean_delay_seconds=float(delays.mean()) if len(delays) else math.nan,
            link_delay_seconds=window.link_delay_seconds,
            awake=window.awake,
        )

    # --- aggregations ---

    def exchange(self, num_bytes: float, worked: np.ndarray | None = None) -> Exchange:
        """Computes what an aggregation of ``num_bytes`` of weights costs in an idle fleet.

        Args:
            num_bytes: of one node's weights.
            worked: which nodes have something to send, bool [num_nodes]; they take part even if they have left since.
                Nodes that are there take part anyway. None: none has.
        """
        present = self.present if worked is None else self.present | worked
        if not present.any():
            present = np.ones_like(present)  # what it would cost if they were there
        key = (num_bytes, present.tobytes())
        if key not in self._exchanges:
            self._exchanges[key] = exchange_costs(num_bytes, self.fleet, present)
        return self._exchanges[key]

    def synchronise(self, num_bytes: float, worked: np.ndarray | None = None) -> None:
        """Runs an aggregation: the nodes, whose tasks are done, send their weights and get the average back.

        The next window opens when all nodes have the average. If there are no weights, nobody waits.

        Args:
            num_bytes: of one node's weights.
            worked: see :meth:`exchange`.
        """
        if num_bytes == 0:
            return
        exchange = self.exchange(num_bytes, worked)
        ends = self.clock_seconds + exchange.seconds
        took_part = np.append(exchange.num_bytes[:-1] > 0, True)
        self._sync.add(sync_bytes=exchange.num_bytes, sync_joules=exchange.joules)
        self._sync_seconds += np.where(took_part, exchange.seconds, 0.0)
        self.sync_seconds += exchange.seconds
        self.engine.advance_clock(ends)
        self.history.extend_last(ends)

    # --- what it shows ---

    @property
    def clock_seconds(self) -> float:
        """The virtual time."""
        return self.engine.clock_seconds

    @property
    def present(self) -> np.ndarray:
        """Which nodes take tasks, bool [num_nodes]."""
        return self.engine.arrays.nodes["available"] > 0

    @property
    def failures(self) -> np.ndarray:
        """How often each node has failed, int64 [num_nodes], in the steps so far."""
        return np.array(self.engine.arrays.nodes["failures"])

    @property
    def dormancy(self) -> DormancyState:
        """The state of the dormancy rule."""
        return self.engine.dormancy

    @dormancy.setter
    def dormancy(self, state: DormancyState) -> None:
        self.engine.dormancy = state

    @property
    def num_admitted(self) -> int:
        """Number of tasks so far, answered or not."""
        return self.engine.fed

    @property
    def accounts(self) -> Accounts:
        """Totals of every machine since the start."""
        accounts = accounts_of(self.engine.arrays, self.fleet, self._probe_bytes, self._sync_seconds)
        accounts.add(sync_bytes=self._sync.sync_bytes, sync_joules=self._sync.sync_joules)
        return accounts

    def stations(self) -> list[StationRecord]:
        """What every station did since the start."""
        return stations_of(self.engine.arrays, self.fleet)

    def summary(self) -> dict[str, float]:
        """Totals and means since the start; see :func:`~cloudedge_pl.simulation.records.summarise`.

        In an evaluation it waits for all answers first.
        """
        if self.workload.phase == "inference":
            self.finish()
        return summarise(
            self.history,
            self.delays,
            self.accounts,
            clock_seconds=self.clock_seconds,
            sync_seconds=self.sync_seconds,
            asleep_seconds=asleep_seconds(self.engine.arrays),
            switches=self.engine.switches,
        )

    def report(self) -> dict[str, Any]:
        """Names, tasks and joules per node (the master last) and the history, as plain values for figures."""
        accounts = self.accounts
        columns = self.history.columns()
        return {
            "node_names": [machine.name for machine in (*self.fleet.nodes, self.fleet.coordinator)],
            "node_tasks": accounts.tasks.tolist(),
            "node_joules": (accounts.joules + accounts.sync_joules).tolist(),
            "steps": {name: column.tolist() for name, column in columns.items()},
            "max_delay_seconds": self.workload.max_delay_seconds,
        }

    # --- checkpoint ---

    def state_dict(self) -> dict[str, Any]:
        """The simulator's whole state, as plain containers."""
        return {
            "engine": self.engine.state_dict(),
            "source": self._source.state_dict(),
            "history": self.history.state_dict(),
            "delays": self.delays.state_dict(),
            "dormancy": self.dormancy.to_dict(),
            "sync_seconds": self.sync_seconds,
            "sync": self._sync.state_dict(),
            "sync_seconds_of": self._sync_seconds.tolist(),
            "late_seconds": self._late_seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            CheckpointError: if it belongs to a fleet of another size, or to an earlier version.
        """
        require_saved("simulator has", state, self.state_dict())
        self.engine.load_state_dict(state["engine"])
        self._source.load_state_dict(state["source"])
        self.history.load_state_dict(state["history"])
        self.delays.load_state_dict(state["delays"])
        self.sync_seconds, self._late_seconds = state["sync_seconds"], state["late_seconds"]
        self._sync.load_state_dict(state["sync"])
        self._sync_seconds = np.array(state["sync_seconds_of"], dtype=np.float64)
