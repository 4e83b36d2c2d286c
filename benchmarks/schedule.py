"""Makespan and time of every scheduler, and of peers: python benchmarks/schedule.py [--json] [--peers]

Families of times as in ``cloudedge_pl.scheduling.families``. A row is one call on one window: seconds of the call
with kernels compiled, makespan, lower bound (of the LP relaxation; exact for identical tasks; the dual bound of the
prices above ``--lp-pairs`` pairs of task and node), ratio = makespan / lower_bound, evaluations.
An ``atsa`` row also says after how many evaluations it was as good as ``aco`` and ``pso`` at their end.

Peers, where installed (``pip install cloudedge_pl[bench]``): OR-Tools CP-SAT and mealpy's genetic algorithm, which
came out best of its 18 optimisers that we tried, each after every limit of ``--peer-seconds``; and ``exact`` with
``--exact-seconds``. Without ``--json``, medians over the seeds are printed as a table.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from setting import print_json, setting, timed

from cloudedge_pl.scheduling import SCHEDULERS, TaskWindow, schedule
from cloudedge_pl.scheduling.families import FAMILIES, generate

SIZES = ("200x10", "200x30", "1000x30", "10000x1000")

UNSUITED: dict[str, int] = {"exact": 0, "aco": 10**5, "pso": 10**5, "atsa_paper": 10**5}
"""Pairs of task and node above which a scheduler is left out: it would take minutes, or has an option of its own."""

Row = dict[str, Any]


def lp_bound(times: np.ndarray) -> float:
    """Least makespan if tasks could be divided, by HiGHS."""
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    tasks, nodes = times.shape
    pairs = np.arange(tasks * nodes)
    task, node = np.divmod(pairs, nodes)
    each_once = coo_array((np.ones(len(pairs)), (task, pairs)), shape=(tasks, len(pairs) + 1))
    loads = coo_array(
        (
            np.append(times.ravel(), np.full(nodes, -1.0)),
            (np.append(node, np.arange(nodes)), np.append(pairs, np.full(nodes, len(pairs)))),
        ),
        shape=(nodes, len(pairs) + 1),
    )
    cost = np.append(np.zeros(len(pairs)), 1.0)
    answer = linprog(cost, loads, np.zeros(nodes), each_once, np.ones(tasks), method="highs")
    return max(float(answer.fun), float(times.min(axis=1).max()))


def cp_sat(times: np.ndarray, limits: Sequence[float]) -> Iterator[tuple[float, float]]:
    """(limit, makespan) of one run of CP-SAT, looked at as each limit passes."""
    from ortools.sat.python import cp_model

    tasks, nodes = times.shape
    ticks = 1e6 / times.max()  # CP-SAT counts in integers
    whole = np.rint(times * ticks).astype(np.int64)
    model = cp_model.CpModel()
    used = [[model.new_bool_var("") for _ in range(nodes)] for _ in range(tasks)]
    makespan = model.new_int_var(0, int(whole.min(axis=1).sum() * nodes), "makespan")
    for row in used:
        model.add_exactly_one(row)
    for node in range(nodes):
        model.add(sum(int(whole[task, node]) * used[task][node] for task in range(tasks)) <= makespan)
    model.minimize(makespan)

    class Watch(cp_model.CpSolverSolutionCallback):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[tuple[float, float]] = []

        def on_solution_callback(self) -> None:
            loads = np.zeros(nodes)
            for task, row in enumerate(used):
                node = next(at for at, variable in enumerate(row) if self.boolean_value(variable))
                loads[node] += times[task, node]
            self.found.append((self.wall_time, float(loads.max())))

    solver, watch = cp_model.CpSolver(), Watch()
    solver.parameters.max_time_in_seconds = max(limits)
    solver.solve(model, watch)
    for limit in limits:
        yield limit, min((found for seconds, found in watch.found if seconds <= limit), default=float("inf"))


def genetic(times: np.ndarray, limits: Sequence[float], seed: int) -> Iterator[tuple[float, float]]:
    """(limit, makespan) of mealpy's genetic algorithm on a node per task."""
    from mealpy import GA, IntegerVar

    tasks, nodes = times.shape
    row = np.arange(tasks)

    def makespan(solution: np.ndarray) -> float:
        node = solution.astype(np.int64)
        return float(np.bincount(node, times[row, node], nodes).max())

    problem = {
        "obj_func": makespan,
        "bounds": IntegerVar(lb=[0] * tasks, ub=[nodes - 1] * tasks),
        "minmax": "min",
        "log_to": None,
    }
    for limit in limits:
        optimiser = GA.BaseGA(epoch=100_000, pop_size=50, pc=0.9, pm=0.01)
        best = optimiser.solve(problem, termination={"max_time": limit}, seed=seed)
        yield limit, float(best.target.fitness)


