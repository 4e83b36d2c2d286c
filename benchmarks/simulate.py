"""The simulator's correctness and speed: python benchmarks/simulate.py [--json] [--parts queues tandem ...]

queues   Mean wait at one station compared with its closed form, at utilisation 0.5, 0.7 and 0.9: M/M/1, M/D/1 and M/G/1
         (lognormal service times) at a node, M/M/c in the cloud. ``error`` is relative, of the mean over ``--runs``
         runs of ``--tasks`` tasks each, with control variates; ``standard_error`` is relative, too.
         ``largest_difference`` is the largest deviation of any task's wait from Lindley's (or Kiefer and Wolfowitz's)
         recursion on the same arrivals and services, relative to the mean wait.
tandem   A node and the cloud in a row compared with Jackson's product form: both mean waits, and the total variation
         between the joint distribution of the numbers of tasks and the product.
speed    Tasks per second on 10 nodes with ``min_completion``, a varying link, exit head and dormancy.
fleet    The same on a large fleet, and the peak memory of a separate process.
simpy    The same tasks on the same system in simpy (benchmarks/simpy_fleet): how many times faster ours is, and the
         largest relative difference of any time stamp.
step     What the simulation adds to a training step of ResNet-34 on a batch of 128 images of 32 pixels.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from queue_models import Row, costs_of, queues, run, tandem
from setting import print_json, setting, timed
from simpy_fleet import STAMPS, SimpyFleet, setup_of

from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.fleet import Fleet, Link
from cloudedge_pl.scheduling.registry import SCHEDULERS
from cloudedge_pl.simulation.engine import Engine
from cloudedge_pl.simulation.link_laws import LognormalLink
from cloudedge_pl.simulation.scenario import Scenario
from cloudedge_pl.simulation.tasks import ServiceNoise, Tasks

PIECE = 100_000
"""Number of tasks that are given to the engine at once."""
SCENARIO = Scenario(link=LognormalLink(), service=ServiceNoise(jitter=0.2), cloud_servers=100)
UTILISATION = 0.7
WARM_UP = 3
"""Training steps that are not counted."""


def system(num_nodes: int) -> tuple[SplitCosts, Fleet, float]:
    """Costs of a task, a fleet whose master and cloud grow with it, and tasks per second at the utilisation."""
    link = Link(bandwidth_bits_per_second=50e6, propagation_seconds=0.01, variation=0.5)
    fleet = Fleet.preset(num_nodes=num_nodes, link=link, memory_bytes=None, speed_spread=0.4)
    fleet = replace(fleet, master=replace(fleet.coordinator, throughput_bits_per_second=1e8 * num_nodes))
    costs = costs_of(
        execution_seconds=1e9 / fleet.array("flops_per_second"),
        exit_seconds=1e-3 / num_nodes,
        cloud_seconds=1e-3,
        upload_bytes=4000.0,
        exit_upload_bytes=8000.0,
        terminal_seconds=0.01,
    )
    return costs, fleet, UTILISATION * float((1 / costs.execution_seconds).sum())


def engine_of(costs: SplitCosts, fleet: Fleet) -> Engine:
    scheduler = SCHEDULERS["min_completion"]()
    return Engine(costs, fleet, scheduler, SCENARIO, phase="inference", dormancy=DormancyRule())


def pieces(num_tasks: int, rate: float, seed: int = 0) -> Iterator[Tasks]:
    """Tasks of unlike size and work that arrive at random, in pieces."""
    random, clock = np.random.default_rng(seed), 0.0
    for start in range(0, num_tasks, PIECE):
        count = min(PIECE, num_tasks - start)
        arrivals = clock + random.exponential(1 / rate, count).cumsum()
        clock = float(arrivals[-1])
        size, work = random.uniform(0.5, 1.5, (2, count))
        yield replace(Tasks.equal(count, arrivals), size=size, work=work, noise=random.standard_normal(count))


def run_in_pieces(num_nodes: int, num_tasks: int) -> tuple[float, float, float]:
    """Seconds of the engine's own, share of tasks answered, and share answered by the exit head."""
    costs, fleet, rate = system(num_nodes)
    run(engine_of(costs, fleet), next(pieces(1000, rate)))  # compiles
    engine, seconds, answered, by_exit_head = engine_of(costs, fleet), 0.0, 0, 0
    for number, tasks in enumerate(pieces(num_tasks, rate), start=1):

        def step(tasks: Tasks = tasks, final: bool = number * PIECE >= num_tasks) -> Any:
            engine.feed(tasks, final=final)
            engine.run()
            return engine.take_records()

        records, taken = timed(step)
        seconds += taken
        answered += int((records.path >= 0).sum())
        by_exit_head += int((records.path == 1).sum())
    return seconds, answered / num_tasks, by_exit_head / num_tasks


