"""Where a cut wins: a map over link rate, load and nodes, against the whole network in the cloud or at the edge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.units import format_bytes, format_seconds
from cloudedge_pl.paper.choices import (
    EDGE,
    FLOAT32,
    INT8,
    JPEG,
    PANELS,
    PLANNED,
    RAW,
    Cell,
    Choice,
    cells_table,
    share_of,
    shares_table,
    useful_cuts,
    winner,
)
from cloudedge_pl.paper.part import PartResult, Report
from cloudedge_pl.paper.runs import Outcome, Point, Runs, jpeg_of, lower
from cloudedge_pl.paper.setting import PaperSetting
from cloudedge_pl.paper.verdict import Trial, Verdict, judge
from cloudedge_pl.systems import PRESETS

RATES: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Link rates in Mbit/s."""

LOADS: Final = (2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
"""Tasks per second."""

CODECS: Final = {FLOAT32: CodecConfig("none"), INT8: CodecConfig("int8")}
WHOLE: Final = {RAW: "cloud_raw", JPEG: "cloud_jpeg", EDGE: "edge_only"}
AWAKE: Final = PRESETS["ours_awake"]

PICTURES: Final = (1e3, 2e3, 5e3, 10e3, 20e3, 40e3, 80e3, 150e3)
"""Bytes of a picture as JPEG."""

VARIATIONS: Final = (0.0, 0.3, 0.5, 1.0)


def measure_map(setting: PaperSetting, report: Report) -> PartResult:
    """Finds where a cut wins over link rate, load and nodes, on a constant link.

    Args:
        setting: of the paper.
        report: is told of the progress.

    Source: the paper has no such map; it follows from its claim that the framework is better than the cloud alone.
    """
    runs = Runs(setting, 1)
    cells = _measured(runs, report)
    table = cells_table(cells)
    report.step("verdicts", len(cells), len(cells) + 1)
    verdicts = [_rival_verdict(runs, cells, rival) for rival in _rivals(setting)]
    if JPEG in _rivals(setting):
        verdicts.append(_anywhere_verdict(cells))
    report.step("done", len(cells) + 1, len(cells) + 1)
    rates = ",".join(f"{rate * 1e6:g}" for rate in (1, 10, 100))
    return PartResult(
        verdicts=tuple(verdicts),
        tables={"shares": shares_table(cells), "cells": table},
        notes=_notes(runs, len(cells)),
        commands=(
            "cloudedge compare -m data.image_size=224 fleet=paper workload=paper link_process=constant "
            f"fleet.link.bandwidth_bits_per_second={rates} workload.arrival_rate=5,20,80 fleet.num_nodes=10,30 "
            "'systems=[ours_awake,cloud_raw,cloud_jpeg,edge_only]'",
        ),
    )


def _rivals(setting: PaperSetting) -> tuple[str, ...]:
    return tuple(name for name in WHOLE if name != JPEG or setting.measure_picture is not None)


def _axes(setting: PaperSetting) -> tuple[list[float], list[float]]:
    """Link rates in bit/s and loads, with those of the paper's setting among them."""
    rates = {*(1e6 * rate for rate in RATES), setting.base_fleet.link.bandwidth_bits_per_second}
    return sorted(rates), sorted({*LOADS, setting.workload.arrival_rate})


def _measured(runs: Runs, report: Report) -> dict[Cell, list[Choice]]:
    setting = runs.setting
    rates, loads = _axes(setting)
    total = len(rates) * len(loads) * len(setting.node_counts)
    cells: dict[Cell, list[Choice]] = {}
    for nodes in setting.node_counts:
        for rate in rates:
            report.step(f"{nodes} nodes, {rate / 1e6:g} Mbit/s", len(cells), total)
            for load in loads:
                point = Point(
                    num_nodes=nodes, link_bits_per_second=rate, tasks_per_second=load, variation=0.0
                )
                cells[nodes, rate, load] = list(_choices(runs, point))
    return cells


def _choices(runs: Runs, point: Point) -> Iterator[Choice]:
    """Every choice at a point: the whole network, the planned cut, and every cut that is useful."""
    for name in _rivals(runs.setting):
        yield from _choice(name, runs.outcomes(PRESETS[WHOLE[name]], point))
    yield from _choice(PLANNED, runs.outcomes(AWAKE, point))
    for name, codec in CODECS.items():
        for at in useful_cuts(codec.sent_bytes(runs.setting.profile)):
            yield from _choice(name, runs.outcomes(AWAKE, replace(point, codec=codec).cut_at(at)))


def _choice(name: str, found: Sequence[Outcome] | None) -> Iterator[Choice]:
    """The choice as it did; nothing where it has no plan."""
    if found is None:
        return
    (one,) = found
    plan, result = one.built.plan, one.result
    assert result.mean_delay_seconds is not None
    assert result.mean_active_joules is not None
    assert result.mean_upload_bytes is not None
    yield Choice(
        name=name,
        split_point=plan.split_point,
        memory_bytes=float(plan.costs.memory_bytes[plan.split_point]),
        delay_seconds=result.mean_delay_seconds,
        active_joules=result.mean_active_joules,
        upload_bytes=result.mean_upload_bytes,
        keeps_up=one.keeps_up,
    )


def _rival_verdict(runs: Runs, cells: Mapping[Cell, Sequence[Choice]], rival: str) -> Verdict:
    """Whether a cut is faster than one rival: the planned one at the paper's setting, and others over the map."""
    setting = runs.setting
    here: Cell = (
        setting.node_counts[0],
        setting.base_fleet.link.bandwidth_bits_per_second,
        setting.workload.arrival_rate,
    )
    shares = {kind: float(np.mean([_sooner(each, kind, rival) for each in cells.values()])) for kind in KINDS}
    planned, best, other = (_least(cells[here], name) for name in (PLANNED, INT8, rival))
    numbers = {f"{kind.replace(', ', ' ').replace(' ', '_')}_share": share for kind, share in shares.items()}
    numbers |= {"planned_seconds": planned, "best_int8_seconds": best, "rival_seconds": other}
    measured = (
        f"At the paper's setting {_seconds(planned)} at the planned cut and {_seconds(best)} at the best one in int8, "
        f"against {_seconds(other)}. Of {len(cells)} places on the map the planned cut is sooner at "
        f"{shares[PLANNED]:.0%}, the best cut at {shares[FLOAT32]:.0%} in float32 and at {shares[INT8]:.0%} in int8."
    )
    axes = _map_axes(cells, here, rival)
    axes |= _extra_axes(runs, rival)
    return judge(
        f"A network that is cut answers sooner than {rival}.",
        measured,
        numbers,
        at_setting=_sooner(cells[here], PLANNED, rival),
        axes=axes,
    )


KINDS: Final = (PLANNED, FLOAT32, INT8)
"""The cuts that are compared with a rival."""


def _seconds(value: float) -> str:
    return format_seconds(value) if np.isfinite(value) else "an endless wait"


def _least(choices: Sequence[Choice], name: str) -> float:
    """The least delay of a kind of choice; infinite if none keeps up."""
    return min(
        (each.delay_seconds for each in choices if each.name == name and each.keeps_up), default=float("inf")
    )


def _sooner(choices: Sequence[Choice], kind: str, rival: str) -> bool:
    """Whether a kind of cut is sooner than a rival; sure if the rival does not keep up and it does."""
    mine, other = _least(choices, kind), _least(choices, rival)
    return bool(np.isfinite(mine)) and (not np.isfinite(other) or lower(mine, other))


def _map_axes(cells: Mapping[Cell, Sequence[Choice]], here: Cell, rival: str) -> dict[str, list[Trial]]:
    """Trials of the best cut in int8 along the map's axes, and of each kind of cut, from the paper's setting."""
    names = ("nodes", "link rate in Mbit/s", "load in tasks/s")
    axes: dict[str, list[Trial]] = {}
    for at, name in enumerate(names):
        along = [cell for cell in cells if all(cell[k] == here[k] for k in range(3) if k != at)]
        scale = 1e-6 if at == 1 else 1.0
        axes[name] = [
            Trial(
                setting={name: scale * cell[at]},
                holds=_sooner(cells[cell], INT8, rival),
                value=_ratio(_least(cells[cell], INT8), _least(cells[cell], rival)),
            )
            for cell in along
        ]
    axes["cut"] = [Trial(setting={"cut": kind}, holds=_sooner(cells[here], kind, rival)) for kind in KINDS]
    return axes


def _ratio(value: float, other: float) -> float | None:
    return value / other if np.isfinite(value) and np.isfinite(other) else None


def _extra_axes(runs: Runs, rival: str) -> dict[str, list[Trial]]:
    """Trials at the paper's setting that are not on the map: the link's variation, and the bytes of a JPEG."""
    setting = runs.setting
    base = Point(num_nodes=setting.node_counts[0], variation=0.0)
    points = {"link variation": [(each, replace(base, variation=each)) for each in VARIATIONS]}
    if rival == JPEG:
        points["JPEG in kB"] = [(each / 1e3, replace(base, jpeg_bytes=each)) for each in PICTURES]
    axes: dict[str, list[Trial]] = {}
    for axis, values in points.items():
        axes[axis] = []
        for value, point in values:
            choices = list(_choices(runs, point))
            axes[axis].append(Trial(setting={axis: value}, holds=_sooner(choices, INT8, rival)))
    return axes


def _anywhere_verdict(cells: Mapping[Cell, Sequence[Choice]]) -> Verdict:
    """Whether a cut wins anywhere, for every question."""
    axis, trials = "question", []
    shares: dict[str, float] = {}
    for panel in PANELS:
        won = [winner(choices, panel) for choices in cells.values()]
        shares[panel.name] = sum(share_of(won, name) for name in panel.cuts)
        trials.append(
            Trial(setting={axis: panel.name}, holds=shares[panel.name] > 0, value=shares[panel.name])
        )
    listed = "; ".join(f"{share:.0%} by {name}" for name, share in shares.items())
    honest = next(panel.name for panel in PANELS if JPEG in panel.rivals and panel.measure == "delay")
    return judge(
        "Some place is won by a cut, in float32 or in int8, whatever else there is to choose.",
        f"A cut wins this share of the map: {listed}.",
        shares,
        at_setting=shares[honest] > 0,
        axes={axis: trials},
    )


def _notes(runs: Runs, cells: int) -> tuple[str, ...]:
    setting = runs.setting
    cuts = {name: useful_cuts(codec.sent_bytes(setting.profile)) for name, codec in CODECS.items()}
    notes = [
        f"{cells} places of {setting.num_tasks:,} tasks each, all choices on the same tasks and a constant link, the "
        "cloud always awake, so that the whole network gives every answer.",
        "The best cut is the best of those that send less than every earlier one: "
        f"{', '.join(map(str, cuts[FLOAT32]))}. The planned cut is the deepest that keeps the limits and leaves each "
        "side a part.",
        "A choice that does not keep up with the load is out. A picture goes through a node, whose radio sends it on.",
        "The cloud's energy is not modelled; neither are the time and the energy of coding, as JPEG or as int8, nor "
        "their effect on accuracy.",
    ]
    if setting.measure_picture is not None:
        size = setting.measure_picture(jpeg_of(setting), setting.image_size)
        notes.append(
            f"A JPEG has {format_bytes(size)} at {setting.image_size} pixels, and the verdict tries smaller and larger "
            "ones."
        )
    return tuple(notes)
