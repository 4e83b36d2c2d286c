"""A fleet at work on a virtual clock: arrivals, schedule, queues, link, dormancy, accounts; one window at a time.

The formulas are the planner's (:class:`~cloudedge_pl.offloading.SplitCosts`); the simulator adds what an average
cannot show: which task meets which queue, and a link that varies. Randomness is drawn from (seed, window number), so
a window depends on no hidden state and a resumed run equals one that was not stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cloudedge_pl.dormancy import DormancyState
from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.offloading import SplitCosts
from cloudedge_pl.scheduling import Assignment, NodeState, Scheduler, TaskWindow
from cloudedge_pl.scheduling.bounds import lower_bound
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.simulation.accounts import Accounts

Decide = Callable[[DormancyState, float], DormancyState]
"""Takes the dormancy state and the delay now, in seconds; returns the state for this window."""


@dataclass(frozen=True)
class WindowRecord:
    """What happened in one window.

    Args:
        assignment: which node ran which task.
        delay_seconds: [num_tasks] from a task's arrival to its answer.
        link_delay_seconds: edge to cloud in this window, mean over its tasks, measured or probed; the paper's T_rd.
        awake: whether the cloud worked.
        joules: [num_nodes + 1] drawn in the window; the master's last.
        upload_bytes: [num_nodes + 1].
        download_bytes: [num_nodes + 1].
        clock_seconds: virtual time at the end of the window.
    """

    assignment: Assignment
    delay_seconds: np.ndarray
    link_delay_seconds: float
    awake: bool
    joules: np.ndarray
    upload_bytes: np.ndarray
    download_bytes: np.ndarray
    clock_seconds: float


@dataclass(frozen=True)
class Exchange:
    """What an aggregation costs, in which every node sends its weights to the master and gets their average.

    Args:
        seconds: of all nodes at once, there and back: twice the slowest node's.
        joules: [num_nodes + 1] radio of the senders, and the idle power of all.
        num_bytes: [num_nodes + 1] there and back; the master's multicast is counted once with each receiver.
    """

    seconds: float
    joules: np.ndarray
    num_bytes: np.ndarray


HISTORY = ("clock_seconds", "tasks", "mean_delay_seconds", "link_delay_seconds", "awake")


class Simulator:
    """Runs windows of tasks through a fleet whose network is cut at one split point.

    Args:
        costs: seconds and bytes of one task at the split point.
        fleet: nodes, master, cloud and link.
        workload: arrival rate and phase.
        scheduler: assigns each window's tasks.
        decide: the dormancy rule; None keeps the cloud awake.
        seed: of arrivals and link.

    Attributes:
        accounts: totals since the start.
        history: per window, as lists: the columns of :data:`HISTORY`; a window lasts until the next one opens.
        sync_seconds: virtual time spent in aggregations.
    """

    def __init__(
        self,
        costs: SplitCosts,
        fleet: Fleet,
        workload: Workload,
        scheduler: Scheduler,
        decide: Decide | None = None,
        seed: int = 0,
    ) -> None:
        self.costs, self.fleet, self.workload = costs, fleet, workload
        self.scheduler, self.decide, self.seed = scheduler, decide, seed
        self.accounts = Accounts(fleet.num_nodes)
        self.history: dict[str, list[Any]] = {column: [] for column in HISTORY}
        self.dormancy = DormancyState()
        self.clock_seconds = self.sync_seconds = 0.0
        self.windows = 0
        self._link_noise = 0.0
        self._ready_seconds = np.zeros(fleet.num_nodes)
        self._master_ready_seconds = 0.0
        machines = [*fleet.nodes, fleet.coordinator]
        self._idle_watts = np.array([m.idle_watts for m in machines])
        self._busy_watts = np.array([m.busy_watts for m in machines])
        self._transmit_watts = np.array([m.transmit_watts for m in machines])

    def step(self, num_tasks: int, owners: np.ndarray | None = None) -> WindowRecord:
        """Runs one window.

        Args:
            num_tasks: how many tasks arrive in it, at least 1.
            owners: the node of each task, int64 [num_tasks], where that is settled; None asks the scheduler.
        """
        if num_tasks < 1:
            raise ValueError(f"a window of {num_tasks} tasks; it needs at least 1.")
        random = np.random.default_rng([self.seed, self.windows])
        opens = self.clock_seconds
        arrivals = opens + np.cumsum(random.exponential(1 / self.workload.arrival_rate, num_tasks))
        factor = self._link_factor(random)

        assignment = self._schedule(num_tasks, owners)
        node = assignment.node
        at_node = arrivals + self.costs.terminal_seconds
        done = self._run_at_nodes(at_node, node)

        transfer = self._transfer_seconds(self.costs.upload_bytes)[node] * factor
        link_delay = float(transfer.mean())
        awake = self._decide(link_delay)
        if awake:
            back = self._transfer_seconds(self.costs.download_bytes)[node] * factor
            answered = done + transfer + self.costs.cloud_seconds + back
        else:
            answered = self._run_at_master(done)

        closes = float(arrivals[-1])
        record = self._account(assignment, answered - arrivals, link_delay, awake, closes - opens, closes)
        self.clock_seconds = closes
        self.windows += 1
        mean_delay = float(record.delay_seconds.mean())
        for column, value in zip(HISTORY, (closes, num_tasks, mean_delay, link_delay, awake), strict=True):
            self.history[column].append(value)
        return record

    def exchange(self, num_bytes: float) -> Exchange:
        """What an aggregation of ``num_bytes`` of weights costs a fleet that is idle."""
        one_way = np.append(self._sync_seconds(num_bytes), 0.0)
        seconds = 2 * float(one_way.max())
        sent = np.append(np.full(self.fleet.num_nodes, num_bytes), 0.0)
        return Exchange(seconds, self._idle_watts * seconds + self._transmit_watts * one_way, 2 * sent)

    def synchronise(self, num_bytes: float) -> None:
        """Runs an aggregation: the nodes finish their tasks, send ``num_bytes`` of weights and get as many back.

        The next window opens when all have the average. Where there are no weights, nobody waits.
        """
        if num_bytes == 0:
            return
        exchange, one_way = self.exchange(num_bytes), self._sync_seconds(num_bytes)
        collected = float((np.maximum(self._ready_seconds, self.clock_seconds) + one_way).max())
        ends = collected + exchange.seconds / 2
        waiting = ends - self.clock_seconds - exchange.seconds
        self.accounts.add(
            sync_bytes=exchange.num_bytes, sync_joules=exchange.joules + self._idle_watts * waiting
        )
        self.sync_seconds += ends - self.clock_seconds
        self.clock_seconds = ends
        if self.windows:
            self.history["clock_seconds"][-1] = ends

    def _sync_seconds(self, num_bytes: float) -> np.ndarray:
        return 8 * num_bytes / self.fleet.array("throughput_bits_per_second")

    def _link_factor(self, random: np.random.Generator) -> float:
        link = self.fleet.link
        innovation = float(random.standard_normal())
        if self.windows == 0:
            self._link_noise = innovation
        else:
            spread = float(np.sqrt(1 - link.correlation**2))
            self._link_noise = link.correlation * self._link_noise + spread * innovation
        return float(np.exp(link.variation * self._link_noise))

    def _schedule(self, num_tasks: int, owners: np.ndarray | None) -> Assignment:
        nodes = self.fleet.num_nodes
        times = np.broadcast_to(self.costs.execution_seconds, (num_tasks, nodes))
        memory = np.full(num_tasks, self.costs.task_memory_bytes)
        ready = np.maximum(self._ready_seconds - self.clock_seconds, 0.0)
        state = NodeState(ready, self.fleet.array("memory_bytes"), np.ones(nodes, dtype=bool))
        window = TaskWindow(times, memory)
        if owners is None:
            return self.scheduler.assign(window, state)
        instance = Instance.of(window, state)
        return instance.assignment(owners, lower_bound(instance))

    def _run_at_nodes(self, arrivals: np.ndarray, node: np.ndarray) -> np.ndarray:
        """First come, first served at each node: returns when each task is done, and moves the nodes on."""
        service = self.costs.execution_seconds
        order = np.argsort(node, kind="stable")
        counts = np.bincount(node, minlength=len(service))
        rank = np.empty(len(node), dtype=np.int64)
        rank[order] = np.arange(len(node)) - np.repeat(np.cumsum(counts) - counts, counts)
        # Lindley's recursion with a constant service time: start_k = k s + max over i <= k of (arrival_i - i s).
        earliest = np.full((len(service), int(counts.max())), -np.inf)
        earliest[node, rank] = np.maximum(arrivals, self._ready_seconds[node]) - rank * service[node]
        start = np.maximum.accumulate(earliest, axis=1)[node, rank] + rank * service[node]
        done = start + service[node]
        np.maximum.at(self._ready_seconds, node, done)
        return done

    def _run_at_master(self, arrivals: np.ndarray) -> np.ndarray:
        """Exit heads of a window asleep, first come, first served at the master."""
        service = self.costs.exit_seconds
        order = np.argsort(arrivals, kind="stable")
        rank = np.arange(len(arrivals))
        earliest = np.maximum(arrivals[order], self._master_ready_seconds) - rank * service
        done = np.empty_like(arrivals)
        done[order] = np.maximum.accumulate(earliest) + (rank + 1) * service
        self._master_ready_seconds = float(done[order[-1]])
        return done

    def _transfer_seconds(self, num_bytes: float) -> np.ndarray:
        """[num_nodes] seconds between each node and the cloud on an ordinary link; none where nothing is sent."""
        link = self.fleet.link
        if num_bytes == 0:
            return np.zeros(self.fleet.num_nodes)
        rate = np.minimum(link.bandwidth_bits_per_second, self.fleet.array("throughput_bits_per_second"))
        return 8 * num_bytes / rate + link.propagation_seconds

    def _decide(self, link_delay_seconds: float) -> bool:
        if self.decide is None or self.costs.upload_bytes == 0 or self.costs.exit_seconds == 0:
            return True
        self.dormancy = self.decide(self.dormancy, link_delay_seconds)
        return self.dormancy.awake

    def _account(
        self,
        assignment: Assignment,
        delay_seconds: np.ndarray,
        link_delay: float,
        awake: bool,
        elapsed_seconds: float,
        clock_seconds: float,
    ) -> WindowRecord:
        costs = self.costs
        tasks = np.append(assignment.tasks_per_node, 0).astype(np.float64)
        uploaded = tasks * costs.upload_bytes * awake
        downloaded = tasks * costs.download_bytes * awake
        # The exit head runs where it answers, and in training at every step: it learns along.
        exits = len(assignment.node) if self.workload.phase == "training" or not awake else 0
        busy = np.append(tasks[:-1] * costs.execution_seconds, exits * costs.exit_seconds)
        bandwidth = self.fleet.link.bandwidth_bits_per_second
        rate = np.append(np.minimum(bandwidth, self.fleet.array("throughput_bits_per_second")), np.inf)
        joules = (
            self._idle_watts * elapsed_seconds
            + (self._busy_watts - self._idle_watts) * busy
            + self._transmit_watts * 8 * uploaded / rate
        )
        self.accounts.add(
            tasks=tasks, busy_seconds=busy, joules=joules, upload_bytes=uploaded, download_bytes=downloaded
        )
        return WindowRecord(
            assignment, delay_seconds, link_delay, awake, joules, uploaded, downloaded, clock_seconds
        )

    def summary(self) -> dict[str, float]:
        """Totals and means since the start; the means over tasks are nan before the first window.

        Returns:
            tasks; mean_delay_seconds, mean_energy_joules and mean_upload_bytes, per task, without aggregations;
            clock_seconds; sync_seconds, sync_joules and sync_bytes of all aggregations; share_asleep of the
            virtual time.
        """
        tasks = np.array(self.history["tasks"], dtype=np.float64)
        asleep = ~np.array(self.history["awake"], dtype=bool)
        elapsed = np.diff(np.array(self.history["clock_seconds"], dtype=np.float64), prepend=0.0)
        total = float(tasks.sum()) or math.nan
        return {
            "tasks": float(tasks.sum()),
            "clock_seconds": self.clock_seconds,
            "sync_seconds": self.sync_seconds,
            "sync_joules": float(self.accounts.sync_joules.sum()),
            "sync_bytes": float(self.accounts.sync_bytes.sum()),
            "mean_delay_seconds": float(tasks @ np.array(self.history["mean_delay_seconds"])) / total,
            "mean_energy_joules": float(self.accounts.joules.sum()) / total,
            "mean_upload_bytes": float(self.accounts.upload_bytes.sum()) / total,
            "share_asleep": float(elapsed[asleep].sum()) / (self.clock_seconds or math.nan),
        }

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
        """Everything that moves, as plain containers."""
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
            "master_ready_seconds": self._master_ready_seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave.

        Raises:
            CheckpointError: where it is of a fleet of another size.
        """
        theirs, ours = len(state["ready_seconds"]), self.fleet.num_nodes
        if theirs != ours:
            raise CheckpointError(
                f"the checkpoint is of a fleet of {theirs} nodes, this one has {ours}; resume with the fleet that it "
                "was trained with."
            )
        self.accounts.load_state_dict(state["accounts"])
        self.history = {column: list(values) for column, values in state["history"].items()}
        self.dormancy = DormancyState(**state["dormancy"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.clock_seconds, self.sync_seconds = state["clock_seconds"], state["sync_seconds"]
        self.windows = state["windows"]
        self._link_noise = state["link_noise"]
        self._ready_seconds = np.array(state["ready_seconds"])
        self._master_ready_seconds = state["master_ready_seconds"]
