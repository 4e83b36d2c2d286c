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

from cloudedge_pl.costs.transmission import master_rate_bits_per_second
from cloudedge_pl.dormancy import DormancyState
from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.fleet import Fleet, Workload
from cloudedge_pl.offloading import SplitCosts
from cloudedge_pl.scheduling import Assignment, NodeState, Scheduler, TaskWindow
from cloudedge_pl.scheduling.bounds import lower_bound
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.simulation.accounts import Accounts
from cloudedge_pl.simulation.dispatch import dispatch
from cloudedge_pl.simulation.queues import serve_at_nodes, serve_at_one

Decide = Callable[[DormancyState, float], DormancyState]
"""Takes the dormancy state and the delay now, in seconds; returns the state for this window."""


@dataclass(frozen=True)
class WindowRecord:
    """What happened in one window.

    Args:
        assignment: which node ran which task.
        delay_seconds: [num_tasks] from a task's arrival (in training: the window's opening) to its answer; in training
            to the gradient's return, from the cloud while that is awake.
        link_delay_seconds: edge to cloud in this window, mean over its tasks, measured or probed; the paper's T_rd.
        awake: whether the cloud worked.
        joules: [num_nodes + 1] drawn in the window; the master's last.
        upload_bytes: [num_nodes + 1].
        download_bytes: [num_nodes + 1].
        exit_bytes: [num_nodes + 1] between each node and the exit head on the master, there and back.
        clock_seconds: virtual time at the end of the window.
    """

    assignment: Assignment
    delay_seconds: np.ndarray
    link_delay_seconds: float
    awake: bool
    joules: np.ndarray
    upload_bytes: np.ndarray
    download_bytes: np.ndarray
    exit_bytes: np.ndarray
    clock_seconds: float


