"""Random scheduling problems for the property tests, and references that know nothing of the package's tricks."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import strategies as st

from cloudedge_pl.scheduling import NodeState, TaskWindow

SECONDS = st.one_of(st.floats(0.1, 9.0), st.integers(0, 4).map(float))


@st.composite
def problems(draw, max_tasks: int = 9, max_nodes: int = 4, identical: bool = False):
    """A window and a state; some pairs may not run, some nodes are away, memory may bind."""
    tasks, nodes = draw(st.integers(0, max_tasks)), draw(st.integers(1, max_nodes))
    entry = st.one_of(SECONDS, SECONDS, SECONDS, st.just(math.inf))
    rows = 1 if identical else tasks
    times = np.array(draw(st.lists(entry, min_size=rows * nodes, max_size=rows * nodes))).reshape(rows, nodes)
    times = np.broadcast_to(times, (tasks, nodes)) if identical else times
    byte = st.integers(0, 6).map(float)
    memory = (
        np.full(tasks, draw(byte))
        if identical
        else np.array(draw(st.lists(byte, min_size=tasks, max_size=tasks)))
    )
    away = draw(st.lists(st.booleans(), min_size=nodes, max_size=nodes))
    free = draw(st.lists(st.sampled_from([3.0, 9.0, 20.0, math.inf]), min_size=nodes, max_size=nodes))
    ready = draw(st.lists(SECONDS, min_size=nodes, max_size=nodes))
    window = TaskWindow(times, memory, queue_holds_memory=draw(st.booleans()))
    return window, NodeState(np.array(ready), np.array(free), ~np.array(away) | (np.arange(nodes) == 0))


@st.composite
def packings(draw, max_tasks: int = 8, max_nodes: int = 4):
    """A window whose tasks share the nodes' memory to the last byte, in some packing; some nodes have no limit."""
    tasks, nodes = draw(st.integers(1, max_tasks)), draw(st.integers(1, max_nodes))
    owner = np.array(draw(st.lists(st.integers(0, nodes - 1), min_size=tasks, max_size=tasks)))
    memory = np.array(draw(st.lists(st.integers(1, 9).map(float), min_size=tasks, max_size=tasks)))
    entry = st.one_of(SECONDS, SECONDS, st.just(math.inf))
    times = np.array(draw(st.lists(entry, min_size=tasks * nodes, max_size=tasks * nodes))).reshape(
        tasks, nodes
    )
    times[np.arange(tasks), owner] = draw(st.floats(0.1, 9.0))
    unlimited = np.array(draw(st.lists(st.booleans(), min_size=nodes, max_size=nodes)))
    room = np.where(unlimited, math.inf, np.bincount(owner, memory, nodes))
    return TaskWindow(times, memory, queue_holds_memory=True), NodeState(
        np.zeros(nodes), room, np.ones(nodes, dtype=bool)
    )


def may_run(window: TaskWindow, state: NodeState, task: int, node: int) -> bool:
    """Whether the task fits the node if it were alone."""
    return bool(
        state.available[node]
        and math.isfinite(window.times_seconds[task, node])
        and window.memory_bytes[task] <= state.free_memory_bytes[node]
    )


def loads_of(window: TaskWindow, state: NodeState, node: np.ndarray) -> list[float]:
    """When each node is done, task by task."""
    loads = [float(ready) for ready in state.ready_seconds]
    for task, at in enumerate(node):
        loads[at] += float(window.times_seconds[task, at])
    return loads


def memory_holds(window: TaskWindow, state: NodeState, node: np.ndarray) -> bool:
    """Whether every node has the memory for what the schedule asks of it."""
    for at in range(state.num_nodes):
        held = [float(window.memory_bytes[task]) for task in range(len(node)) if node[task] == at]
        needed = sum(held) if window.queue_holds_memory else max(held, default=0.0)
        if needed > state.free_memory_bytes[at]:
            return False
    return True


def least_makespan(window: TaskWindow, state: NodeState) -> float:
    """By trying every schedule; ``inf`` if none is allowed."""
    least = math.inf
    for node in itertools.product(range(state.num_nodes), repeat=window.num_tasks):
        if all(may_run(window, state, task, at) for task, at in enumerate(node)) and memory_holds(
            window, state, np.array(node, dtype=np.int64)
        ):
            least = min(least, max(loads_of(window, state, np.array(node, dtype=np.int64))))
    return least
