"""Text files: what is read, and errors that name file, line and fix."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from cloudedge_pl.text_tables import finite_number, read_csv, read_lines, read_text

COLUMNS = ("t_seconds", "value")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def test_a_byte_order_mark_is_no_text(path: Path) -> None:
    path.write_text("Köln\n", encoding="utf-8-sig")
    assert read_text(path) == "Köln\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"1 2\n", mtime=0), "compressed by gzip"),
        ("1 2\n3 4 # K\u00f6ln\n".encode("latin-1"), "line 2: byte 11 is not UTF-8"),
        ("1 2\n".encode("utf-16"), "line 1: byte 0 is not UTF-8"),
        ("1 2\n".encode("utf-16-le"), "NUL characters"),
    ],
)
def test_what_is_no_text_is_refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_text(path)
    assert str(path) in str(caught.value)


def test_a_row_has_its_line_and_the_cells_that_are_not_empty(path: Path) -> None:
    path.write_text('\nvalue, t_seconds\n\n1,2\n,3\n"4",\n')
    header, rows = read_csv(path, COLUMNS)
    assert header == ["value", "t_seconds"]
    assert rows == [(4, {"value": "1", "t_seconds": "2"}), (5, {"t_seconds": "3"}), (6, {"value": "4"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty; the first line names the columns: t_seconds, value"),
        ("t_seconds,valeu\n", "column in .*line 1: 'valeu'. Did you mean 'value'"),
        ("value,value\n", "line 1: the column 'value' appears twice"),
        ("t_seconds,value\n1,2\n1\n", "line 3: it has 1 cells, the header 2 columns"),
        ('t_seconds,value\n1,2\n"1,2\n', "line 3: .*close every quote"),
    ],
)
def test_a_bad_table_is_refused(path: Path, content: str, message: str) -> None:
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_csv(path, COLUMNS)
    assert str(path) in str(caught.value)


def test_lines_are_words_without_comments(path: Path) -> None:
    path.write_text("# seconds Mbps\n0.0\t20.1\n\n5.0  20.5 # of a kind\n")
    assert read_lines(path) == [(2, ["0.0", "20.1"]), (4, ["5.0", "20.5"])]


@pytest.mark.parametrize(("cell", "value"), [("1.5", 1.5), (" 2e3 ", 2000.0), ("0", 0.0)])
def test_a_number_is_read(path: Path, cell: str, value: float) -> None:
    assert finite_number(path, 7, "value", cell) == value


@pytest.mark.parametrize("cell", ["", "fast", "1,5", "nan", "inf", "-1", "1e999"])
def test_what_is_no_finite_number_is_refused(path: Path, cell: str) -> None:
    with pytest.raises(ValueError, match=r"table\.csv, line 7: value is .*write a finite number >= 0"):
        finite_number(path, 7, "value", cell)
