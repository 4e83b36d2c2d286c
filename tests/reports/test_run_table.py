"""The closing table: every number with its unit, and a dash for what there is not."""

import io
import math

import pytest
from rich.console import Console

from cloudedge_pl.reports.run_table import comparison_table, summary_table

SUMMARY = {
    "test_accuracy_cloud": 0.98333,
    "test_accuracy_exit": 0.9,
    "test_accuracy_answered": 0.95,
    "mean_delay_seconds": 0.3417,
    "mean_energy_joules": 0.83,
    "mean_upload_bytes": 131072,
    "share_asleep": 0.205,
    "images_per_second": 1234.5,
    "wall_seconds": 133.2,
}


def _lines(summary: dict) -> list[str]:
    console = Console(file=io.StringIO(), width=100)
    console.print(summary_table(summary))
    return console.file.getvalue().splitlines()


def _value(summary: dict, name: str) -> str:
    (line,) = [line for line in _lines(summary) if f" {name}  " in line]
    return line.split("│")[-2].strip()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cloud path", "98.33%"),
        ("exit path", "90.00%"),
        ("as answered", "95.00%"),
        ("delay", "342 ms"),
        ("energy", "830 mJ"),
        ("uploaded to the cloud", "131.1 kB"),
        ("time the cloud slept", "20.50%"),
        ("training speed", "1,234 images/s"),
        ("wall time", "2 min 13 s"),
    ],
)
def test_numbers_have_their_units(name, expected):
    assert _value(SUMMARY, name) == expected


@pytest.mark.parametrize(
    ("change", "name", "expected"),
    [
        ({"mean_delay_seconds": 12.34}, "delay", "12.3 s"),
        ({"mean_energy_joules": 12345.0}, "energy", "12.35 kJ"),
        ({"mean_energy_joules": 0.0}, "energy", "0 J"),
        ({"mean_energy_joules": 2e-6}, "energy", "2 µJ"),
        ({"mean_upload_bytes": 0.0}, "uploaded to the cloud", "0 B"),
        ({"mean_upload_bytes": 0.5}, "uploaded to the cloud", "0.5 B"),
        ({"wall_seconds": 7261.0}, "wall time", "2 h 01 min"),
        ({"test_accuracy_exit": math.nan}, "exit path", "\N{EN DASH}"),
    ],
)
def test_units_follow_the_size(change, name, expected):
    assert _value(SUMMARY | change, name) == expected


def test_what_there_is_not_shows_as_a_dash():
    for absent in ({}, {"test_accuracy_exit": None, "test_accuracy_answered": None}):
        summary = {"test_accuracy_cloud": 0.5, "wall_seconds": 1.0} | absent
        values = [line.split("│")[-2].strip() for line in _lines(summary) if line.count("│") > 2]
        assert values == ["50.00%", "\N{EN DASH}", "\N{EN DASH}", "\N{EN DASH}", "1 s"]


def test_training_and_test_are_told_apart():
    lines = _lines(SUMMARY | {"test_mean_delay_seconds": 0.2, "test_share_asleep": 0.0})
    section = next(number for number, line in enumerate(lines) if "in the test" in line)
    assert "200 ms" in lines[section]
    assert any("342 ms" in line for line in lines[:section])


def test_the_cut_stands_beside_no_cut():
    simulated = {"mean_delay_seconds": 0.0757, "mean_energy_joules": 0.915, "mean_upload_bytes": 3072.0}
    summary = {
        "split_point": 9,
        "split_name": "layer2.0.conv2",
        "test_accuracy_answered": 0.9721,
        **{f"test_{key}": value / 2 for key, value in simulated.items()},
        "alternatives": {
            "all_in_cloud": {"accuracy": 0.975, **simulated, "broken_limits": ""},
            "all_at_edge": {"accuracy": 0.975, **simulated, "broken_limits": "memory is over"},
        },
    }
    console = Console(file=io.StringIO(), width=120)
    console.print(comparison_table(summary))
    cut, cloud, edge = console.file.getvalue().splitlines()[-4:-1]
    for text in ("cut at 9, layer2.0.conv2", "97.21%", "37.9 ms", "457.5 mJ", "1.536 kB", "kept"):
        assert text in cut
    assert "all in the cloud" in cloud
    assert "97.50%" in cloud
    assert "memory is over" in edge
