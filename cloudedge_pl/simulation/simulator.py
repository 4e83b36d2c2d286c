"""A fleet at work on a virtual clock: arrivals, schedule, queues, link, dormancy, accounts; one window at a time.

Every formula is that of :mod:`cloudedge_pl.costs`, which the planner uses too. The simulator adds what a mean cannot
show: which task meets which queue, and a link that varies. Randomness is drawn from (seed, window number), so a window
depends on no hidden state, and a resumed run equals one that was not stopped.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cloudedge_pl.costs.energy import linear_compute_joules, radio_joules, static_joules
from cloudedge_pl.costs.exchange import Exchange, collected_at, exchange_costs, multicast_seconds
from cloudedge_pl.costs.first_come import serve_at_nodes
from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.costs.transmission import (
    cloud_rate_bits_per_second,
    master_rate_bits_per_second,
    sending_seconds,
    transfer_seconds,
)
from cloudedge_pl.dormancy import Decide, DormancyState, timed
from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.scheduling import Assignment, NodeState, Scheduler, TaskWindow
from cloudedge_pl.scheduling.bounds import lower_bound
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.simulation.accounts import Accounts
from cloudedge_pl.simulation.dispatch import dispatch
from cloudedge_pl.simulation.master import MasterQueue
from cloudedge_pl.simulation.records import HISTORY, WindowRecord, summarise


class Simulator:
    """Runs windows of tasks through a fleet whose network is cut at one split point.

    Args:
        costs: seconds and bytes of one task at the split point.
        fleet: nodes, master, cloud and link.
        workload: arrival rate and phase.
        scheduler: assigns each window's tasks.
        decide: the dormancy rule; None keeps the cloud awake. If it takes ``limit_seconds``, it is given the delay with
            which a task that opens the window is answered within the workload's ``max_delay_seconds``.
        seed: of arrivals and link.

    Attributes:
        accounts: totals since the start.
        history: per window, as lists: the columns of :data:`~cloudedge_pl.simulation.records.HISTORY`. A window lasts
            from the end of the previous one to its own ``clock_seconds``.
        sync_seconds: virtual time spent in aggregations.
    """

    def __init__(
        self,
        costs: SplitCosts,
        fleet: Fleet,
        workload: Workload,
        scheduler: Scheduler,
        *,
        decide: Decide | None = None,
        seed: int = 0,
    ) -> None:
        self.costs, self.fleet, self.workload = costs, fleet, workload
        self.scheduler, self.decide, self.seed = scheduler, decide, seed
        self.accounts = Accounts(fleet.num_nodes)
        self.history: dict[str, list[Any]] = {column: [] for column in HISTORY}
        self.dormancy = DormancyState()
        self.clock_seconds, self.sync_seconds = 0.0, 0.0
        self.windows = 0
        self._link_noise = 0.0
        self._ready_seconds = np.zeros(fleet.num_nodes)
        self._arrived_seconds = 0.0
        self._exchanges: dict[float, Exchange] = {}
        self._master = MasterQueue(costs, fleet)
        self._memory_bytes = fleet.array("memory_bytes")
        self._up_seconds = transfer_seconds(costs.upload_bytes, fleet)
        self._down_seconds = transfer_seconds(costs.download_bytes, fleet)
        self._cloud_rate = cloud_rate_bits_per_second(fleet)
        self._master_rate = master_rate_bits_per_second(fleet)
        self._idle_watts, self._busy_watts, self._transmit_watts = (
            fleet.array(watts, with_master=True) for watts in ("idle_watts", "busy_watts", "transmit_watts")
        )

    @property
    def _training(self) -> bool:
        return self.workload.phase == "training"

    def step(self, num_tasks: int, owners: np.ndarray | None = None) -> WindowRecord:
        """Runs one window.

        In training all tasks are there when the window opens, and are scheduled together. The window lasts until the
        last gradient is back at its node, and at least ``num_tasks / arrival_rate``, the time in which the next batch
        gathers. In inference tasks arrive one by one, each is dispatched at its arrival, and the window lasts until the
        last known answer is out; meanwhile arrivals continue. docs/windows.md has the details.

        Args:
            num_tasks: number of tasks in the window, at least 1.
            owners: the node of each task, int64 [num_tasks], if it is given; None asks the scheduler.

        Raises:
            ValueError: if there is no task, or one fits no node.
        """
        if num_tasks < 1:
            raise ValueError(f"a window of {num_tasks} tasks; it needs at least 1.")
        random, opens = np.random.default_rng([self.seed, self.windows]), self.clock_seconds
        factor = self._link_factor(random)
        arrivals, latest = self._arrivals(num_tasks, random)
        at_node = arrivals + self.costs.terminal_seconds
        assignment = self._schedule(at_node, owners)
        node, limit = assignment.node, self._latest_delay(float(at_node[0]))
        done = serve_at_nodes(at_node, node, self.costs.execution_seconds, self._ready_seconds)
        np.maximum.at(self._ready_seconds, node, done)

        transfer = self._up_seconds[node] * factor
        link_delay = float(transfer.mean())
        awake = self._decide(link_delay, limit)
        answered = done + transfer + self.costs.cloud_seconds + self._down_seconds[node] * factor
        if self.costs.exit_seconds > 0 and (self._training or not awake):
            from_master = self._master.serve(done, node)
            answered = answered if awake else from_master
            latest = max(latest, float(from_master.max()))

        self.clock_seconds = max(opens, latest, float(answered.max()))
        record = self._account(assignment, answered - arrivals, link_delay, awake, self.clock_seconds - opens)
        self.windows += 1
        for column, value in record.row().items():
            self.history[column].append(value)
        return record

    def _link_factor(self, random: np.random.Generator) -> float:
        """Draws the factor of the link's delay, the next value of its autoregressive series."""
        link = self.fleet.link
        innovation = float(random.standard_normal())
        if self.windows == 0:
            self._link_noise = innovation
        else:
            spread = float(np.sqrt(1 - link.correlation**2))
            self._link_noise = link.correlation * self._link_noise + spread * innovation
        return float(np.exp(link.variation * self._link_noise))

    def _arrivals(self, num_tasks: int, random: np.random.Generator) -> tuple[np.ndarray, float]:
        """Returns when the tasks arrive [num_tasks], and the earliest end of the window."""
        if self._training:
            gathered = self.clock_seconds + num_tasks / self.workload.arrival_rate
            return np.full(num_tasks, self.clock_seconds), gathered
        gaps = random.exponential(1 / self.workload.arrival_rate, num_tasks)
        arrivals = self._arrived_seconds + np.cumsum(gaps)
        self._arrived_seconds = float(arrivals[-1])
        return arrivals, self._arrived_seconds

    def _schedule(self, at_node: np.ndarray, owners: np.ndarray | None) -> Assignment:
        nodes, num_tasks = self.fleet.num_nodes, len(at_node)
        memory = self._memory_bytes
        if owners is None and not self._training:
            seconds, num_bytes = self.costs.execution_seconds, self.costs.task_memory_bytes
            return dispatch(self.scheduler, at_node, seconds, num_bytes, self._ready_seconds, memory)
        times = np.broadcast_to(self.costs.execution_seconds, (num_tasks, nodes))
        ready = np.maximum(self._ready_seconds - at_node[0], 0.0)
        state = NodeState(ready, memory, np.ones(nodes, dtype=bool))
        window = TaskWindow(times, np.full(num_tasks, self.costs.task_memory_bytes))
        if owners is None:
            return self.scheduler.assign(window, state)
        instance = Instance.of(window, state)
        return instance.assignment(owners, lower_bound(instance))

    def _latest_delay(self, at_node: float) -> float:
        """Returns the longest delay to the cloud with which a task at the nodes at a time is answered in time."""
        earliest = np.maximum(self._ready_seconds - at_node, 0.0) + self.costs.execution_seconds
        before_link = self.costs.terminal_seconds + float(earliest.min())
        return self.workload.max_delay_seconds - before_link - self.costs.cloud_seconds

    def _decide(self, link_delay_seconds: float, limit_seconds: float) -> bool:
        if self.decide is None or self.costs.upload_bytes == 0 or self.costs.exit_seconds == 0:
            return True
        self.dormancy = timed(self.decide)(
            self.dormancy, link_delay_seconds, limit_seconds=limit_seconds, clock_seconds=self.clock_seconds
        )
        return self.dormancy.awake

    def _account(
        self,
        assignment: Assignment,
        delay_seconds: np.ndarray,
        link_delay: float,
        awake: bool,
        elapsed_seconds: float,
    ) -> WindowRecord:
        """Adds the window's tasks, seconds, joules and bytes to the accounts."""
        costs = self.costs
        tasks = np.append(assignment.tasks_per_node, 0).astype(np.float64)
        uploaded = tasks * costs.upload_bytes * awake
        downloaded = tasks * costs.download_bytes * awake
        # The exit head runs where it answers, and in training in every step, because it learns along.
        exits = tasks * (self._training or not awake) * (costs.exit_seconds > 0)
        to_master, from_master = exits * costs.exit_upload_bytes, exits * costs.exit_download_bytes
        busy = np.append(tasks[:-1] * costs.execution_seconds, exits.sum() * costs.exit_seconds)
        sending = sending_seconds(uploaded[:-1], self._cloud_rate)
        sending = sending + sending_seconds(to_master[:-1], self._master_rate)
        sending_back = float(sending_seconds(from_master[:-1], self._master_rate).sum())
        joules = (
            static_joules(self._idle_watts, elapsed_seconds)
            + linear_compute_joules(self._idle_watts, self._busy_watts, busy)
            + radio_joules(self._transmit_watts, np.append(sending, sending_back))
        )
        self.accounts.add(
            tasks=tasks,
            busy_seconds=busy,
            joules=joules,
            upload_bytes=uploaded,
            download_bytes=downloaded,
            exit_upload_bytes=to_master,
            exit_download_bytes=from_master,
        )
        return WindowRecord(
            assignment=assignment,
            delay_seconds=delay_seconds,
            link_delay_seconds=link_delay,
            awake=awake,
            joules=joules,
            upload_bytes=uploaded,
            download_bytes=downloaded,
            exit_bytes=to_master + from_master,
            clock_seconds=self.clock_seconds,
        )

    def exchange(self, num_bytes: float) -> Exchange:
        """Computes what an aggregation of ``num_bytes`` of weights costs in an idle fleet."""
        if num_bytes not in self._exchanges:
            self._exchanges[num_bytes] = exchange_costs(num_bytes, self.fleet)
        return self._exchanges[num_bytes]

    def synchronise(self, num_bytes: float) -> None:
        """Runs an aggregation: the nodes finish their tasks, send their weights and get the average back.

        The next window opens when all nodes have the average. If there are no weights, nobody waits.

        Args:
            num_bytes: of one node's weights.
        """
        if num_bytes == 0:
            return
        exchange = self.exchange(num_bytes)
        ready = np.maximum(self._ready_seconds, self.clock_seconds)
        ends = collected_at(num_bytes, self.fleet, ready) + multicast_seconds(num_bytes, self.fleet)
        waiting = ends - self.clock_seconds - exchange.seconds
        self.accounts.add(
            sync_bytes=exchange.num_bytes,
            sync_joules=exchange.joules + static_joules(self._idle_watts, waiting),
        )
        self.sync_seconds += ends - self.clock_seconds
        self.clock_seconds = ends
        self._arrived_seconds = max(self._arrived_seconds, ends)
        if self.windows:
            self.history["clock_seconds"][-1] = ends

    def summary(self) -> dict[str, float]:
        """Totals and means since the start; see :func:`~cloudedge_pl.simulation.records.summarise`."""
        return summarise(self.history, self.accounts, self.clock_seconds, self.sync_seconds)

    def report(self) -> dict[str, Any]:
        """Names, tasks and joules per node (the master last) and the history, as plain values for figures."""
        return {
            "node_names": [machine.name for machine in (*self.fleet.nodes, self.fleet.coordinator)],
            "node_tasks": self.accounts.tasks.tolist(),
            "node_joules": (self.accounts.joules + self.accounts.sync_joules).tolist(),
            "steps": self.history,
            "max_delay_seconds": self.workload.max_delay_seconds,
        }

    def state_dict(self) -> dict[str, Any]:
        """The simulator's whole state, as plain containers."""
        return {
            "accounts": self.accounts.state_dict(),
            "history": {column: list(values) for column, values in self.history.items()},
            "dormancy": self.dormancy.to_dict(),
            "scheduler": self.scheduler.state_dict(),
            "clock_seconds": self.clock_seconds,
            "sync_seconds": self.sync_seconds,
            "windows": self.windows,
            "link_noise": self._link_noise,
            "ready_seconds": self._ready_seconds.tolist(),
            "arrived_seconds": self._arrived_seconds,
            "master_ready_seconds": list(self._master.ready_seconds),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            CheckpointError: if it belongs to a fleet of another size, or to an earlier version.
        """
        if missing := sorted(self.state_dict().keys() - state.keys()):
            raise CheckpointError(
                f"the checkpoint's simulator has no {', '.join(missing)}: an earlier version of cloudedge_pl wrote it. "
                "Load its weights with ckpt_path left out and module.load_state_dict, or resume with that version."
            )
        theirs, ours = len(state["ready_seconds"]), self.fleet.num_nodes
        if theirs != ours:
            raise CheckpointError(
                f"the checkpoint is of a fleet of {theirs} nodes, this one has {ours}; resume with the fleet that it "
                "was trained with."
            )
        self.accounts.load_state_dict(state["accounts"])
        self.history = {column: list(values) for column, values in state["history"].items()}
        self.dormancy = DormancyState.from_dict(state["dormancy"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.clock_seconds, self.sync_seconds = state["clock_seconds"], state["sync_seconds"]
        self.windows = state["windows"]
        self._link_noise = state["link_noise"]
        self._ready_seconds = np.array(state["ready_seconds"])
        self._arrived_seconds = state["arrived_seconds"]
        self._master.ready_seconds = list(state["master_ready_seconds"])
