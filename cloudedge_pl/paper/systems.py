"""Table 2: delay and energy of the paper's system on several fleets, and of the systems that it is compared with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from cloudedge_pl.costs.units import format_joules, format_seconds
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.paper.energies import ENERGIES, Energy, Measured
from cloudedge_pl.paper.part import PartResult, Report, Table
from cloudedge_pl.paper.runs import LEAST_GAIN, Outcome, Point, Runs, lower, mean_of, values_of
from cloudedge_pl.paper.setting import PaperSetting
from cloudedge_pl.paper.verdict import Trial, Verdict, judge
from cloudedge_pl.systems import PRESETS, LeastCost, System

OURS: Final = PRESETS["ours"]
RATES: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Link rates in Mbit/s."""

LOADS: Final = (2.5, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0)
"""Tasks per second."""

VARIATIONS: Final = (0.0, 0.2, 0.3, 0.5, 0.75, 1.0)
SHARES: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8)
"""Of the tasks: those of which BranchyNet's exit is sure, and those that MASM sends to the cloud by need."""

MOST_REPETITIONS: Final = 5

PLANNED, SAME = "planned for each fleet", "that of the smallest fleet"


def delay(found: Sequence[Outcome]) -> float:
    """The mean delay over all repetitions."""
    return mean_of(found, "mean_delay_seconds")


def measure_table2(setting: PaperSetting, report: Report) -> PartResult:
    """Measures delay and energy of the paper's Table 2, and of the other systems of ``cloudedge compare``.

    Args:
        setting: of the paper.
        report: is told of the progress.

    Source: Xu 2020, Sec. 4, Table 2; deviates: the paper says neither what its energy counts nor how BranchyNet and
    MASM were run. Every meaning is judged, and the two are those of ``cloudedge compare``.
    """
    runs = Runs(setting, MOST_REPETITIONS)
    table = _table(runs, report)
    steps = len(PRESETS) + 2
    report.step("more nodes", len(PRESETS), steps)
    verdicts = [*_delay_verdicts(runs), *(_energy_verdict(runs, energy) for energy in ENERGIES.values())]
    report.step("BranchyNet and MASM", len(PRESETS) + 1, steps)
    for name in ("branchynet", "masm"):
        verdicts += [_faster_verdict(runs, name), _thriftier_verdict(runs, name)]
    report.step("done", steps, steps)
    nodes = ",".join(map(str, setting.node_counts))
    return PartResult(
        verdicts=tuple(verdicts),
        tables={"systems": table},
        notes=_notes(runs),
        commands=(
            "cloudedge compare data.image_size=224 fleet=paper workload=paper codec=none",
            "cloudedge compare -m data.image_size=224 fleet=paper workload=paper codec=none 'systems=[ours]' "
            f"fleet.num_nodes={nodes}",
        ),
    )


def _table(runs: Runs, report: Report) -> Table:
    counts = runs.setting.node_counts
    same = _cut_of(runs, Point(num_nodes=counts[0]))
    rows = []
    for nodes in counts:
        rows += _row(runs, OURS, Point(num_nodes=nodes), f"ours, {nodes} nodes")
    if same is not None:
        for nodes in counts[1:]:
            point = Point(num_nodes=nodes).cut_at(same)
            rows += _row(runs, OURS, point, f"ours, {nodes} nodes, cut at {same}")
    others = [name for name in PRESETS if name != "ours"]
    for done, name in enumerate(others):
        report.step(PRESETS[name].title, done, len(PRESETS) + 2)
        if PRESETS[name].input_codec == "jpeg" and runs.setting.measure_picture is None:
            continue
        title = f"{PRESETS[name].title}, {counts[0]} nodes"
        rows += _row(runs, PRESETS[name], Point(num_nodes=counts[0]), title)
    title = "Delay and energy of a task"
    return Table.of_rows(title, rows) if rows else Table(title=title, columns={"system": []})


def _row(
    runs: Runs, system: System, point: Point, title: str
) -> list[dict[str, float | int | str | bool | None]]:
    """The row of a system; none if no split point keeps the limits."""
    found = runs.outcomes(system, point)
    if found is None:
        return []
    delays = values_of(found, "mean_delay_seconds")
    asleep = values_of(found, "share_asleep")
    return [
        {
            "system": title,
            "nodes": found[0].built.plan.fleet.num_nodes,
            "split_point": found[0].result.split_point,
            "delay_seconds": float(delays.mean()),
            "least_delay_seconds": float(delays.min()),
            "most_delay_seconds": float(delays.max()),
            "p95_delay_seconds": mean_of(found, "p95_delay_seconds"),
            **{f"{each.column}_joules": each.joules(found) for each in ENERGIES.values()},
            "upload_bytes": mean_of(found, "mean_upload_bytes"),
            "exited_share": mean_of(found, "exited_share"),
            "asleep_share": float(asleep.mean()) if len(asleep) else None,
            "busiest_station_share": float(np.mean([each.load for each in found])),
            "keeps_up": all(each.keeps_up for each in found),
        }
    ]


