"""Records to test with: fleets at work as Lindley's recursion has them, without the engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from cloudedge_pl.simulation.station_records import StationRecord
from cloudedge_pl.simulation.task_records import (
    CLOUD,
    DTYPES,
    EARLY_EXIT,
    EXIT_ASLEEP,
    IN_FLIGHT,
    REJECTED,
    TaskRecords,
)


def make_records(num_tasks: int, **columns: Any) -> TaskRecords:
    """Records whose columns are 0 (stamps nan, deadlines infinite) but for those given, by value or [num_tasks]."""
    plain = {name: np.nan if name.endswith("_seconds") else 0 for name in DTYPES}
    plain |= {"task": np.arange(num_tasks), "sample": -1, "attempts": 1, "deadline_seconds": np.inf}
    filled = {name: np.broadcast_to(value, num_tasks) for name, value in (plain | columns).items()}
    return TaskRecords(**{name: column.astype(DTYPES[name]) for name, column in filled.items()})


def serve(entered: np.ndarray, seconds: np.ndarray, station: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends at stations with one server, first come, first served (Lindley 1952)."""
    started, done, free = np.empty_like(entered), np.empty_like(entered), np.zeros(int(station.max()) + 1)
    for task in np.argsort(entered, kind="stable"):
        at = station[task]
        started[task] = max(entered[task], free[at])
        free[at] = done[task] = started[task] + seconds[task]
    return started, done


def fleet_at_work(num_tasks: int, num_nodes: int, *, seed: int = 0, load: float = 0.75) -> TaskRecords:
    """A fleet under a load, whose cloud sleeps for three tenths of the time; all paths and two classes occur."""
    random = np.random.default_rng(seed)
    speed = random.choice([1.0, 2.0, 4.0], num_nodes)
    node_seconds = 0.12 / speed
    arrival = np.cumsum(random.exponential(1 / (load * np.sum(1 / node_seconds)), num_tasks))
    node = random.choice(num_nodes, num_tasks, p=speed / speed.sum())
    window = np.ceil(arrival / 0.02) * 0.02
    at_node = window + 0.004
    started, done = serve(at_node, node_seconds[node] * random.lognormal(-0.08, 0.4, num_tasks), node)
    asleep = np.sin(6 * arrival / arrival[-1] * 2 * np.pi) > 0.6
    sure = ~asleep & (random.random(num_tasks) < 0.4)
    path = np.where(asleep, EXIT_ASLEEP, np.where(sure, EARLY_EXIT, CLOUD))
    at_exit = path != CLOUD
    _, sent = serve(done, np.where(at_exit, 0.004, 0.03) * random.lognormal(0, 0.3, num_tasks), node)
    arrived = sent + np.where(at_exit, 0.0, 0.05 + 0.02 * random.random(num_tasks))
    answered = arrived + np.where(at_exit, 0.002, 0.006) * random.exponential(1.0, num_tasks)
    path[random.random(num_tasks) < 0.01] = REJECTED
    path[-5:] = IN_FLIGHT
    answered[path < 0] = arrived[path < 0] = sent[path < 0] = np.nan
    kind = (random.random(num_tasks) < 0.2).astype(int)
    return make_records(
        num_tasks,
        kind=kind,
        node=node,
        path=path,
        arrival_seconds=arrival,
        window_seconds=window,
        at_node_seconds=at_node,
        started_seconds=started,
        done_seconds=done,
        sent_seconds=sent,
        arrived_seconds=arrived,
        answered_seconds=answered,
        deadline_seconds=np.where(kind == 1, 0.2, np.inf),
        upload_bytes=np.where(path == CLOUD, 25_088.0, 0.0),
        exit_bytes=np.where(path != CLOUD, 25_088.0, 0.0),
        joules=0.3 / speed[node] + 0.02,
    )


def stations_of(records: TaskRecords, names: list[str]) -> list[StationRecord]:
    """Statistics of nodes, radios, cloud and exit head from the stamps; mean queues by Little's law."""
    clock = float(np.nanmax(records.answered_seconds))

    def station(
        kind: str, here: np.ndarray, wait: np.ndarray, busy: np.ndarray, machine: str = ""
    ) -> StationRecord:
        return StationRecord.over(
            kind,
            machine,
            elapsed_seconds=clock,
            busy_seconds=min(float(np.nansum(busy[here])), clock),
            queue_seconds=float(np.nansum(wait[here])),
            jobs=int(here.sum()),
            max_queue=7,
        )

    stations = []
    for at, name in enumerate(names):
        here = records.node == at
        waited = records.started_seconds - records.at_node_seconds
        stations.append(station("node", here, waited, records.done_seconds - records.started_seconds, name))
        radio = records.sent_seconds - records.done_seconds
        stations.append(station("radio", here, 0.4 * radio, 0.6 * radio, name))
    spent = records.answered_seconds - records.arrived_seconds
    stations.append(station("cloud", records.path == CLOUD, 0.1 * spent, 0.5 * spent))
    stations.append(station("exit_head", records.path > CLOUD, 0.3 * spent, 0.7 * spent))
    return stations
