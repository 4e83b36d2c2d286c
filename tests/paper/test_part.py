"""Results of parts: tables that check themselves, CSV files, and JSON without loss."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudedge_pl.paper.part import PartResult, Report, Table
from cloudedge_pl.paper.parts import PARTS
from cloudedge_pl.paper.verdict import Trial, judge

CELLS = st.one_of(st.floats(), st.integers(-(2**53), 2**53), st.booleans(), st.none())


def table(**columns) -> Table:
    return Table(title="delays", columns=columns or {"nodes": [10, 20], "delay_seconds": [0.5, 0.25]})


def result(**tables) -> PartResult:
    tried = [Trial(setting={"nodes": 10}, holds=True), Trial(setting={"nodes": math.inf}, holds=False)]
    verdict = judge("it falls", "it fell", {"fall": math.nan}, at_setting=True, axes={"nodes": tried})
    return PartResult(verdicts=(verdict,), tables=tables or {"main": table()}, notes=("n",), commands=("c",))


def same(first: object, second: object) -> bool:
    return first == second or (first != first and second != second)


@pytest.mark.parametrize("columns", [{"a": [1, 2], "b": [1]}, {"a": [], "b": [0]}])
def test_columns_of_unequal_length_are_refused(columns):
    with pytest.raises(ValueError, match="'delays': columns must be of equal length"):
        table(**columns)


def test_a_table_needs_columns_cells_and_shown_columns_that_exist():
    with pytest.raises(ValueError, match="equal length"):
        Table(title="t", columns={})
    with pytest.raises(ValueError, match="a cell of a table is"):
        table(a=[[1, 2]])
    with pytest.raises(ValueError, match="unknown column of the table 't', 'b'"):
        Table(title="t", columns={"a": [1]}, shown=("b",))


def test_arrays_become_plain_numbers():
    found = table(
        nodes=np.array([10, 20]), share=np.array([0.5, np.inf], dtype=np.float32), ok=np.array([True, False])
    )
    assert found.rows() == [(10, 0.5, True), (20, math.inf, False)]
    assert [type(cell) for cell in found.rows()[0]] == [int, float, bool]


def test_csv_has_the_headers_and_every_row(tmp_path: Path):
    path = table(name=["a,b", 'c"d'], delay_seconds=[0.1, None]).save_csv(tmp_path / "new" / "t.csv")
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["name", "delay_seconds"], ["a,b", "0.1"], ['c"d', ""]]


def test_the_first_table_has_the_name_of_the_part():
    assert result(rows=table(), curves=table()).files("fig7") == {
        "rows": "fig7.csv",
        "curves": "fig7_curves.csv",
    }


def test_a_result_without_a_table_is_refused():
    with pytest.raises(ValueError, match="at least one table"):
        PartResult(verdicts=(), tables={})


@given(
    st.lists(CELLS, max_size=5),
    st.lists(st.sampled_from(["", "inf x", "atsa", "12"]), min_size=5, max_size=5),
)
def test_json_gives_every_cell_back(numbers, names):
    before = result(main=table(number=numbers, name=names[: len(numbers)]))
    text = json.dumps(before.to_json(), allow_nan=False)
    after = PartResult.from_json(json.loads(text))
    for first, second in zip(before.tables["main"].rows(), after.tables["main"].rows(), strict=True):
        assert all(map(same, first, second))
        assert list(map(type, first)) == list(map(type, second))


def test_json_gives_verdicts_notes_and_commands_back():
    before = result()
    after = PartResult.from_json(json.loads(json.dumps(before.to_json(), allow_nan=False)))
    assert after.verdicts[0].flips == before.verdicts[0].flips
    assert math.isnan(after.verdicts[0].numbers["fall"])
    assert (after.notes, after.commands) == (("n",), ("c",))
    assert after.tables["main"].title == "delays"


def test_a_saved_result_has_its_context(tmp_path: Path):
    content = json.loads(result().save(tmp_path / "result.json", {"fingerprint": "f"}).read_text())
    assert content["fingerprint"] == "f"
    assert PartResult.from_json(content).tables["main"].rows() == table().rows()


def test_the_default_report_says_nothing(capsys):
    Report().step("planning", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_parts_are_known_by_their_own_names():
    assert all(part.name == name for name, part in PARTS.items())


def test_a_table_of_rows_has_the_headers_of_the_first_one():
    made = Table.of_rows(
        "delays", [{"nodes": 10, "delay_seconds": 0.5}, {"delay_seconds": 0.25, "nodes": 20}]
    )
    assert (dict(made.columns), made.shown) == (dict(table().columns), ())
    with pytest.raises(ValueError, match="'delays': columns must be of equal length"):
        Table.of_rows("delays", [])