def _cut_of(runs: Runs, point: Point) -> int | None:
    found = runs.outcomes(OURS, point)
    return None if found is None else found[0].result.split_point


def _over_nodes(runs: Runs, measured: Measured, point: Point, cut: str) -> list[float] | None:
    """What is measured for each number of nodes, in ascending order; None where one of them has no plan."""
    counts, values = runs.setting.node_counts, []
    same = _cut_of(runs, replace(point, num_nodes=counts[0])) if cut == SAME else None
    for nodes in counts:
        at = replace(point, num_nodes=nodes)
        found = runs.outcomes(OURS, at if same is None else at.cut_at(same))
        if found is None:
            return None
        values.append(measured(found))
    return values


def _declining(
    runs: Runs, measured: Measured, point: Point, cut: str, axis: str, value: float | str
) -> list[Trial]:
    """A trial of whether the value falls with every step to more nodes; none where there is no plan."""
    values = _over_nodes(runs, measured, point, cut)
    if values is None:
        return []
    return [Trial(setting={axis: value}, holds=declines(values), value=values[-1] / values[0])]


def declines(values: Sequence[float]) -> bool:
    """Whether the last value is lower than the first, and none is higher than the one before it."""
    rises = any(lower(before, after) for before, after in itertools.pairwise(values))
    return lower(values[-1], values[0]) and not rises


def _node_axes(runs: Runs, measured: Measured, cut: str) -> dict[str, list[Trial]]:
    load, rate, kind = "load in tasks/s", "link rate in Mbit/s", "cut"
    axes: dict[str, list[Trial]] = {load: [], rate: [], kind: []}
    for each in LOADS:
        axes[load] += _declining(runs, measured, Point(tasks_per_second=each), cut, load, each)
    for each in RATES:
        axes[rate] += _declining(runs, measured, Point(link_bits_per_second=1e6 * each), cut, rate, each)
    for name in (PLANNED, SAME):
        axes[kind] += _declining(runs, measured, Point(), name, kind, name)
    return {axis: trials for axis, trials in axes.items() if trials}


def _delay_verdicts(runs: Runs) -> list[Verdict]:
    """Delay over the numbers of nodes, with the cut of each fleet, and with one cut for all."""
    verdicts = []
    for cut, words in (
        (PLANNED, "each fleet at its own cut"),
        (SAME, "all fleets at the cut of the smallest"),
    ):
        values = _over_nodes(runs, delay, Point(), cut) or [np.nan]
        verdicts.append(
            judge(
                f"With more nodes the delay declines, {words}.",
                f"{_listed(runs, values, format_seconds)}.",
                _numbered(runs, values, "seconds"),
                at_setting=declines(values),
                axes={axis: each for axis, each in _node_axes(runs, delay, cut).items() if axis != "cut"},
            )
        )
    return verdicts


def _energy_verdict(runs: Runs, energy: Energy) -> Verdict:
    planned = _over_nodes(runs, energy.joules, Point(), PLANNED) or [np.nan]
    same = _over_nodes(runs, energy.joules, Point(), SAME) or [np.nan]
    return judge(
        f"With more nodes the energy of a task declines ({energy.counts}).",
        f"{_listed(runs, planned, format_joules)}; at the cut of the smallest fleet "
        f"{', '.join(map(format_joules, same))}.",
        {**_numbered(runs, planned, "joules"), **_numbered(runs, same, "joules_same_cut")},
        at_setting=declines(planned),
        axes=_node_axes(runs, energy.joules, PLANNED),
    )


def _listed(runs: Runs, values: Sequence[float], write: Callable[[float], str]) -> str:
    counts = ", ".join(map(str, runs.setting.node_counts))
    return f"{', '.join(write(value) for value in values)} with {counts} nodes"


def _numbered(runs: Runs, values: Sequence[float], unit: str) -> dict[str, float]:
    pairs = zip(runs.setting.node_counts, values, strict=False)
    return {f"{nodes}_nodes_{unit}": value for nodes, value in pairs}


