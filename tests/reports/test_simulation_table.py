"""The tables of a simulation: every number with its unit, a dash for what there is not, no table without rows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from cloudedge_pl.reports.simulation_table import (
    ANSWERED_BY,
    ROWS,
    classes_table,
    paths_table,
    simulation_table,
    simulation_tables,
    stations_table,
)
from cloudedge_pl.simulation.summary import RunTotals, summarise_tasks
from cloudedge_pl.simulation.task_records import PATHS, TaskRecords
from tests.simulation.record_cases import fleet_at_work, make_records, stations_of

RECORDS = fleet_at_work(2_000, 10)
CLOCK = float(np.nanmax(RECORDS.answered_seconds))
TOTALS = RunTotals(clock_seconds=CLOCK, joules=123.0, asleep_seconds=0.25 * CLOCK, switches=1200)
STATIONS = stations_of(RECORDS, [f"pi-{at}" for at in range(10)])
SUMMARY = summarise_tasks(RECORDS, TOTALS, stations=STATIONS, classes=("photo", "[video]"))
NOTHING = summarise_tasks(TaskRecords.empty(), RunTotals(clock_seconds=0.0))


def lines(table: Table) -> list[str]:
    console = Console(file=io.StringIO(), width=100)
    console.print(table)
    return [line.strip() for line in console.file.getvalue().splitlines()]


def value(summary: dict, name: str) -> str:
    (line,) = [line for line in lines(simulation_table(summary)) if f" {name} " in line]
    return line.split("│")[-2].strip()


@pytest.mark.parametrize(
    ("change", "name", "expected"),
    [
        ({"tasks": 1_000_000}, "arrived", "1,000,000"),
        ({"mean_delay_seconds": 0.3417}, "mean", "342 ms"),
        ({"p99_delay_seconds": 12_345.6}, "99% are faster", "12,346 s"),
        ({"deadline_miss_share": 0.0123}, "of those with a deadline", "1.23%"),
        ({"goodput_per_second": 12_345.6}, "goodput", "12,346 tasks/s"),
        ({"goodput_per_second": 0.05}, "goodput", "0.05 tasks/s"),
        ({"mean_energy_joules": 0.12}, "energy", "120 mJ"),
        ({"mean_bytes": 25_088.0}, "sent and received", "25.09 kB"),
        ({"share_asleep": 0.205}, "time the cloud slept", "20.50%"),
        ({"switches": 1200}, "fell asleep or woke", "1,200"),
        ({"p50_delay_seconds": None}, "median", "\N{EN DASH}"),
    ],
)
def test_numbers_have_their_units(change, name, expected):
    assert value(SUMMARY | change, name) == expected


def test_rows_are_of_keys_that_a_summary_has():
    assert {key for rows in ROWS.values() for key, _, _ in rows} <= SUMMARY.keys()
    assert list(ANSWERED_BY) == [name for path, name in PATHS.items() if path >= 0]


def test_a_run_without_answers_shows_dashes():
    text = "\n".join(lines(simulation_table(NOTHING)))
    assert "\N{EN DASH}" in text
    assert "None" not in text
    assert "nan" not in text
    assert "delay" not in text  # a section without values is left out


def test_tables_are_those_that_have_rows():
    assert [table.title for table in simulation_tables(NOTHING)] == ["Simulation"]
    titles = ["Simulation", "Answers, and their delay", "Classes of tasks", "Stations"]
    assert [table.title for table in simulation_tables(SUMMARY)] == titles


def test_who_answered():
    cloud, asleep, sure = lines(paths_table(SUMMARY))[-4:-1]
    assert cloud.startswith("cloud ")
    assert f"{SUMMARY['answered_by']['cloud']['tasks']:,}" in cloud
    assert f"{100 * SUMMARY['answered_by']['exit_asleep']['share']:.2f}%" in asleep
    assert sure.startswith("exit head, sure")


def test_a_class_without_an_answer_shows_dashes():
    records = make_records(
        3, kind=[0, 0, 1], path=[0, 0, -1], arrival_seconds=1.0, answered_seconds=[1.5, 2.0, np.nan]
    )
    summary = summarise_tasks(records, RunTotals(clock_seconds=2.0), classes=("photo", "[video]"))
    photo, video = lines(classes_table(summary))[-3:-1]
    assert "750 ms" in photo
    assert video.startswith("[video]")
    assert video.split()[1:4] == ["1", "1", "\N{EN DASH}"]


def test_stations_by_kind():
    text = lines(stations_table(SUMMARY))
    node = next(line for line in text if line.startswith("node (10)"))
    assert f"{100 * SUMMARY['station_kinds']['node']['max_utilisation']:.2f}%" in node
    assert any(line.startswith("cloud ") for line in text)
    assert not any("backhaul" in line for line in text)


@pytest.mark.parametrize("summary", [SUMMARY, NOTHING], ids=["a fleet", "nothing"])
def test_tables_fit_into_80_columns(summary):
    for table in simulation_tables(summary):
        console = Console(file=io.StringIO(), width=80)
        console.print(table)
        assert "…" not in console.file.getvalue()
