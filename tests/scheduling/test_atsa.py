"""ATSA: exact where it can be, close to the bound elsewhere, warm from window to window."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings

from cloudedge_pl.scheduling import NodeState, TaskWindow, create_scheduler, schedule
from cloudedge_pl.scheduling.families import FAMILIES, generate, generate_window
from tests.scheduling.problems import problems


def named(names: str, available: str | None = None) -> NodeState:
    count = len(names)
    here = np.array([available is None or name in available for name in names])
    return NodeState(np.zeros(count), np.full(count, np.inf), here, tuple(names))


@pytest.mark.parametrize(
    ("family", "nodes", "most"),
    [("uniform", 10, 1.001), ("correlated", 10, 1.005), ("unrelated", 10, 1.025), ("unrelated", 30, 1.09)],
)
def test_schedules_are_close_to_the_lower_bound(family, nodes, most):
    times = generate(family, 200, nodes, seed=1)
    assignment = schedule(times, seed=3)
    assert assignment.makespan_seconds <= most * assignment.lower_bound_seconds
    assert assignment.makespan_seconds < schedule(times, "lpt").makespan_seconds


@pytest.mark.parametrize(
    "family", ["correlated", "few_kinds", "few_large", "heavy_tailed", "uniform", "unrelated"]
)
def test_the_bound_is_that_of_the_lp_relaxation(family):
    times = generate(family, 40, 5, seed=2)
    ready = np.array([0.0, 10.0, 0.0, 3.0, 50.0])
    state = NodeState(ready, np.full(5, np.inf), np.ones(5, dtype=bool))
    bound = schedule(times, state=state).lower_bound_seconds
    relaxed = lp_relaxation(times, ready)
    assert relaxed * 0.999 <= bound
    longest = max(ready.max(), (times + ready).min(axis=1).max())
    assert bound <= max(relaxed, longest) * (1 + 1e-9)


LISTS = (
    "fcfs",
    "lpt",
    "max_min",
    "min_completion",
    "min_min",
    "round_robin",
    "sufferage",
    "work_stealing",
)


def assert_no_list_rule_is_better(window: TaskWindow, state: NodeState, **options) -> None:
    ours = np.inf
    try:
        ours = schedule(window, state=state, **options).makespan_seconds
    except ValueError:
        assert window.queue_holds_memory or window.memory_bytes.any() or np.isinf(window.times_seconds).any()
    for name in LISTS:
        try:
            listed = schedule(window, name, state=state).makespan_seconds
        except ValueError:  # the rule runs out of memory
            continue
        assert ours <= listed, name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("tasks", "nodes"), [(20, 4), (100, 20)])
def test_no_list_rule_is_better(family, tasks, nodes):
    for seed in range(4):
        assert_no_list_rule_is_better(*generate_window(family, tasks, nodes, seed), evaluations=500)


@settings(max_examples=150)
@given(problem=problems(max_tasks=14))
def test_no_list_rule_is_better_whatever_memory_backlogs_and_ties(problem):
    assert_no_list_rule_is_better(*problem, evaluations=1)


def test_no_list_rule_is_better_in_large_windows():
    for family in ("few_large", "restricted"):
        assert_no_list_rule_is_better(*generate_window(family, 1000, 30), evaluations=1)


def tight(family: str, tasks: int, nodes: int, slack: float, seed: int) -> tuple[TaskWindow, NodeState]:
    """Tasks of 1 to 10 bytes on nodes that hold ``slack`` times those of some packing."""
    times, random = generate(family, tasks, nodes, seed), np.random.default_rng([seed, 7])
    memory = random.uniform(1, 10, tasks)
    owner = np.array([random.choice(np.flatnonzero(row)) for row in times < np.inf])
    room = slack * np.bincount(owner, memory, nodes)
    window = TaskWindow(times, memory, queue_holds_memory=True)
    return window, NodeState(np.zeros(nodes), room, np.ones(nodes, dtype=bool))


@pytest.mark.parametrize("family", ["correlated", "few_kinds", "few_large", "restricted", "unrelated"])
@pytest.mark.parametrize(("tasks", "nodes", "slack"), [(8, 3, 1.03), (20, 4, 1.1)])
def test_where_memory_binds_schedules_of_few_tasks_are_close_to_the_optimum(family, tasks, nodes, slack):
    for seed in range(3):
        window, state = tight(family, tasks, nodes, slack, seed)
        best = schedule(window, "exact", state=state, time_limit_seconds=2.0, start=False)
        found = schedule(window, state=state)
        assert found.lower_bound_seconds <= best.makespan_seconds * (1 + 1e-9)
        assert found.makespan_seconds <= best.makespan_seconds * 1.02
        assert found.gap == 0.0 or tasks > 8  # proven


def test_nodes_of_few_kinds_leave_every_kind_to_choose_from():
    for seed in range(4):
        window, state = generate_window("few_kinds", 200, 30, seed)
        found = schedule(window, state=state).makespan_seconds
        long = schedule(window, state=state, candidates=30, evaluations=40_000).makespan_seconds
        assert found <= long * 1.03


def outliers(random: np.random.Generator, tasks: int, nodes: int, each: bool) -> np.ndarray:
    """Times of 1 to 10, and one that is far longer, or one on each node."""
    times = random.uniform(1, 10, (tasks, nodes))
    if each:
        times[random.permutation(tasks)[:nodes], np.arange(nodes)] = 10 ** random.uniform(2, 7, nodes)
    else:
        times[random.integers(tasks), 0] = 1e6
    return times


@pytest.mark.parametrize("each", [False, True])
def test_outliers_do_not_spoil_the_prices(each):
    for seed in range(3):
        times = outliers(np.random.default_rng(seed), 200, 10, each)
        assignment = schedule(times)
        relaxed = lp_relaxation(times, np.zeros(10))
        assert relaxed * 0.999 <= assignment.lower_bound_seconds <= relaxed * (1 + 1e-9)
        assert assignment.makespan_seconds <= 1.02 * relaxed


def disturbed(times: np.ndarray, how: str) -> tuple[TaskWindow, NodeState]:
    """A window in which nodes 0 and 1 are off, cannot run the tasks, or are busy for long."""
    nodes = times.shape[1]
    first, idle = np.arange(nodes) < 2, NodeState.idle(nodes)
    if how == "cannot":
        return TaskWindow(np.where(first, np.inf, times)), idle
    ready = np.where(first, 2000.0 if how == "busy" else 0.0, 0.0)
    return TaskWindow(times), NodeState(ready, idle.free_memory_bytes, ~first | (how != "off"))


@pytest.mark.parametrize("windows", [1, 10])
@pytest.mark.parametrize("how", ["off", "cannot", "busy"])
@pytest.mark.parametrize("family", ["correlated", "unrelated"])
def test_bound_and_quality_are_back_when_nodes_are(family, how, windows):
    times, idle = generate(family, 120, 8, seed=3), NodeState.idle(8)
    relaxed = lp_relaxation(times, np.zeros(8))
    scheduler = create_scheduler("atsa", evaluations=2000)
    scheduler.assign(TaskWindow(times), idle)
    for _ in range(windows):
        scheduler.assign(*disturbed(times, how))
    back = scheduler.assign(TaskWindow(times), idle)
    fresh = create_scheduler("atsa", evaluations=2000).assign(TaskWindow(times), idle)
    assert back.lower_bound_seconds >= relaxed * 0.999
    assert back.makespan_seconds <= fresh.makespan_seconds * 1.01


def test_prices_of_a_fleet_that_was_quite_another_do_no_harm():
    times = generate("correlated", 120, 8, seed=4)
    scheduler = create_scheduler("atsa", evaluations=2000)
    scheduler.assign(TaskWindow(times * np.geomspace(1e-3, 1e3, 8)), NodeState.idle(8))
    found = scheduler.assign(TaskWindow(times), NodeState.idle(8))
    assert found.lower_bound_seconds >= lp_relaxation(times, np.zeros(8)) * 0.999


@pytest.mark.parametrize("available", [True, False])
def test_a_backlog_that_decides_the_makespan_leaves_the_rest_to_be_optimised(available):
    times = generate("unrelated", 40, 4, seed=0)
    state = NodeState(np.array([0, 0, 0, 5000.0]), np.full(4, np.inf), np.array([True] * 3 + [available]))
    found = schedule(times, state=state)
    alone = schedule(times[:, :3])
    assert found.makespan_seconds == found.lower_bound_seconds == 5000
    assert found.loads_seconds[:3].max() == pytest.approx(alone.makespan_seconds, rel=1e-12)
    assert found.history_seconds.min() == found.history_seconds.max() == 5000


def test_several_backlogs_are_found_to_be_of_no_use_one_after_the_other():
    times = generate("unrelated", 40, 5, seed=0)
    alone = schedule(times[:, :3]).makespan_seconds
    listed = schedule(times[:, :3], "lpt").makespan_seconds
    assert listed > alone * 1.02
    ready = np.array([0, 0, 0, alone * 1.01, 5000])
    found = schedule(times, state=NodeState(ready, np.full(5, np.inf), np.ones(5, dtype=bool)))
    assert found.makespan_seconds == 5000
    assert found.loads_seconds[found.tasks_per_node > 0].max() <= alone * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_the_last_task_is_done_early_whatever_the_backlog(seed):
    random = np.random.default_rng(seed)
    times, ready = random.uniform(1, 9, (6, 3)), random.uniform(0, 25, 3)
    found = schedule(times, state=NodeState(ready, np.full(3, np.inf), np.ones(3, dtype=bool)))
    least = np.inf
    for node in itertools.product(range(3), repeat=6):
        loads = ready + np.bincount(node, times[np.arange(6), node], minlength=3)
        least = min(least, loads[list(set(node))].max())
    assert found.makespan_seconds == found.loads_seconds.max()
    assert found.loads_seconds[found.tasks_per_node > 0].max() <= least * 1.02


def lp_relaxation(times: np.ndarray, ready: np.ndarray) -> float:
    from scipy.optimize import linprog

    tasks, nodes = times.shape
    cost = np.zeros(tasks * nodes + 1)
    cost[-1] = 1.0
    once = np.zeros((tasks, len(cost)))
    load = np.zeros((nodes, len(cost)))
    load[:, -1] = -1.0
    for i in range(tasks):
        once[i, i * nodes : (i + 1) * nodes] = 1.0
        load[np.arange(nodes), i * nodes + np.arange(nodes)] = times[i]
    return float(linprog(cost, A_ub=load, b_ub=-ready, A_eq=once, b_eq=np.ones(tasks)).fun)


def test_identical_tasks_need_no_compiled_code():
    code = (
        "import sys, numpy as np; from cloudedge_pl.scheduling import schedule;"
        "schedule(np.broadcast_to(np.arange(1.0, 31.0), (256, 30)));"
        "print('numba' in sys.modules, 'scipy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_search_ends_at_the_bound():
    times = generate("uniform", 300, 5, seed=0)
    quick = schedule(times, evaluations=5000)
    assert len(quick.history_seconds) < 1000
    assert quick.gap <= 1e-4


def test_prices_stay_warm_and_make_pricing_shorter():
    state, scheduler = NodeState.idle(20), create_scheduler("atsa", seed=1)
    speed = np.geomspace(1, 30, 20)
    windows = [TaskWindow(generate("unrelated", 300, 20, seed=seed) / speed) for seed in range(2)]
    scheduler.assign(windows[0], state)
    first = scheduler.state_dict()
    assert set(first["log_price"]) == set(first["trail"]) == {str(j) for j in range(20)}
    price = np.array([first["log_price"][str(j)] for j in range(20)])
    assert price[10:].mean() > price[:10].mean() + 1  # a second of a fast node is worth more

    from cloudedge_pl.scheduling.pricing import prices

    times, idle = windows[1].times_seconds, np.zeros(20)
    unlimited = np.zeros(300), np.full(20, np.inf)
    starts = scheduler._first_prices(times, [str(j) for j in range(20)])
    cold = create_scheduler("atsa")._first_prices(times, [str(j) for j in range(20)])
    assert len(starts) == len(cold) + 1
    np.testing.assert_array_equal(starts[-1], price)
    assert prices(times, idle, *unlimited, starts, 10)[0] > prices(times, idle, *unlimited, cold, 10)[0]
    warm = scheduler.assign(windows[1], state).lower_bound_seconds
    assert warm == pytest.approx(prices(times, idle, *unlimited, cold, 150)[0], rel=2e-3)


def test_pheromone_grows_where_schedules_use_it_and_leads_the_ants():
    times, state = generate("unrelated", 200, 6, seed=0), NodeState.idle(6)
    scheduler = create_scheduler("atsa", tolerance=0.0)
    scheduler.assign(TaskWindow(times), state)
    trail = np.array([scheduler.state_dict()["trail"][str(j)] for j in range(6)])
    assert np.ptp(trail) > 0.01
    assert trail.mean() == pytest.approx(1.0, abs=0.2)

    def led(planted: dict[str, float]) -> np.ndarray:
        other = create_scheduler("atsa", alpha=10.0, beta=1.0, evaluations=3000, tolerance=0.0)
        other.load_state_dict({"windows": 0, "trail": planted, "log_price": {}})
        return other.assign(TaskWindow(times), state).history_seconds

    plain = led({})
    assert np.array_equal(plain, led({str(j): 1.0 for j in range(6)}))
    assert not np.array_equal(plain, led({"0": 50.0, "1": 0.02}))


@pytest.mark.parametrize("evaporation_rate", [0.2, 0.8])
def test_pheromone_on_used_pairs_rises_above_that_on_others(evaporation_rate):
    from cloudedge_pl.scheduling.ants import Settings
    from cloudedge_pl.scheduling.colony import search
    from cloudedge_pl.scheduling.compiled import stream
    from cloudedge_pl.scheduling.first_schedules import best_listed
    from cloudedge_pl.scheduling.pricing import prices

    # Node 0 is the best for every task, so that it is a candidate of all and used by most.
    times = generate("unrelated", 40, 3, seed=1) / np.array([20.0, 1.0, 1.0])
    free = np.full(3, np.inf)
    first, _ = best_listed(times, np.zeros(3), np.zeros(40), free)
    settings = Settings(1.0, 5.0, evaporation_rate, 5.0, 10, 3, 3, 1000, -1.0)
    bound, log_price, rent, _ = prices(times, np.zeros(3), np.zeros(40), free, np.zeros((1, 3)), 150)
    price = np.exp(log_price) / np.exp(log_price).sum()
    args = (times, np.zeros(3), np.zeros(40), free, price, rent, bound, np.ones(3), settings)
    node, _, _, trail = search(*args, first, stream(0, 0))
    used = np.bincount(node, minlength=3)
    assert used.argmax() == trail.argmax() == 0
    assert trail[0] > 1.5
    assert trail.mean() == pytest.approx(1.0)  # three candidates a task: as many pairs on each node


def test_nodes_join_and_leave_and_are_known_again():
    scheduler = create_scheduler("atsa", seed=2)
    scheduler.assign(TaskWindow(generate("unrelated", 60, 4, seed=0)), named("abcd"))
    before = scheduler.state_dict()
    left = scheduler.assign(TaskWindow(generate("unrelated", 60, 3, seed=1)), named("adx", "ax"))
    assert set(np.unique(left.node)) <= {0, 2}
    after = scheduler.state_dict()
    for kept in ("trail", "log_price"):
        assert set(after[kept]) == set("abcdx")
        for absent in "bcd":  # d is there but not available
            assert after[kept][absent] == before[kept][absent]
    assert after["trail"]["a"] != before["trail"]["a"]
    assert json.loads(json.dumps(scheduler.state_dict())) == scheduler.state_dict()


def test_a_node_that_is_no_tasks_candidate_keeps_its_pheromone():
    times = generate("unrelated", 30, 3, seed=0) * np.array([1.0, 1.0, 1e4])
    scheduler = create_scheduler("atsa", candidates=2, tolerance=0.0, evaluations=500)
    scheduler.load_state_dict({"windows": 0, "trail": {"2": 7.0}, "log_price": {}})
    scheduler.assign(TaskWindow(times), NodeState.idle(3))
    assert scheduler.state_dict()["trail"]["2"] == 7.0


def test_names_that_are_numbers_are_known_again_after_a_resume():
    window = TaskWindow(generate("unrelated", 60, 3, seed=0))
    state = NodeState(np.zeros(3), np.full(3, np.inf), np.ones(3, dtype=bool), (7, 8, 9))
    going, resumed = create_scheduler("atsa"), create_scheduler("atsa")
    going.assign(window, state)
    resumed.load_state_dict(json.loads(json.dumps(going.state_dict())))
    again, same = going.assign(window, state), resumed.assign(window, state)
    np.testing.assert_array_equal(again.history_seconds, same.history_seconds)
    assert going.state_dict() == resumed.state_dict()
    assert set(going.state_dict()["trail"]) == {"7", "8", "9"}


@pytest.mark.parametrize("seed", range(20))
def test_a_packing_is_found_wherever_there_is_one(seed):
    random = np.random.default_rng(seed)
    need = np.rint(random.uniform(1e9, 4e9, 6))
    halves = [(need * split).sum() for split in itertools.product((0.0, 1.0), repeat=6)]
    least = min(max(half, need.sum() - half) for half in halves)
    window = TaskWindow(random.uniform(1, 9, (6, 2)), need, queue_holds_memory=True)
    idle = NodeState.idle(2)
    found = schedule(window, state=NodeState(np.zeros(2), np.full(2, least), idle.available))
    assert np.bincount(found.node, need, minlength=2).max() == least
    with pytest.raises(ValueError, match=r"found no packing of the 6 tasks|task \d fits no node"):
        schedule(window, state=NodeState(np.zeros(2), np.full(2, least - 1), idle.available))


def test_larger_windows_are_packed_to_the_last_byte():
    for seed in range(5):
        random = np.random.default_rng(seed)
        need, owner = np.rint(random.uniform(1, 100, 40)), random.integers(0, 4, 40)
        window = TaskWindow(random.uniform(1, 9, (40, 4)), need, queue_holds_memory=True)
        room = np.bincount(owner, need, 4)
        found = schedule(window, state=NodeState(np.zeros(4), room, np.ones(4, dtype=bool)), evaluations=100)
        np.testing.assert_array_equal(np.bincount(found.node, need, 4), room)


def test_shared_memory_is_packed_where_the_longest_first_rule_fails():
    # Node 0 holds 10 bytes. Longest first fills it with two tasks of 3, so that the one of 7 fits no more.
    times = np.array([[9.0, 30.0], [9.0, 30.0], [1.0, np.inf], [2.0, 2.5]])
    window = TaskWindow(times, np.array([3.0, 3.0, 7.0, 0.0]), queue_holds_memory=True)
    state = NodeState(np.zeros(2), np.array([10.0, 100.0]), np.ones(2, dtype=bool))
    node = schedule(window, state=state).node
    assert node[2] == 0
    assert window.memory_bytes[node == 0].sum() <= 10


def test_extreme_times_are_no_trouble():
    for times in (
        np.zeros((5, 3)),
        np.array([[1e-300, 1e-300], [2e-300, 1e-300], [1e-300, 3e-300]]),
        np.array([[1e300, 1e299], [1e299, 1e300], [5e299, 1e299]]),
        np.array([[0.0, 1e9], [1e9, 0.0], [3.0, 4.0]]),
    ):
        assignment = schedule(times)
        assert np.isfinite(assignment.makespan_seconds)
        assert assignment.lower_bound_seconds <= assignment.makespan_seconds
