"""Figure 6: the delay of a task over the split points of the paper's network, by part, and where it falls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cloudedge_pl.costs.formulas import CostFormulas
from cloudedge_pl.costs.units import format_percent, format_seconds
from cloudedge_pl.fleet import Fleet
from cloudedge_pl.offloading import CostTable, cost_table
from cloudedge_pl.offloading.table import DELAY_PARTS
from cloudedge_pl.paper.part import PartResult, Report, Table
from cloudedge_pl.paper.positions import PLAN_COMMAND, waiting_variants
from cloudedge_pl.paper.setting import PaperSetting, kind_of
from cloudedge_pl.paper.stages import stage_ends, stage_of
from cloudedge_pl.paper.trials import Outcome, along_all
from cloudedge_pl.paper.verdict import Trial, Verdict, judge

ARRIVAL_RATE = 10.0
"""Tasks a second: few enough for ten Raspberry Pi 4 to run the whole network."""

FAST_NODES, SLOW_LINK = "jetson-nano", 5e6
"""The second fleet of the figure, on which the transfer makes most of the delay: device, and bandwidth in bit/s."""

LINK_RATES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
NODE_SPEEDS = (7.5, 15.0, 30.0, 60.0, 125.0, 250.0, 500.0, 1000.0)
TASK_RATES = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0)
"""What the claims are tried at, in the units of the axes."""

LINK_AXIS, SPEED_AXIS = "link rate in Mbit/s", "speed of a node in GFLOP/s"


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What delays are computed under."""

    fleet: Fleet
    arrival_rate: float
    formulas: CostFormulas


def delays_at(setting: PaperSetting, conditions: Conditions) -> CostTable:
    """Returns the costs at every split point."""
    workload = replace(setting.workload, arrival_rate=conditions.arrival_rate)
    return cost_table(setting.profile, conditions.fleet, workload, conditions.formulas, setting.codec)


def ends_after_the_first(names: Sequence[str]) -> list[int]:
    """Returns the last split point of every stage but the first, which in a residual network is one convolution."""
    return stage_ends(names)[1:]


def falls_from_first_to_last(seconds: np.ndarray, ends: Sequence[int]) -> Outcome:
    """Whether the last position has less delay than the first one; the ratio of the two.

    Args:
        seconds: [N + 1], at every split point; split point 0 is no position of the paper.
        ends: as :func:`ends_after_the_first` returns them.
    """
    return bool(seconds[-1] < seconds[1]), _ratio(seconds[-1], seconds[1])


def falls_by_stage(seconds: np.ndarray, ends: Sequence[int]) -> Outcome:
    """Whether delay falls from the end of each stage to that of the next; the share of stages where it does not."""
    return _falling(seconds[list(ends)])


def falls_at_every_position(seconds: np.ndarray, ends: Sequence[int]) -> Outcome:
    """Whether each position has less delay than the one before; the share of positions where it has not."""
    return _falling(seconds[1:])


def beats_the_cloud(seconds: np.ndarray, ends: Sequence[int]) -> Outcome:
    """Whether some position has less delay than sending the picture to the cloud; the ratio of the best one."""
    return bool(seconds[1:].min() < seconds[0]), _ratio(seconds[1:].min(), seconds[0])


CLAIMS: dict[str, tuple[str, Callable[[np.ndarray, Sequence[int]], Outcome]]] = {
    "ends": ("The delay is less at the last position than at the first.", falls_from_first_to_last),
    "stages": (
        "The delay falls from stage to stage of the network (after the first convolution).",
        falls_by_stage,
    ),
    "gradual": ("The delay falls gradually, at every position.", falls_at_every_position),
    "cloud": (
        "A cut network answers sooner than the cloud alone, which gets the picture (position 0).",
        beats_the_cloud,
    ),
}
"""What is judged. The paper says that the delay decreases gradually, of which the first three are degrees."""


def _ratio(one: float, other: float) -> float:
    return float(one / other) if np.isfinite(other) else float("nan")


def _falling(seconds: np.ndarray) -> Outcome:
    """Whether all values are less than the ones before them; the share that is not. Overload never is."""
    rises = ~(seconds[1:] < seconds[:-1])
    return not rises.any(), float(rises.mean())


