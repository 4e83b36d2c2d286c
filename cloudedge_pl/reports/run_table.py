"""The tables at the end of ``cloudedge train``: the run, and what its cut gained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from cloudedge_pl.costs.units import ABSENT
from cloudedge_pl.reports.wording import bytes_text, joules_text, percent_text, short_name

Format = Callable[[float], str]


def _duration(value: float) -> str:
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"


def _simulated(prefix: str) -> list[tuple[str, str, Format]]:
    return [
        (f"{prefix}mean_delay_seconds", "delay", _duration),
        (f"{prefix}p95_delay_seconds", "delay of the slowest 5%, above", _duration),
        (f"{prefix}p99_delay_seconds", "delay of the slowest 1%, above", _duration),
        (f"{prefix}mean_energy_joules", "energy", joules_text),
        (f"{prefix}mean_upload_bytes", "uploaded to the cloud", bytes_text),
        (f"{prefix}share_asleep", "time the cloud slept", percent_text),
    ]


ROWS: dict[str, list[tuple[str, str, Format]]] = {
    "test accuracy": [
        ("test_accuracy_cloud", "cloud path", percent_text),
        ("test_accuracy_exit", "exit path", percent_text),
        ("test_accuracy_answered", "as answered", percent_text),
    ],
    "simulated task, in training": _simulated(""),
    "aggregations": [
        ("sync_bytes", "weights exchanged", bytes_text),
        ("sync_joules", "energy", joules_text),
        ("sync_seconds", "simulated time", _duration),
    ],
    "simulated task, in the test": _simulated("test_"),
    "sure samples of the test": [
        ("exits.exited_share", "exited, of all samples", percent_text),
        ("exits.test_risk", "lost by it, were the cloud awake", percent_text),
        ("exits.max_disagreement", "limit", percent_text),
    ],
    "run": [
        ("images_per_second", "training speed", lambda value: f"{value:,.0f} images/s"),
        ("wall_seconds", "wall time", _duration),
    ],
}
"""Each section's rows: (key of the summary, where a dot leads into a mapping, its name, what writes its value)."""


def summary_table(summary: Mapping[str, Any]) -> Table:
    """The numbers of a run. A value that is None or nan is shown as a dash; a section without values is left out.

    Args:
        summary: the content of ``summary.json``; the keys of :data:`ROWS` are shown.
    """
    table = Table(title="Run", title_justify="left", title_style="bold", show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    for section, rows in ROWS.items():
        values = [_value(summary, key) for key, _, _ in rows]
        if all(value is None for value in values):
            continue
        for number, (value, (_, name, write)) in enumerate(zip(values, rows, strict=True)):
            text = ABSENT if value is None or math.isnan(value) else write(float(value))
            table.add_row("" if number else section, name, text, end_section=number == len(rows) - 1)
    return table


def _value(summary: Mapping[str, Any], key: str) -> Any:
    """The value of a key; None if it, or the mapping that it leads into, is not there."""
    group, _, name = key.rpartition(".")
    return (summary.get(group) or {}).get(name) if group else summary.get(key)


WITHOUT_CUT = {"all_in_cloud": "all in the cloud", "all_at_edge": "all at the edge"}


def comparison_table(summary: Mapping[str, Any]) -> Table:
    """The test's tasks with the cut, compared with the same tasks on the same fleet without it.

    Args:
        summary: the content of ``summary.json``, with ``alternatives``.
    """
    table = Table(
        title="Tasks of the test, with and without the cut",
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in ("", "accuracy", "delay", "p95", "p99", "energy", "uploaded"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    table.add_column("limits of the plan")
    writers = {
        "mean_delay_seconds": _duration,
        "p95_delay_seconds": _duration,
        "p99_delay_seconds": _duration,
        "mean_energy_joules": joules_text,
        "mean_upload_bytes": bytes_text,
    }
    cut = {
        "accuracy": summary.get("test_accuracy_answered"),
        **{key: summary.get(f"test_{key}") for key in writers},
    }
    rows = {f"cut at {summary['split_point']}, {short_name(summary['split_name'])}": cut}
    rows |= {WITHOUT_CUT[name]: values for name, values in summary["alternatives"].items()}
    for name, values in rows.items():
        numbers = [values["accuracy"], *(values.get(key) for key in writers)]
        cells = [
            ABSENT if number is None or math.isnan(number) else write(float(number))
            for number, write in zip(numbers, [percent_text, *writers.values()], strict=True)
        ]
        table.add_row(name, *cells, values.get("broken_limits") or "kept")
    return table
