"""The table of a test's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloudedge_pl.errors import DataError
from cloudedge_pl.exits import Outcomes


def table() -> Outcomes:
    return Outcomes(
        sample=np.arange(5),
        label=np.array([0, 1, 2, -1, 1]),
        exit_class=np.array([0, 0, 2, 1, 1]),
        exit_score=np.array([0.9, 0.2, 0.8, 0.7, 0.3]),
        cloud_class=np.array([1, 1, 2, 1, 1]),
        path=np.array([2, 0, 2, 1, 3]),
    )


def test_accuracy_by_path() -> None:
    found = table().accuracy_by_path()
    assert found["early_exit"] == {"samples": 2, "share": 0.4, "accuracy": 1.0}
    assert found["cloud"] == {"samples": 1, "share": 0.2, "accuracy": 1.0}
    assert found["exit_asleep"] == {"samples": 1, "share": 0.2, "accuracy": None}  # its label is not known
    assert found["audited"]["accuracy"] == 1.0
    assert sum(path["share"] for path in found.values()) == pytest.approx(1)


def test_a_file_holds_the_table(tmp_path: Path) -> None:
    table().save(tmp_path / "outcomes.npz")
    read = Outcomes.load(tmp_path / "outcomes.npz")
    for name in ("sample", "label", "exit_class", "exit_score", "cloud_class", "path"):
        assert getattr(read, name).tolist() == getattr(table(), name).tolist()
    assert read.exits(0.75).tolist() == [True, False, True, False, False]


def test_parts_are_joined_and_nothing_is_an_empty_table() -> None:
    assert len(Outcomes.concatenate([])) == 0
    assert Outcomes.concatenate([table(), table()]).label.tolist() == [0, 1, 2, -1, 1] * 2
    assert Outcomes.concatenate([]).accuracy_by_path()["cloud"] == {
        "samples": 0,
        "share": 0.0,
        "accuracy": None,
    }


def test_other_files_and_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no table")
    with pytest.raises(DataError, match="holds no outcomes"):
        Outcomes.load(tmp_path / "notes.txt")
    np.savez(tmp_path / "other.npz", sample=np.arange(3))
    with pytest.raises(DataError, match="holds no outcomes"):
        Outcomes.load(tmp_path / "other.npz")
    with pytest.raises(DataError, match="of one length"):
        Outcomes(**{**{name: np.zeros(3) for name in table().__dataclass_fields__}, "label": np.zeros(2)})