def _faster_verdict(runs: Runs, name: str) -> Verdict:
    """Whether ours is faster than another system on the same nodes."""
    rival, count = PRESETS[name], runs.setting.node_counts[0]
    point = Point(num_nodes=count)
    ours, theirs = (runs.outcomes(system, point) or [] for system in (OURS, rival))
    numbers = {
        "ours_seconds": delay(ours),
        "theirs_seconds": delay(theirs),
        "ours_exited_share": mean_of(ours, "exited_share"),
        "theirs_exited_share": mean_of(theirs, "exited_share"),
    }
    mine, others = numbers["ours_seconds"], numbers["theirs_seconds"]
    measured = (
        f"{format_seconds(mine)} against {format_seconds(others)} of {rival.title}, on {count} nodes with the same "
        f"cut; the exit head answers {numbers['ours_exited_share']:.1%} of our tasks and "
        f"{numbers['theirs_exited_share']:.0%} of theirs."
    )
    return judge(
        f"Ours answers sooner than {rival.title}.",
        measured,
        numbers,
        at_setting=lower(mine, others),
        axes=_rival_axes(runs, name, delay),
    )


def _thriftier_verdict(runs: Runs, name: str) -> Verdict:
    """Whether ours needs less energy than another system on the same nodes, in each meaning of energy."""
    rival, count = PRESETS[name], runs.setting.node_counts[0]
    point = Point(num_nodes=count)
    ours, theirs = (runs.outcomes(system, point) or [] for system in (OURS, rival))
    axis, trials = "joules", []
    numbers: dict[str, float] = {}
    for meaning, energy in ENERGIES.items() if ours and theirs else ():
        mine, others = energy.joules(ours), energy.joules(theirs)
        trials.append(Trial(setting={axis: meaning}, holds=lower(mine, others), value=mine / others))
        numbers |= {f"ours_{energy.column}_joules": mine, f"theirs_{energy.column}_joules": others}
    mine, others = (numbers.get(f"{who}_energy_joules", np.nan) for who in ("ours", "theirs"))
    measured = (
        f"{format_joules(mine)} against {format_joules(others)} of {rival.title} with idle power, on {count} nodes "
        "with the same cut."
    )
    axes = {axis: trials} if trials else {}
    return judge(
        f"Ours needs less energy than {rival.title}.",
        measured,
        numbers,
        at_setting=lower(mine, others),
        axes={**axes, **_rival_axes(runs, name, ENERGIES["idle power included"].joules)},
    )


def _rival_axes(runs: Runs, name: str, measured: Measured) -> Mapping[str, list[Trial]]:
    """Trials of ours against a rival along what the comparison depends on."""
    setting, rival = runs.setting, PRESETS[name]
    base = Point(num_nodes=setting.node_counts[0])
    bare = replace(base, dormancy=DormancyRule(mode="paper"))
    points: dict[str, list[tuple[float | str, Point, System]]] = {
        "load in tasks/s": [(each, replace(base, tasks_per_second=each), rival) for each in LOADS],
        "link rate in Mbit/s": [
            (each, replace(base, link_bits_per_second=1e6 * each), rival) for each in RATES
        ],
        "link variation": [(each, replace(base, variation=each), rival) for each in VARIATIONS],
        "dormancy": [("hysteresis", base, rival), ("the paper's", bare, rival)],
    }
    if name == "masm":
        axis = "share of MASM's tasks that need the cloud"
        points[axis] = [
            (each, base, replace(rival, service=LeastCost(strict_share=each))) for each in (*SHARES, 1.0)
        ]
    else:
        axis = "share of BranchyNet's tasks that exit"
        points[axis] = [(each, replace(base, exit_share=each), rival) for each in SHARES]
    axes = {
        axis: [
            trial
            for value, point, other in each
            for trial in _against(runs, other, measured, point, axis, value)
        ]
        for axis, each in points.items()
    }
    return {axis: trials for axis, trials in axes.items() if trials}


def _against(
    runs: Runs, rival: System, measured: Measured, point: Point, axis: str, value: float | str
) -> list[Trial]:
    ours, theirs = (runs.outcomes(system, point, repetitions=runs.few) for system in (OURS, rival))
    if ours is None or theirs is None:
        return []
    mine, others = measured(ours), measured(theirs)
    return [Trial(setting={axis: value}, holds=lower(mine, others), value=mine / others)]


def _notes(runs: Runs) -> tuple[str, ...]:
    setting = runs.setting
    return (
        f"All systems get the same {setting.num_tasks:,} tasks and the same link, {runs.repetitions} times; delays are "
        "means from arrival to answer, with the least and the most of the repetitions. Differences of less than "
        f"{LEAST_GAIN:.1%} count as none.",
        "The energy is that of nodes and master; the paper does not say what its energy counts.",
        "Without a trained network 30% of the tasks are taken to be sure in systems with exits, and half of MASM's "
        "tasks to need the cloud. The more the exit head answers, the faster and thriftier a system is, and the less "
        "accurate.",
        "The delay of a system that does not keep up grows with the number of tasks. Where a fleet has no split point "
        "that keeps the limits, nothing is compared.",
        f"Each fleet is cut at the deepest point that keeps the limits, such as {setting.workload.max_delay_seconds:g} "
        "s a task. More nodes allow a later cut, which takes back what is gained in waiting.",
    )