PEERS: dict[str, tuple[str, Callable[..., Iterator[tuple[float, float]]]]] = {
    "cp_sat": ("ortools", lambda times, limits, _: cp_sat(times, limits)),
    "mealpy_ga": ("mealpy", genetic),
}
"""By name: the package, and the function of times, limits and seed."""


def installed(package: str) -> bool:
    """Whether a peer's package can be imported."""
    from importlib.util import find_spec

    return find_spec(package) is not None


@contextmanager
def prints_to_stderr() -> Iterator[None]:
    """HiGHS now and then prints a line of its own to standard output, past Python's."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def run(family: str, tasks: int, nodes: int, seed: int, options: argparse.Namespace) -> Iterator[Row]:
    """The rows of one window."""
    times = generate(family, tasks, nodes, seed)
    window = TaskWindow(times)
    answers = {}
    for name in options.schedulers:
        if times.size <= UNSUITED.get(name, times.size):
            schedule(TaskWindow(times[:3]), name)  # compiles
            answers[name] = timed(lambda name=name: schedule(window, name, seed=seed))
    if options.exact_seconds:
        limit = options.exact_seconds
        with prints_to_stderr():
            answers[f"exact@{limit:g}s"] = timed(
                lambda: schedule(window, "exact", seed=seed, time_limit_seconds=limit, start=False)
            )
    bound = max(answer.lower_bound_seconds for answer, _ in answers.values())
    if family != "identical" and times.size <= options.lp_pairs:
        bound = max(lp_bound(times), float(times.min(axis=1).max()))
    where = {"family": family, "tasks": tasks, "nodes": nodes, "seed": seed}

    def row(name: str, seconds: float, makespan: float, **more: Any) -> Row:
        measured = {"seconds": seconds, "makespan": makespan, "lower_bound": bound, "ratio": makespan / bound}
        return {**where, "scheduler": name, **measured, **more}

    for name, (answer, seconds) in answers.items():
        more: Row = {"evaluations": len(answer.history_seconds)}
        if name == "atsa":
            for other in answers.keys() & {"aco", "pso"}:
                target = answers[other][0].makespan_seconds * (1 + 1e-12)
                reached = np.flatnonzero(answer.history_seconds <= target)
                more[f"evaluations_to_{other}"] = int(reached[0]) + 1 if len(reached) else None
        elif name in ("aco", "pso"):  # after which it found nothing better
            more["evaluations_to_end"] = int(np.argmin(answer.history_seconds)) + 1
        yield row(name, seconds, answer.makespan_seconds, **more)
    if options.peers and times.size <= options.peer_pairs:
        for name, (package, peer) in PEERS.items():
            if installed(package):
                for limit, makespan in peer(times, options.peer_seconds, seed):
                    yield row(f"{name}@{limit:g}s", limit, makespan)


def table(rows: Sequence[Row]) -> str:
    """Medians over the seeds, as a Markdown table: ratio to the bound, and time."""
    groups: dict[tuple[str, int, int, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["family"], row["tasks"], row["nodes"], row["scheduler"]].append(row)
    lines = [
        "| family | tasks x nodes | scheduler | median makespan / bound | worst | median time | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for (family, tasks, nodes, scheduler), group in groups.items():
        ratios = [row["ratio"] for row in group]
        seconds = statistics.median(row["seconds"] for row in group)
        lines.append(
            f"| {family} | {tasks}x{nodes} | {scheduler} | {statistics.median(ratios):.4f} | {max(ratios):.4f} | "
            f"{1e3 * seconds:.3g} ms | {len(group)} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="TASKSxNODES")
    parser.add_argument("--seeds", type=int, default=20, help="windows of each family and size")
    parser.add_argument("--schedulers", nargs="+", choices=list(SCHEDULERS), default=list(SCHEDULERS))
    parser.add_argument(
        "--exact-seconds", type=float, default=0.0, help="also run HiGHS, from scratch, this long"
    )
    parser.add_argument("--peers", action="store_true", help="also run OR-Tools CP-SAT and mealpy")
    parser.add_argument("--peer-seconds", nargs="+", type=float, default=[1.0, 10.0])
    parser.add_argument("--peer-pairs", type=int, default=50_000, help="up to so many pairs of task and node")
    parser.add_argument("--lp-pairs", type=int, default=50_000, help="up to so many, the bound is the LP's")
    parser.add_argument("--json", action="store_true", help="print one JSON object a row, one a line")
    options = parser.parse_args(arguments)
    shared = setting("schedule", "numpy", "scipy", "numba", "ortools", "mealpy")
    rows = []
    for size in options.sizes:
        tasks, nodes = map(int, size.split("x"))
        for family in options.families:
            for seed in range(options.seeds):
                for row in run(family, tasks, nodes, seed, options):
                    rows.append(row)
                    if options.json:
                        print_json({**shared, **row})
            if not options.json:
                print(f"{family} {size} done", file=sys.stderr, flush=True)
    if not options.json:
        print(", ".join(f"{name} {value}" for name, value in shared.items()), table(rows), sep="\n\n")


if __name__ == "__main__":
    main()
