"""Makespan and time of every scheduler, and of peers: python benchmarks/schedule.py [--json] [--peers]

Windows come from the families of ``cloudedge_pl.scheduling.families``; memory binds in those named after it. A row is
one call on one window: seconds of the call with compiled kernels, makespan, lower bound (that of the LP relaxation,
which is exact for identical tasks; above ``--lp-pairs`` pairs of task and node, the dual bound of the prices), ratio
= makespan / lower_bound, evaluations. A row of ``atsa`` also says after how many evaluations it was as good as
``aco`` and ``pso`` in the end. A scheduler that a window is too large for is left out, with a line on stderr; the
largest windows are only run with identical tasks, by ``atsa``.

Peers, if installed (``pip install cloudedge_pl[bench]``), are OR-Tools' CP-SAT, from scratch and from the schedule of
an ``atsa`` with ten times the evaluations, and mealpy's genetic algorithm, the best of the 18 of its optimisers that
we tried. Each runs once for every limit of ``--peer-seconds``, and ``exact`` with ``--exact-seconds``. Without
``--json``, medians over the seeds are printed as tables: all rows; if peers ran, the makespan of ``atsa`` over the
best of any peer and over the best of all; if ``aco`` or ``pso`` ran, the evaluations. ``--rows`` adds the rows of an
earlier run, so that a new ``atsa`` can be compared with peers that take long.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from setting import print_json, setting, timed

from cloudedge_pl.scheduling import SCHEDULERS, NodeState, TaskWindow, schedule
from cloudedge_pl.scheduling.bounds import lower_bound
from cloudedge_pl.scheduling.comparing import suits, warm_up
from cloudedge_pl.scheduling.families import FAMILIES, generate_window
from cloudedge_pl.scheduling.instance import Instance

SIZES = ("200x10", "200x30", "1000x30", "10000x1000", "100000x1000")

LARGEST = 10**7
"""Above this many pairs of task and node only identical tasks are scheduled, by atsa: other times fill the memory."""

Row = dict[str, Any]


def lp_bound(times: np.ndarray) -> float:
    """The least makespan if tasks could be divided and memory were unlimited, by HiGHS."""
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    tasks, nodes = times.shape
    task, node = np.nonzero(times < np.inf)
    pairs = np.arange(len(task))
    each_once = coo_array((np.ones(len(pairs)), (task, pairs)), shape=(tasks, len(pairs) + 1))
    loads = coo_array(
        (
            np.append(times[task, node], np.full(nodes, -1.0)),
            (np.append(node, np.arange(nodes)), np.append(pairs, np.full(nodes, len(pairs)))),
        ),
        shape=(nodes, len(pairs) + 1),
    )
    cost = np.append(np.zeros(len(pairs)), 1.0)
    answer = linprog(cost, loads, np.zeros(nodes), each_once, np.ones(tasks), method="highs")
    return max(float(answer.fun), float(times.min(axis=1).max()))


def cp_sat(
    window: TaskWindow, state: NodeState, limit: float, seed: int, hint: np.ndarray | None = None
) -> float:
    """Makespan of CP-SAT, which may start from a schedule; inf if it found none."""
    from ortools.sat.python import cp_model

    times = window.times_seconds
    nodes = window.num_nodes
    runs = times < np.inf
    ticks = 1e6 / times[runs].max()  # CP-SAT counts in integers
    whole = np.rint(np.where(runs, times, 0.0) * ticks).astype(np.int64)
    needs = np.ceil(window.memory_bytes * 1e6).astype(np.int64)
    model = cp_model.CpModel()
    used = [{int(node): model.new_bool_var("") for node in np.flatnonzero(row)} for row in runs]
    makespan = model.new_int_var(0, int(whole.max(axis=1).sum()), "makespan")
    for row in used:
        model.add_exactly_one(row.values())
    for node in range(nodes):
        on = [(task, row[node]) for task, row in enumerate(used) if node in row]
        model.add(sum(int(whole[task, node]) * variable for task, variable in on) <= makespan)
        if window.queue_holds_memory:
            room = int(state.free_memory_bytes[node] * 1e6)
            model.add(sum(int(needs[task]) * variable for task, variable in on) <= room)
    model.minimize(makespan)
    if hint is not None:
        for task, row in enumerate(used):
            for node, variable in row.items():
                model.add_hint(variable, bool(hint[task] == node))
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = limit
    solver.parameters.random_seed = seed
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return float("inf")
    loads = np.zeros(nodes)
    for task, row in enumerate(used):
        node = next(at for at, variable in row.items() if solver.boolean_value(variable))
        loads[node] += times[task, node]
    return float(loads.max())


def cp_sat_hinted(window: TaskWindow, state: NodeState, limit: float, seed: int) -> float:
    """Makespan of CP-SAT when it starts from a long search by atsa, which adds less than a second to the limit."""
    known = schedule(window, "atsa", state=state, seed=seed + 1, evaluations=100_000)
    return min(cp_sat(window, state, limit, seed, known.node), known.makespan_seconds)


def genetic(window: TaskWindow, state: NodeState, limit: float, seed: int) -> float:
    """Makespan of mealpy's genetic algorithm over a node for each task; inf if it found no schedule within memory."""
    from mealpy import GA, IntegerVar

    times = window.times_seconds
    tasks, nodes = times.shape
    row = np.arange(tasks)
    memory = window.memory_bytes if window.queue_holds_memory else np.zeros(tasks)
    never = float(np.where(times < np.inf, times, 0.0).sum())  # more than any schedule

    def makespan(solution: np.ndarray) -> float:
        node = solution.astype(np.int64)
        if (np.bincount(node, memory, nodes) > state.free_memory_bytes).any():
            return never
        return float(min(np.bincount(node, times[row, node], nodes).max(), never))

    problem = {
        "obj_func": makespan,
        "bounds": IntegerVar(lb=[0] * tasks, ub=[nodes - 1] * tasks),
        "minmax": "min",
        "log_to": None,
    }
    optimiser = GA.BaseGA(epoch=100_000, pop_size=50, pc=0.9, pm=0.01)
    best = optimiser.solve(problem, termination={"max_time": limit}, seed=seed)
    return float(best.target.fitness) if best.target.fitness < never else float("inf")