def speed(options: argparse.Namespace) -> Iterator[Row]:
    runs = [run_in_pieces(10, options.tasks) for _ in range(options.repeats)]
    seconds = statistics.median(taken for taken, *_ in runs)
    yield {
        "nodes": 10,
        "tasks": options.tasks,
        "runs": options.repeats,
        "seconds": seconds,
        "tasks_per_second": options.tasks / seconds,
        "answered": runs[0][1],
        "answered_asleep": runs[0][2],
    }


def fleet(options: argparse.Namespace) -> Iterator[Row]:
    command = [sys.executable, __file__, "--child", str(options.fleet_nodes), str(options.fleet_tasks)]
    yield json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def child(num_nodes: int, num_tasks: int) -> Row:
    (seconds, answered, _), wall = timed(lambda: run_in_pieces(num_nodes, num_tasks))
    return {
        "nodes": num_nodes,
        "tasks": num_tasks,
        "seconds": seconds,
        "seconds_with_drawing_tasks": wall,
        "tasks_per_second": num_tasks / seconds,
        "answered": answered,
        "peak_rss_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def simpy(options: argparse.Namespace) -> Iterator[Row]:
    costs, fleet, rate = system(10)
    (tasks,) = pieces(options.simpy_tasks, rate)
    run(engine_of(costs, fleet), tasks[:1000])
    ours = [timed(lambda: run(engine_of(costs, fleet), tasks)) for _ in range(options.repeats)]
    horizon = 10 * float(tasks.arrival_seconds[-1])
    setup = setup_of(costs, fleet, SCENARIO, horizon, dormancy=DormancyRule())
    theirs = [timed(SimpyFleet(setup, tasks).run) for _ in range(options.repeats)]
    differences = [
        np.nanmax(np.abs(getattr(ours[0][0], name) - theirs[0][0][name]) / theirs[0][0][name])
        for name in (f"{stamp}_seconds" for stamp in STAMPS)
    ]
    seconds, peer = (statistics.median(taken for _, taken in each) for each in (ours, theirs))
    yield {
        "nodes": 10,
        "tasks": len(tasks),
        "runs": options.repeats,
        "seconds": seconds,
        "simpy_seconds": peer,
        "ratio": peer / seconds,
        "largest_difference": float(max(differences)),
    }


STEP = {
    "size": 32,
    "nodes": 10,
    "split": "layer2",
    "interval": 1,
    "batch_norm": "shared",
    "edge_loss_weight": 0.3,
}
"""The case of benchmarks/train_step.py that is trained."""


def step(options: argparse.Namespace) -> Iterator[Row]:
    from train_step import BATCH_OF_SIZE, InTurn, train  # torch takes seconds to load

    from cloudedge_pl.simulation import Simulator

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    simulated, original = [], Simulator.step

    def timed_step(*given: Any, **named: Any) -> Any:
        record, taken = timed(lambda: original(*given, **named))
        simulated.append(taken)
        return record

    clock = InTurn({})
    Simulator.step = timed_step
    try:
        train(STEP, options.repeats + WARM_UP, clock)
    finally:
        Simulator.step = original
    seconds = statistics.median(clock.seconds["ours"][WARM_UP:])
    simulation = statistics.median(simulated[-options.repeats :])
    yield {
        **STEP,
        "batch": BATCH_OF_SIZE[STEP["size"]],
        "steps": options.repeats,
        "step_seconds": seconds,
        "simulation_seconds": simulation,
        "share": simulation / seconds,
    }


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "queues": lambda options: queues(options.tasks, options.runs),
    "tandem": lambda options: tandem(options.tasks, options.runs),
    "speed": speed,
    "fleet": fleet,
    "simpy": simpy,
    "step": step,
}


def positive(text: str) -> int:
    """A whole number of at least 1; 1e6 is one."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if number < 1 or number != int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1.")
    return int(number)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument(
        "--tasks", type=positive, default=1_000_000, help="of a run, in queues, tandem and speed"
    )
    parser.add_argument(
        "--runs", type=positive, default=10, help="in queues and tandem, each with a seed of its own"
    )
    parser.add_argument("--repeats", type=positive, default=5, help="of what is timed; the median counts")
    parser.add_argument("--simpy-tasks", type=positive, default=20_000)
    parser.add_argument("--fleet-tasks", type=positive, default=10_000_000)
    parser.add_argument("--fleet-nodes", type=positive, default=1000)
    parser.add_argument("--json", action="store_true", help="print a JSON object for each row, one a line")
    parser.add_argument("--child", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        print_json(child(*options.child))
        return
    shared = setting("simulate", "numpy", "numba", "simpy")
    for part in options.parts:
        for row in PARTS[part](options):
            if options.json:
                print_json({**shared, "part": part, **row})
            else:
                print(
                    f"{part:<7} " + "  ".join(f"{key} {_short(value)}" for key, value in row.items()),
                    flush=True,
                )


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "/".join(map(_short, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