@dataclass(frozen=True)
class Exchange:
    """What an aggregation costs, in which every node sends its weights to the master and gets their average.

    Args:
        seconds: until the master has all weights, and all nodes have their average.
        joules: [num_nodes + 1] radio of the senders, the master's multicast included, and the idle power of all.
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
        history: per window, as lists: the columns of :data:`HISTORY`; a window lasts from the end of the one before to
            its own ``clock_seconds``.
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
        self._arrived_seconds = 0.0
        self._master_ready_seconds = [0.0, 0.0, 0.0]  # done with receiving, with exit heads, with sending
        self._master_rate = master_rate_bits_per_second(fleet)
        machines = [*fleet.nodes, fleet.coordinator]
        self._idle_watts = np.array([m.idle_watts for m in machines])
        self._busy_watts = np.array([m.busy_watts for m in machines])
        self._transmit_watts = np.array([m.transmit_watts for m in machines])

    def step(self, num_tasks: int, owners: np.ndarray | None = None) -> WindowRecord:
        """Runs one window.

        In training all tasks are there when the window opens, and are scheduled together; the window lasts until the
        last gradient is back at its node, and for ``num_tasks / arrival_rate`` at least, in which the next batch
        gathers. In inference tasks arrive one by one, each is dispatched at its arrival, and the window lasts until the
        last answer that is known of is out; arrivals go on meanwhile. docs/windows.md says more.

        Args:
            num_tasks: how many tasks there are in it, at least 1.
            owners: the node of each task, int64 [num_tasks], where that is settled; None asks the scheduler.
        """
        if num_tasks < 1:
            raise ValueError(f"a window of {num_tasks} tasks; it needs at least 1.")
        random = np.random.default_rng([self.seed, self.windows])
        factor = self._link_factor(random)
        opens, training = self.clock_seconds, self.workload.phase == "training"
        if training:
            arrivals = np.full(num_tasks, opens)
            latest = opens + num_tasks / self.workload.arrival_rate
        else:
            gaps = random.exponential(1 / self.workload.arrival_rate, num_tasks)
            arrivals = self._arrived_seconds + np.cumsum(gaps)
            latest = self._arrived_seconds = float(arrivals[-1])
        at_node = arrivals + self.costs.terminal_seconds
        assignment = self._schedule(at_node, owners)
        node = assignment.node
        done = serve_at_nodes(at_node, node, self.costs.execution_seconds, self._ready_seconds)
        np.maximum.at(self._ready_seconds, node, done)

        transfer = self._transfer_seconds(self.costs.upload_bytes)[node] * factor
        link_delay = float(transfer.mean())
        awake = self._decide(link_delay)
        back = self._transfer_seconds(self.costs.download_bytes)[node] * factor
        answered = done + transfer + self.costs.cloud_seconds + back
        if self.costs.exit_seconds > 0 and (training or not awake):
            from_master = self._run_at_master(done, node)
            answered = answered if awake else from_master
            latest = max(latest, float(from_master.max()))

        self.clock_seconds = max(opens, latest, float(answered.max()))
        record = self._account(assignment, answered - arrivals, link_delay, awake, self.clock_seconds - opens)
        self.windows += 1
        mean_delay = float(record.delay_seconds.mean())
        row = (self.clock_seconds, num_tasks, mean_delay, link_delay, awake)
        for column, value in zip(HISTORY, row, strict=True):
            self.history[column].append(value)
        return record

    def exchange(self, num_bytes: float) -> Exchange:
        """What an aggregation of ``num_bytes`` of weights costs a fleet that is idle."""
        seconds = self._collected(num_bytes, np.zeros(self.fleet.num_nodes)) + self._multicast_seconds(
            num_bytes
        )
        sending = np.append(8 * num_bytes / self._master_rate, self._multicast_seconds(num_bytes))
        joules = self._idle_watts * seconds + self._transmit_watts * sending
        return Exchange(seconds, joules, np.append(np.full(self.fleet.num_nodes, 2 * num_bytes), 0.0))

    def synchronise(self, num_bytes: float) -> None:
        """Runs an aggregation: the nodes finish their tasks, send ``num_bytes`` of weights and get as many back.

        The master receives on one link, in the order in which the nodes' last bytes come, and sends the average to all
        at once, at the rate of the slowest. The next window opens when all have it. Where there are no weights, nobody
        waits.
        """
        if num_bytes == 0:
            return
        exchange = self.exchange(num_bytes)
        ready = np.maximum(self._ready_seconds, self.clock_seconds)
        ends = self._collected(num_bytes, ready) + self._multicast_seconds(num_bytes)
        waiting = ends - self.clock_seconds - exchange.seconds
        self.accounts.add(
            sync_bytes=exchange.num_bytes, sync_joules=exchange.joules + self._idle_watts * waiting
        )
        self.sync_seconds += ends - self.clock_seconds
        self.clock_seconds = ends
        self._arrived_seconds = max(self._arrived_seconds, ends)
        if self.windows:
            self.history["clock_seconds"][-1] = ends

    def _collected(self, num_bytes: float, ready: np.ndarray) -> float:
        """When the master has every node's weights; nodes send from ``ready`` on, all over the master's one link."""
        took = 8 * num_bytes / self.fleet.coordinator.throughput_bits_per_second
        return float(serve_at_one(ready + 8 * num_bytes / self._master_rate - took, took, -math.inf).max())

    def _multicast_seconds(self, num_bytes: float) -> float:
        return 8 * num_bytes / float(self._master_rate.min())

    def _link_factor(self, random: np.random.Generator) -> float:
        link = self.fleet.link
        innovation = float(random.standard_normal())
        if self.windows == 0:
            self._link_noise = innovation
        else:
            spread = float(np.sqrt(1 - link.correlation**2))
            self._link_noise = link.correlation * self._link_noise + spread * innovation
        return float(np.exp(link.variation * self._link_noise))

    def _schedule(self, at_node: np.ndarray, owners: np.ndarray | None) -> Assignment:
        nodes, num_tasks = self.fleet.num_nodes, len(at_node)
        memory = self.fleet.array("memory_bytes")
        if owners is None and self.workload.phase == "inference":
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

    def _run_at_master(self, done: np.ndarray, node: np.ndarray) -> np.ndarray:
        """When the exit head's answer is out, or in training its gradient back at the node [num_tasks].

        The master receives on one link, answers one task after another, and sends on one link: each first come, first
        served. A node slower than the master takes longer to send and to receive.
        """
        costs, rate = self.costs, self._master_rate[node]
        received, answered, sent = self._master_ready_seconds
        link = 8 / self.fleet.coordinator.throughput_bits_per_second
        took = costs.exit_upload_bytes * link
        arrived = serve_at_one(done + 8 * costs.exit_upload_bytes / rate - took, took, received)
        out = serve_at_one(arrived, costs.exit_seconds, answered)
        took = costs.exit_download_bytes * link
        back = serve_at_one(out, took, sent)
        self._master_ready_seconds = [float(each.max()) for each in (arrived, out, back)]
        return back + 8 * costs.exit_download_bytes / rate - took

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
    ) -> WindowRecord:
        costs = self.costs
        tasks = np.append(assignment.tasks_per_node, 0).astype(np.float64)
        uploaded = tasks * costs.upload_bytes * awake
        downloaded = tasks * costs.download_bytes * awake
        # The exit head runs where it answers, and in training at every step: it learns along.
        exits = tasks * (self.workload.phase == "training" or not awake) * (costs.exit_seconds > 0)
        to_master, from_master = exits * costs.exit_upload_bytes, exits * costs.exit_download_bytes
        busy = np.append(tasks[:-1] * costs.execution_seconds, exits.sum() * costs.exit_seconds)
        bandwidth = self.fleet.link.bandwidth_bits_per_second
        rate = np.minimum(bandwidth, self.fleet.array("throughput_bits_per_second"))
        sending = 8 * uploaded[:-1] / rate + 8 * to_master[:-1] / self._master_rate
        sending_back = float((8 * from_master[:-1] / self._master_rate).sum())
        joules = (
            self._idle_watts * elapsed_seconds
            + (self._busy_watts - self._idle_watts) * busy
            + self._transmit_watts * np.append(sending, sending_back)
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
            assignment,
            delay_seconds,
            link_delay,
            awake,
            joules,
            uploaded,
            downloaded,
            to_master + from_master,
            self.clock_seconds,
        )

    def summary(self) -> dict[str, float]:
        """Totals and means since the start; the means over tasks are nan before the first window.

        Returns:
            tasks; mean_delay_seconds, mean_energy_joules, mean_upload_bytes (to the cloud) and mean_exit_bytes (between
            nodes and exit head, both ways), per task, without aggregations;
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
            "mean_exit_bytes": float(
                (self.accounts.exit_upload_bytes + self.accounts.exit_download_bytes).sum()
            )
            / total,
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
            "arrived_seconds": self._arrived_seconds,
            "master_ready_seconds": list(self._master_ready_seconds),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave.

        Raises:
            CheckpointError: where it is of a fleet of another size, or of an earlier version.
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
        self.dormancy = DormancyState(**state["dormancy"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.clock_seconds, self.sync_seconds = state["clock_seconds"], state["sync_seconds"]
        self.windows = state["windows"]
        self._link_noise = state["link_noise"]
        self._ready_seconds = np.array(state["ready_seconds"])
        self._arrived_seconds = state["arrived_seconds"]
        self._master_ready_seconds = list(state["master_ready_seconds"])