PEERS: dict[str, tuple[str, Callable[[TaskWindow, NodeState, float, int], float]]] = {
    "cp_sat": ("ortools", cp_sat),
    "cp_sat_hinted": ("ortools", cp_sat_hinted),
    "mealpy_ga": ("mealpy", genetic),
}
"""A peer's name to its package and its function: (window, state, limit in seconds, seed) -> makespan."""


def installed(package: str) -> bool:
    """Whether a peer's package can be imported."""
    from importlib.util import find_spec

    return find_spec(package) is not None


@contextmanager
def prints_to_stderr() -> Iterator[None]:
    """Sends standard output to stderr, at the level of the process: HiGHS sometimes prints a line of its own."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def left_out(family: str, name: str, pairs: int) -> bool:
    """Whether a scheduler is left out on a window of this many pairs of task and node."""
    if pairs > LARGEST:
        return family != "identical" or name != "atsa"
    return name == "exact" or not suits(name, pairs)  # exact has an option of its own


def run(family: str, tasks: int, nodes: int, seed: int, options: argparse.Namespace) -> Iterator[Row]:
    """The rows of one window."""
    pairs = tasks * nodes
    names = [name for name in options.schedulers if not left_out(family, name, pairs)]
    exact = options.exact_seconds if suits("exact", pairs) else 0.0
    if not names and not exact:
        return
    window, state = generate_window(family, tasks, nodes, seed)
    answers = {}
    for name in names:
        warm_up(name, window, state)
        try:
            calls = [
                timed(lambda name=name: schedule(window, name, state=state, seed=seed))
                for _ in range(options.repeats)
            ]
            answers[name] = min(calls, key=lambda call: call[1])
        except ValueError as error:  # a list rule may find no packing
            tell(f"{family} {tasks}x{nodes}, seed {seed}, {name}: {error}")
    if exact:
        with prints_to_stderr():
            answers[f"exact@{exact:g}s"] = timed(
                lambda: schedule(
                    window, "exact", state=state, seed=seed, time_limit_seconds=exact, start=False
                )
            )
    least = lower_bound(Instance.of(window, state))
    bound = max((answer.lower_bound_seconds for answer, _ in answers.values()), default=least)
    if family != "identical" and pairs <= options.lp_pairs:
        bound = max(bound, lp_bound(window.times_seconds))
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
    if pairs <= options.peer_pairs:
        for name in options.peers:
            package, peer = PEERS[name]
            if not installed(package):
                continue
            first = TaskWindow(window.times_seconds[:3])
            peer(first, state, 0.1, seed)  # imports the package
            for limit in options.peer_seconds:
                makespan, seconds = timed(lambda peer=peer, limit=limit: peer(window, state, limit, seed))
                yield row(f"{name}@{limit:g}s", seconds, makespan)


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


def window_of(row: Row) -> tuple[str, int, int, int]:
    """Family, tasks, nodes and seed."""
    return row["family"], row["tasks"], row["nodes"], row["seed"]


def windows(rows: Sequence[Row]) -> dict[tuple[str, int, int], list[dict[str, Row]]]:
    """The rows of each window by scheduler; windows by family, tasks and nodes."""
    found: dict[tuple[str, int, int, int], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        found[window_of(row)][row["scheduler"]] = row
    groups: dict[tuple[str, int, int], list[dict[str, Row]]] = defaultdict(list)
    for (family, tasks, nodes, _), window in found.items():
        groups[family, tasks, nodes].append(window)
    return groups


def peers_table(rows: Sequence[Row]) -> str:
    """The makespan of atsa over the best of the peers and over the best of all, and its time; empty without peers."""
    lines = []
    for (family, tasks, nodes), group in windows(rows).items():
        ratios, known, seconds = [], [], []
        for window in group:
            best = min((row["makespan"] for name, row in window.items() if "@" in name), default=np.inf)
            if "atsa" in window and best < np.inf:
                ratios.append(window["atsa"]["makespan"] / best)
                known.append(window["atsa"]["makespan"] / min(row["makespan"] for row in window.values()))
                seconds.append(1e3 * window["atsa"]["seconds"])
        if ratios:
            lines.append(
                f"| {family} {tasks}x{nodes} | {statistics.median(ratios):.4f} | {max(ratios):.4f} | "
                f"{statistics.median(known):.4f} | {max(known):.4f} | "
                f"{statistics.median(seconds):.1f} ms | {max(seconds):.1f} ms | {len(ratios)} |"
            )
    head = [
        "| windows | over peers | worst | over best known | worst | median time | longest | seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    title = "atsa over the best that any peer found, over the best that anyone found, and its time:"
    return "\n".join([title, "", *head, *lines]) if lines else ""


def evaluations_table(rows: Sequence[Row]) -> str:
    """Medians of the evaluations until atsa is as good as aco and pso; empty if these were not run."""
    lines = []
    for (family, tasks, nodes), group in windows(rows).items():
        cells = []
        for other in ("aco", "pso"):
            both = [window for window in group if {"atsa", other} <= window.keys()]
            cells += [
                _median(window["atsa"][f"evaluations_to_{other}"] for window in both),
                _median(window[other]["evaluations_to_end"] for window in both),
            ]
        if any(cells):
            lines.append(f"| {family} {tasks}x{nodes} | {' | '.join(cells)} |")
    head = [
        "| windows | atsa reaches aco | aco's own | atsa reaches pso | pso's own |",
        "|---|---|---|---|---|",
    ]
    title = "Evaluations until atsa is as good as aco and pso at their end, and after which these found no better:"
    return "\n".join([title, "", *head, *lines]) if lines else ""


def _median(counts: Iterable[int | None]) -> str:
    known = [np.inf if count is None else count for count in counts]
    if not known:
        return ""
    middle = statistics.median(known)
    return f"{middle:.0f}" if middle < np.inf else "never"


def size(text: str) -> tuple[int, int]:
    """The numbers of tasks and nodes of a size such as 200x10."""
    tasks, cross, nodes = text.partition("x")
    if not (cross and tasks.isdecimal() and nodes.isdecimal() and int(tasks) > 0 and int(nodes) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write tasks x nodes, such as 200x10")
    return int(tasks), int(nodes)


def count(text: str) -> int:
    """A whole number, at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def seconds(text: str) -> float:
    """A finite number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < np.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def earlier(path: Path, rows: Sequence[Row]) -> list[Row]:
    """The rows of a file that are of the same windows, and of schedulers that have not run on them now."""
    now = {(*window_of(row), row["scheduler"]) for row in rows}
    here = {window_of(row) for row in rows}
    found = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in found if window_of(row) in here and (*window_of(row), row["scheduler"]) not in now]


def tell(line: str) -> None:
    """Prints a line beside the results, to stderr."""
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", choices=list(FAMILIES), default=list(FAMILIES))
    parser.add_argument(
        "--sizes", nargs="+", type=size, default=list(map(size, SIZES)), metavar="TASKSxNODES"
    )
    parser.add_argument("--seeds", type=count, default=20, help="windows of each family and size")
    parser.add_argument("--repeats", type=count, default=1, help="calls, of which the fastest is timed")
    parser.add_argument("--schedulers", nargs="+", choices=list(SCHEDULERS), default=list(SCHEDULERS))
    parser.add_argument(
        "--exact-seconds", type=seconds, default=0.0, help="also run HiGHS, from scratch, this long"
    )
    parser.add_argument(
        "--peers", nargs="*", choices=list(PEERS), default=(), help="also run these, or all if none is named"
    )
    parser.add_argument("--peer-seconds", nargs="+", type=seconds, default=[1.0, 10.0])
    parser.add_argument(
        "--peer-pairs", type=int, default=50_000, help="run peers up to this many pairs of task and node"
    )
    parser.add_argument(
        "--lp-pairs", type=int, default=50_000, help="use the LP's bound up to this many pairs"
    )
    parser.add_argument(
        "--rows", type=Path, help="a file of an earlier run with --json: its rows go into the tables"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object for each row, one a line")
    options = parser.parse_args(arguments)
    if options.schedulers == ["exact"] and not options.exact_seconds:
        parser.error("exact is run by --exact-seconds LIMIT, not by --schedulers")
    if options.peers == []:
        options.peers = list(PEERS)
    for name, package in ((name, PEERS[name][0]) for name in options.peers):
        if not installed(package):
            tell(f"left out: {name}, as {package} is not installed (pip install 'cloudedge_pl[bench]')")
    shared = setting("schedule", "numpy", "scipy", "numba", "ortools", "mealpy")
    rows = []
    for tasks, nodes in options.sizes:
        for family in options.families:
            where = f"{family} {tasks}x{nodes}"
            out = [name for name in options.schedulers if left_out(family, name, tasks * nodes)]
            if out:
                tell(f"{where}, left out: {', '.join(out)}")
            for seed in range(options.seeds):
                for row in run(family, tasks, nodes, seed, options):
                    rows.append(row)
                    if options.json:
                        print_json({**shared, **row})
            if not options.json:
                tell(f"{where} done")
    if not rows:
        sys.exit(
            "nothing was run: every scheduler is left out at these sizes; choose others, or smaller sizes"
        )
    if not options.json:
        rows += earlier(options.rows, rows) if options.rows else []
        tables = filter(None, (table(rows), peers_table(rows), evaluations_table(rows)))
        print(", ".join(f"{name} {value}" for name, value in shared.items()), *tables, sep="\n\n")


if __name__ == "__main__":
    main()
