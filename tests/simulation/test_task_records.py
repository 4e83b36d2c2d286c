"""Records of tasks: what goes into a file comes out of it, bit for bit, and a bad file is refused by its line."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudedge_pl.errors import DataError
from cloudedge_pl.simulation.task_records import DTYPES, PATHS, TaskRecords
from tests.simulation.record_cases import fleet_at_work, make_records


def assert_equal(first: TaskRecords, second: TaskRecords) -> None:
    for name, dtype in DTYPES.items():
        assert getattr(first, name).dtype == getattr(second, name).dtype == dtype
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


@pytest.fixture(params=[".csv", ".parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == ".parquet":
        pytest.importorskip("pyarrow")
    return tmp_path / "new folder" / f"tasks{request.param}"


def test_a_file_keeps_the_numbers_exactly(path):
    records = fleet_at_work(500, 7)
    assert records.save(path) == path
    assert_equal(TaskRecords.load(path), records)


def test_records_of_no_task_are_kept_too(path):
    TaskRecords.empty().save(path)
    assert len(TaskRecords.load(path)) == 0


@settings(max_examples=40)
@given(
    floats=st.lists(st.floats(), min_size=1, max_size=8),
    task=st.integers(-(2**63), 2**63 - 1),
    path=st.sampled_from(sorted(PATHS)),
)
def test_every_number_reads_back_as_itself(floats, task, path):
    seconds = np.array(floats)
    records = make_records(len(floats), task=task, path=path, answered_seconds=seconds, joules=-seconds)
    with tempfile.TemporaryDirectory() as folder:
        file = records.save(Path(folder) / "tasks.csv")
        assert_equal(TaskRecords.load(file), records)


def test_a_long_file_is_written_in_pieces_without_a_seam(tmp_path, monkeypatch):
    monkeypatch.setattr("cloudedge_pl.simulation.task_records.ROWS_AT_ONCE", 7)
    records = fleet_at_work(50, 3)
    assert_equal(TaskRecords.load(records.save(tmp_path / "tasks.csv")), records)


def test_columns_may_be_in_any_order_with_others_among_them(tmp_path):
    records = fleet_at_work(20, 3)
    lines = [line.split(",") for line in records.save(tmp_path / "tasks.csv").read_text().splitlines()]
    (tmp_path / "turned.csv").write_text(
        "\n".join(",".join(["x", *line[::-1]]) for line in lines).replace("x", "9", 1)
    )
    assert_equal(TaskRecords.load(tmp_path / "turned.csv"), records)


@pytest.mark.parametrize(
    ("break_line", "words"),
    [
        (lambda cells: [*cells[:6], "soon", *cells[7:]], "line 4.*'soon'.*column 7"),
        (lambda cells: cells[:-1], "line 4.*18 were found"),
        (lambda cells: [*cells, "1"], "line 4.*20 were found"),
        (lambda cells: ["1.5", *cells[1:]], "line 4.*'1.5' to int64"),
    ],
)
def test_a_bad_line_is_named(tmp_path, break_line, words):
    file = fleet_at_work(20, 3).save(tmp_path / "tasks.csv")
    lines = file.read_text().splitlines()
    lines[3] = ",".join(break_line(lines[3].split(",")))
    file.write_text("\n".join(lines))
    with pytest.raises(DataError, match=words):
        TaskRecords.load(file)


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        TaskRecords.load(tmp_path / "absent.csv")
    (tmp_path / "other.csv").write_text("task,sample\n1,2\n")
    with pytest.raises(DataError, match="no column kind, node"):
        TaskRecords.load(tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="no column task"):
        TaskRecords.load(tmp_path / "empty.csv")
    with pytest.raises(ValueError, match=r"'\.npy'.*\.csv, \.parquet"):
        TaskRecords.empty().save(tmp_path / "tasks.npy")


def test_a_parquet_file_that_is_none_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "tasks.parquet").write_text("task,sample\n1,2\n")
    with pytest.raises(DataError, match="not a parquet file"):
        TaskRecords.load(tmp_path / "tasks.parquet")


def test_without_pyarrow_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RuntimeError, match=r"cloudedge_pl\[parquet\].*\.csv"):
        TaskRecords.empty().save(tmp_path / "tasks.parquet")
    assert not list(tmp_path.iterdir())


def test_slices_put_together_are_the_whole():
    records = fleet_at_work(50, 3)
    assert_equal(TaskRecords.concatenate([records[:20], records[20:20], records[20:]]), records)
    assert len(TaskRecords.concatenate([])) == 0
    chosen = records[records.node == 1]
    np.testing.assert_array_equal(chosen.task, np.flatnonzero(records.node == 1))


def test_a_column_of_another_length_is_refused():
    columns = make_records(3).columns()
    with pytest.raises(ValueError, match=r"joules has shape \(2,\) and task 3 rows"):
        TaskRecords(**columns | {"joules": np.zeros(2)})


def test_delays_are_those_of_answered_tasks():
    records = make_records(
        4,
        path=[0, 1, -1, -2],
        arrival_seconds=[1.0, 2.0, 3.0, 4.0],
        answered_seconds=[1.5, 4.0, 9.0, np.nan],
        deadline_seconds=[0.5, 1.0, 9.0, 9.0],
    )
    np.testing.assert_array_equal(records.delay_seconds, [0.5, 2.0, np.nan, np.nan])
    np.testing.assert_array_equal(records.answered, [True, True, False, False])
    np.testing.assert_array_equal(records.in_time, [True, False, False, False])
