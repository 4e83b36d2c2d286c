"""``cloudedge schedule`` end to end, and the files that it reads."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_module

from cloudedge_pl.commands.schedule import read_times
from cloudedge_pl.errors import DataError
from cloudedge_pl.scheduling import SCHEDULERS, create_scheduler


def run(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    code = "from cloudedge_pl.commands.schedule import main; main()"
    command = [sys.executable, "-c", code, f"hydra.run.dir={folder}", *overrides]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)


def test_a_given_matrix_leaves_table_schedule_and_figures(tmp_path: Path) -> None:
    times = np.random.default_rng(0).uniform(1, 9, (20, 3))
    times[4, 1] = np.inf
    np.savetxt(tmp_path / "times.csv", times, delimiter=",")
    done = run(
        tmp_path / "out",
        f"file={tmp_path / 'times.csv'}",
        "scheduler.evaluations=300",
        "compare=[lpt,{name: exact, time_limit_seconds: 1}]",
        "convergence=[atsa,pso]",
    )
    assert done.returncode == 0, done.stderr
    assert "20 tasks on 3 nodes (times.csv)" in done.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(summary["schedulers"]) == {"atsa", "lpt", "exact", "fcfs"}
    rows = list(csv.DictReader((tmp_path / "out" / "schedule.csv").open()))
    loads = [0.0, 0.0, 0.0]
    for row in rows:
        loads[int(row["node"])] += times[int(row["task"]), int(row["node"])]
    assert max(loads) == pytest.approx(summary["schedulers"]["atsa"]["makespan_seconds"])
    assert max(float(row["finish_seconds"]) for row in rows) == pytest.approx(max(loads))
    for figure in ("gantt.png", "convergence.png"):
        assert (tmp_path / "out" / "figures" / figure).stat().st_size > 10_000


def test_an_unknown_scheduler_is_answered_without_a_traceback(tmp_path: Path) -> None:
    done = run(tmp_path / "out", "num_tasks=5", "num_nodes=2", "compare=[asta]", "convergence=[]")
    assert done.returncode == 1
    assert "unknown scheduler 'asta'. Did you mean 'atsa'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_has_a_config_that_states_its_defaults(name: str) -> None:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        options = dict(compose("schedule", overrides=[f"scheduler={name}"]).scheduler)
    plain, configured = create_scheduler(name), create_scheduler(**options)
    assert vars(plain) == vars(configured)


def test_times_are_read_from_npy_csv_and_text(tmp_path: Path) -> None:
    times = np.array([[1.0, 2.5], [np.inf, 3.0]])
    np.save(tmp_path / "times.npy", times)
    (tmp_path / "times.csv").write_text("# node 0, node 1\n1, 2.5\ninf, 3\n")
    (tmp_path / "times.txt").write_text("1 2.5\ninf 3\n")
    for name in ("times.npy", "times.csv", "times.txt"):
        np.testing.assert_array_equal(read_times(tmp_path / name), times)


def test_a_file_that_holds_no_matrix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read_times(tmp_path / "absent.csv")
    for name, content in (
        ("words.csv", b"a,b\n1,2\n"),
        ("ragged.csv", b"1,2\n3\n"),
        ("broken.npy", b"\x93NUMPY"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match="not a matrix of seconds"):
            read_times(tmp_path / name)
