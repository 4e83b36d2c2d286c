"""ATSA, the adaptive task scheduling algorithm: an ant colony guided by prices, with a lower bound to stop at."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from typing_extensions import override

from cloudedge_pl.errors import require_positive, require_range
from cloudedge_pl.scheduling.base import SeededScheduler
from cloudedge_pl.scheduling.bounds import longest_task_bound, mean_seconds
from cloudedge_pl.scheduling.identical import assign_identical
from cloudedge_pl.scheduling.instance import Instance
from cloudedge_pl.scheduling.packing import pack
from cloudedge_pl.scheduling.types import Assignment, NodeState, TaskWindow


class AdaptiveTaskScheduler(SeededScheduler):
    """ATSA, improved.

    Identical tasks (a training batch under one split) are scheduled exactly, without a colony. For others:

    1. Prices. A subgradient method solves the dual of the LP relaxation. It gives a lower bound, and prices of a second
       of each node and of a byte where memory is scarce. The reduced cost of a task on a node is what it costs there
       beyond its cheapest node.
    2. First schedules: one by price, and the best one of the list rules. Local search improves both by moves, swaps and
       chains that take load off the critical node at the least reduced cost. The result is therefore never worse than a
       list rule (``round_robin`` starting at the first node). Beyond 10^6 pairs of task and node, min_min, max_min and
       sufferage are slow and not tried.
    3. Up to 32 tasks: branch and bound, which usually proves the optimum.
    4. Ants. Each ant removes tasks from the best schedule, or from a slightly worse one, one by one or together. It
       draws new nodes with probability in proportion to tau^alpha * eta^beta and improves the result by the same local
       search. tau is the pheromone; eta is the product of one over the completion time, the memory left free, and the
       price. After each round the pheromone evaporates, and the pairs of every ant receive Q * bound / makespan.
    5. The search ends at the lower bound or after ``evaluations``. The next window starts from each node's pheromone
       and price. Nodes may join and leave; a node that no task could use keeps its values.

    The prices do the adapting between windows. In measurements, the paper's pheromone made schedules neither better nor
    worse in addition to prices and local search.

    A node that can run no task, or whose backlog ends after the last task, is left out of the search. Even if it
    determines the makespan, the tasks of this window are finished as early as possible on the others.

    One evaluation in :attr:`Assignment.history_seconds` is one built schedule, one pass of pricing over the matrix, or
    as many pairs examined by local search or branch and bound as there are tasks, but at least 64.

    Source: Xu 2020, Sec. 2.2 and the parameters of its Fig. 7; deviates: the deposit depends on the makespan instead of
    the total work, which is least with every task on its fastest node; eta includes completion time and price, and
    memory is released; ants vary the best schedule instead of building a new one; prices, local search, bound, branch
    and bound, and the exact case are added. The printed form is ``atsa_paper``.

    Args:
        seed: of the random draws; the same seed gives the same schedules.
        alpha: weight of the pheromone, in [1, 10].
        beta: weight of the heuristic eta, in [1, 10].
        evaporation_rate: share of the pheromone that evaporates in each round, in (0, 1); the paper's rho.
        deposit: the paper's Q, above 0: the pheromone that one round deposits on a pair if all ants use it in schedules
            at the lower bound.
        ants: number of ants per round, at least 1.
        released: number of tasks that an ant moves one by one, at least 1; it moves up to twice as many together.
        candidates: number of nodes that are tried for a task, cheapest first, at least 1; four times as many if at
            least half of the nodes are equal to others.
        evaluations: no further ant starts after this number, at least 1. Run time is proportional to it and to the
            number of tasks.
        price_updates: largest number of updates of the subgradient method, at least 1.
        tolerance: the search ends when the makespan exceeds the lower bound by at most this share, >= 0.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        alpha: float = 1.0,
        beta: float = 5.0,
        evaporation_rate: float = 0.5,
        deposit: float = 5.0,
        ants: int = 10,
        released: int = 3,
        candidates: int = 8,
        evaluations: int = 10_000,
        price_updates: int = 150,
        tolerance: float = 1e-4,
    ) -> None:
        require_range("atsa", 1, 10, alpha=alpha, beta=beta)
        require_range("atsa", 0, 1, open_low=True, open_high=True, evaporation_rate=evaporation_rate)
        require_positive("atsa", deposit=deposit)
        require_range(
            "atsa",
            1,
            math.inf,
            open_high=True,
            whole=True,
            ants=ants,
            released=released,
            candidates=candidates,
            evaluations=evaluations,
            price_updates=price_updates,
        )
        require_range("atsa", 0, math.inf, open_high=True, tolerance=tolerance)
        super().__init__(seed=seed)
        self.price_updates = int(price_updates)
        self._settings = (
            float(alpha),
            float(beta),
            float(evaporation_rate),
            float(deposit),
            int(ants),
            int(released),
            int(candidates),
            int(evaluations),
            float(tolerance),
        )
        self._trail: dict[str, float] = {}
        self._log_price: dict[str, float] = {}

    @override
    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Assigns every task to a node.

        Raises:
            ValueError: if no assignment is found in which all tasks fit.
        """
        instance = Instance.of(window, state)
        if instance.identical:
            node = assign_identical(instance)
            assignment = instance.assignment(node, float(instance.loads(node).max()))
        else:
            assignment = self._schedule(instance, [str(name) for name in state.names])
        self.windows += 1
        return assignment

    def _schedule(self, instance: Instance, names: list[str]) -> Assignment:
        from cloudedge_pl.scheduling.first_schedules import best_listed

        node, fits = best_listed(
            np.ascontiguousarray(instance.times_seconds),
            instance.ready_seconds,
            instance.memory_bytes,
            instance.capacity_bytes,
        )
        if not fits:
            node = pack(instance)
        latest = bound = float(instance.ready_seconds.max())
        history = np.zeros(0)
        while True:
            useful = np.flatnonzero(instance.useful(node))
            part = instance if len(useful) == instance.num_nodes else instance.on(useful)
            found, least, steps = self._search(
                part, [names[j] for j in useful], np.searchsorted(useful, node), len(history)
            )
            node, bound = useful[found], max(bound, least)
            history = np.append(history, np.maximum(steps, latest))
            if part.loads(found).max() <= part.last_done(found):
                break
        return instance.assignment(node, bound, np.minimum.accumulate(history))

    def _search(
        self, instance: Instance, names: list[str], first: np.ndarray, done: int
    ) -> tuple[np.ndarray, float, np.ndarray]:
        """Returns a schedule no worse than ``first``, a lower bound, and the best makespans by evaluation.

        ``done`` evaluations were used before.
        """
        from cloudedge_pl.scheduling.ants import Settings
        from cloudedge_pl.scheduling.colony import search
        from cloudedge_pl.scheduling.compiled import stream
        from cloudedge_pl.scheduling.pricing import prices

        times = np.ascontiguousarray(instance.times_seconds)
        dual, log_price, rent, passes = prices(
            times,
            instance.ready_seconds,
            instance.memory_bytes,
            instance.capacity_bytes,
            self._first_prices(times, names),
            self.price_updates,
        )
        bound = max(dual, longest_task_bound(instance))
        price = np.exp(log_price - log_price.max())
        settings = Settings(*self._settings)
        node, bound, history, trail = search(
            times,
            instance.ready_seconds,
            instance.memory_bytes,
            instance.capacity_bytes,
            price / price.sum(),
            rent,
            bound,
            np.array([self._trail.get(name, 1.0) for name in names]),
            settings._replace(evaluations=max(settings.evaluations - done, 1)),
            first,
            stream(self.seed, self.windows),
        )
        self._trail.update(zip(names, trail.tolist(), strict=True))
        known = self._known_prices(names)
        if (old := ~np.isnan(known)).any():  # only ratios matter; keep them to the nodes that are absent now
            log_price = log_price + np.mean(known[old] - log_price[old])
        self._log_price.update(zip(names, log_price.tolist(), strict=True))
        if instance.loads(first).max() < instance.loads(node).max():
            node = first  # equal except for rounding: a search sums loads in the order of its changes
        # Pricing builds no schedule, but the first schedule needs no prices.
        return node, bound, np.concatenate([np.full(passes, history[0]), history])

    def _known_prices(self, names: list[str]) -> np.ndarray:
        return np.array([self._log_price.get(name, np.nan) for name in names])

    def _first_prices(self, times: np.ndarray, names: list[str]) -> np.ndarray:
        """Returns logarithms of initial prices: in proportion to speed, equal, and those of earlier windows.

        A node that was absent in earlier windows gets a price in proportion to its speed.
        """
        mean = mean_seconds(times)
        speed = -np.log(mean / mean.max())
        starts = [speed, np.zeros(len(names))]
        known = self._known_prices(names)
        old = ~np.isnan(known)
        if old.any():
            starts.append(np.where(old, known, speed + float(np.mean(known[old] - speed[old]))))
        return np.array(starts)

    @override
    def state_dict(self) -> dict[str, Any]:
        """Returns the number of windows so far, and pheromone and price of each node by name."""
        return {**super().state_dict(), "trail": dict(self._trail), "log_price": dict(self._log_price)}

    @override
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned."""
        super().load_state_dict(state)
        self._trail = {str(name): float(value) for name, value in state["trail"].items()}
        self._log_price = {str(name): float(value) for name, value in state["log_price"].items()}
