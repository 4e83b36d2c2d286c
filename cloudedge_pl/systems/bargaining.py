"""Nodes that share the tasks by bargaining, so that no node is better off unless another one is worse off."""

from __future__ import annotations

from typing import Any

import numpy as np
from typing_extensions import override

from cloudedge_pl.errors import require_positive
from cloudedge_pl.scheduling.base import OnePassScheduler
from cloudedge_pl.scheduling.instance import Instance


def bargained_shares(task_seconds: np.ndarray, arrival_rate: float) -> np.ndarray:
    """The Nash bargaining solution: all nodes that get tasks have the same capacity to spare.

    It maximises the product of the nodes' spare capacities, that is of 1 / (their mean time in system) if arrivals are
    Poisson and a node shares its time among its tasks. Nodes slower than the common spare capacity get no task.

    Args:
        task_seconds: [num_nodes], of one task; infinite for a node that cannot run it. At least one is finite.
        arrival_rate: of all nodes together, in tasks per second.

    Returns:
        [num_nodes], which sum to 1. Nodes that take no time share everything among each other.

    Source: the cooperative game of Xiao et al. 2018 (GWS), solved as in Grosu, Chronopoulos and Leung 2008,
    "Cooperative load balancing in distributed systems", algorithm COOP.

    >>> bargained_shares(np.array([0.1, 0.2]), arrival_rate=9.0).round(3).tolist()
    [0.778, 0.222]
    """
    seconds = np.asarray(task_seconds, dtype=np.float64)
    if (seconds == 0).any():
        return np.asarray((seconds == 0) / np.count_nonzero(seconds == 0))
    speed = 1 / seconds
    order = np.argsort(-speed, kind="stable")
    usable = order[speed[order] > 0]
    spare = (np.cumsum(speed[usable]) - arrival_rate) / np.arange(1, len(usable) + 1)
    used = usable[: int(np.flatnonzero(speed[usable] > spare)[-1]) + 1]
    shares = np.zeros(len(seconds))
    shares[used] = (speed[used] - (speed[used].sum() - arrival_rate) / len(used)) / arrival_rate
    return shares


class BargainingBalancer(OnePassScheduler):
    """Deals tasks out to the nodes in the shares on which they agree, in order of arrival.

    Each task goes to the node that is furthest behind its share, which depends on the task's own times.

    Args:
        arrival_rate: of all nodes together, in tasks per second.
        seed: not used.

    Raises:
        ValueError: if the rate is not positive.

    Source: Xiao et al. 2018 (GWS), as Xu 2020, Sec. 1, describes it: "a collaborative load-balancing algorithm for
    the TS mechanism in edge computing nodes" that "achieved Pareto optimality"; deviates: nodes run one task at a time
    instead of sharing their time (TS), the shares follow from the known rate instead of from stealing, and the queues
    of the moment are not looked at.
    """

    def __init__(self, *, arrival_rate: float, seed: int = 0) -> None:
        super().__init__(seed=seed)
        require_positive("bargaining", arrival_rate=arrival_rate)
        self.arrival_rate = float(arrival_rate)
        self._behind: np.ndarray | None = None

    @override
    def place(self, instance: Instance) -> np.ndarray:
        if self._behind is None or len(self._behind) != instance.num_nodes:
            self._behind = np.zeros(instance.num_nodes)
        node = np.empty(instance.num_tasks, dtype=np.int64)
        shares = np.zeros(0)
        for task in range(instance.num_tasks):
            if task == 0 or not instance.identical:
                shares = bargained_shares(instance.times_seconds[task], self.arrival_rate)
            self._behind += shares
            node[task] = int(np.argmax(np.where(shares > 0, self._behind, -np.inf)))
            self._behind[node[task]] -= 1.0
        return node

    @override
    def state_dict(self) -> dict[str, Any]:
        behind = None if self._behind is None else self._behind.tolist()
        return {**super().state_dict(), "behind": behind}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._behind = None if state["behind"] is None else np.array(state["behind"])