def measure_fig6(setting: PaperSetting, report: Report) -> PartResult:
    """Computes the delay at every split point on two fleets, and tries the claims along link, nodes and load.

    Args:
        setting: of the paper.
        report: is told of the progress.
    """
    start = Conditions(
        fleet=setting.fleet(variation=0.0), arrival_rate=ARRIVAL_RATE, formulas=setting.formulas
    )
    fast = setting.fleet(device=FAST_NODES, bandwidth_bits_per_second=SLOW_LINK, variation=0.0)
    drawn = {_label(each): replace(start, fleet=each) for each in (start.fleet, fast)}
    tables = {label: delays_at(setting, conditions) for label, conditions in drawn.items()}
    trials = _trials(setting, start, report)
    return PartResult(
        verdicts=_verdicts(setting, tables, trials),
        tables={"delay": _delay_table(setting, tables), "claims": _claims_table(tables)},
        notes=(
            f"{ARRIVAL_RATE:g} tasks arrive in a second; with Table 1's load, late positions would be overloaded.",
            "Position 0, where the cloud gets the picture and computes everything, is not in the paper's figure.",
            "Inside a residual block two tensors cross the cut, which causes the saw teeth.",
        ),
        commands=(f"{PLAN_COMMAND} workload.arrival_rate={ARRIVAL_RATE:g}",),
    )


def _label(fleet: Fleet) -> str:
    kind = kind_of(fleet.nodes[0].name)
    return f"{fleet.num_nodes} {kind}, {fleet.link.bandwidth_bits_per_second / 1e6:g} Mbit/s"


def _delay_table(setting: PaperSetting, tables: Mapping[str, CostTable]) -> Table:
    names, points = setting.profile.names, range(setting.profile.num_segments + 1)
    columns: dict[str, list[Any]] = {"fleet": [], "position": [], "layer": [], "stage": []}
    columns |= {f"{part}_seconds": [] for part in DELAY_PARTS} | {"delay_seconds": [], "upload_bytes": []}
    for label, table in tables.items():
        columns["fleet"] += [label for _ in points]
        columns["position"] += points
        columns["layer"] += names
        columns["stage"] += [stage_of(name) for name in names]
        for part in DELAY_PARTS:
            columns[f"{part}_seconds"] += table.delay_parts[part].tolist()
        columns["delay_seconds"] += table.delay_seconds.tolist()
        columns["upload_bytes"] += table.upload_bytes.tolist()
    return Table(title=f"Delay of a task of {setting.profile.model} by position", columns=columns)


def _claims_table(tables: Mapping[str, CostTable]) -> Table:
    """The figures of the claims on the drawn fleets."""
    delays = [table.delay_seconds for table in tables.values()]
    return Table(
        title="What the claims compare",
        columns={
            "fleet": list(tables),
            "cloud_alone_delay_seconds": [each[0] for each in delays],
            "first_position_delay_seconds": [each[1] for each in delays],
            "last_position_delay_seconds": [each[-1] for each in delays],
            "best_position": [int(each[1:].argmin()) + 1 for each in delays],
            "best_position_delay_seconds": [each[1:].min() for each in delays],
            "rising_positions_share": [_falling(each[1:])[1] for each in delays],
            "growing_upload_share": [growing_uploads(table) for table in tables.values()],
        },
    )


def faster_nodes(fleet: Fleet, gflops: float) -> Fleet:
    """Returns a fleet whose nodes reach a speed in GFLOP/s; their memory bandwidth grows in proportion.

    Args:
        fleet: of like nodes.
        gflops: speed that a node reaches.
    """
    factor = gflops * 1e9 / fleet.nodes[0].effective_flops_per_second
    nodes = tuple(
        replace(
            node,
            flops_per_second=factor * node.flops_per_second,
            memory_bandwidth_bytes_per_second=factor * node.memory_bandwidth_bytes_per_second,
        )
        for node in fleet.nodes
    )
    return replace(fleet, nodes=nodes)


def _axes(
    setting: PaperSetting, start: Conditions
) -> dict[str, tuple[Sequence[Any], Callable[..., Conditions]]]:
    """What is tried: for each axis its values, and the conditions at one of them."""

    def linked(rate: float, device: str | None = None) -> Conditions:
        fleet = setting.fleet(device=device, bandwidth_bits_per_second=rate * 1e6, variation=0.0)
        return replace(start, fleet=fleet)

    variants = waiting_variants(setting.formulas)
    return {
        LINK_AXIS: (LINK_RATES, linked),
        f"link rate with {FAST_NODES} nodes in Mbit/s": (
            LINK_RATES,
            lambda rate: linked(rate, FAST_NODES),
        ),
        SPEED_AXIS: (
            NODE_SPEEDS,
            lambda speed: replace(start, fleet=faster_nodes(start.fleet, speed)),
        ),
        "arrival rate in tasks/s": (TASK_RATES, lambda rate: replace(start, arrival_rate=rate)),
        "formulas": (tuple(variants), lambda label: replace(start, formulas=variants[label])),
    }


def _trials(
    setting: PaperSetting, start: Conditions, report: Report
) -> dict[str, dict[str, tuple[Trial, ...]]]:
    """The trials of each claim by axis."""
    ends = ends_after_the_first(setting.profile.names)

    def judged_by(holds: Callable[[np.ndarray, Sequence[int]], Outcome]) -> Callable[[np.ndarray], Outcome]:
        return lambda seconds: holds(seconds, ends)

    return along_all(
        _axes(setting, start),
        lambda conditions: delays_at(setting, conditions).delay_seconds,
        {name: judged_by(holds) for name, (_, holds) in CLAIMS.items()},
        report,
        "delay",
    )


def _verdicts(
    setting: PaperSetting,
    tables: Mapping[str, CostTable],
    trials: Mapping[str, Mapping[str, Sequence[Trial]]],
) -> tuple[Verdict, ...]:
    ends = ends_after_the_first(setting.profile.names)
    found = {
        (name, label): holds(table.delay_seconds, ends)
        for name, (_, holds) in CLAIMS.items()
        for label, table in tables.items()
    }
    at_setting, *_ = tables
    return tuple(
        judge(
            claim,
            "; ".join(f"{label}: {SENTENCES[name](table, ends)}" for label, table in tables.items()) + ".",
            {f"{COMPARED[name]}, {label}": found[name, label][1] or 0.0 for label in tables},
            at_setting=found[name, at_setting][0],
            axes=trials[name],
        )
        for name, (claim, _) in CLAIMS.items()
    )


def _ends_in_words(table: CostTable, ends: Sequence[int]) -> str:
    seconds = table.delay_seconds
    return f"{format_seconds(seconds[1])} at position 1, {format_seconds(seconds[-1])} at {len(seconds) - 1}"


def _stages_in_words(table: CostTable, ends: Sequence[int]) -> str:
    _, rising = falls_by_stage(table.delay_seconds, ends)
    steps = len(ends) - 1
    return f"less than a stage before at {steps - round(steps * (rising or 0.0))} of {steps} ends of a stage"


def _steps_in_words(table: CostTable, ends: Sequence[int]) -> str:
    _, rising = falls_at_every_position(table.delay_seconds, ends)
    growing = format_percent(growing_uploads(table), 2)
    return f"it rises at {format_percent(rising or 0.0, 2)} of the positions, and more bytes cross the cut at {growing}"


def _cloud_in_words(table: CostTable, ends: Sequence[int]) -> str:
    seconds = table.delay_seconds
    best = int(seconds[1:].argmin()) + 1
    alone, cut = format_seconds(seconds[0]), format_seconds(seconds[best])
    return f"the cloud alone takes {alone}, the best cut {cut} (position {best})"


SENTENCES: dict[str, Callable[[CostTable, Sequence[int]], str]] = {
    "ends": _ends_in_words,
    "stages": _stages_in_words,
    "gradual": _steps_in_words,
    "cloud": _cloud_in_words,
}
"""What is measured on a fleet, in words."""

COMPARED = {
    "ends": "delay at the last position over the first",
    "stages": "share of stages where the delay rises",
    "gradual": "share of positions where the delay rises",
    "cloud": "delay at the best position over the cloud alone",
}
"""The number behind each claim."""


def growing_uploads(table: CostTable) -> float:
    """Returns the share of positions where more bytes cross the cut than at the position before."""
    return float((np.diff(table.upload_bytes[1:]) > 0).mean())
