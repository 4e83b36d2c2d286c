"""Curves of runs: read from whole and interrupted runs, and joined where they can be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloudedge_pl.errors import DataError
from cloudedge_pl.paper.curves import ANSWERS, CLOUD, EXIT, Curves, read_curve, steps_done
from cloudedge_pl.paper.training_plan import BRANCHYNET, OURS, PLAIN
from tests.paper.learning_cases import STEPS, curve, curves, write_metrics, write_part


def validation(step: int, cloud: float, answered: float | None = None) -> dict[str, float]:
    row = {"step": step, "epoch": step // 8, "val/accuracy": cloud}
    return row if answered is None else {**row, "val/accuracy_answered": answered, "val/accuracy_exit": 0.5}


def test_a_curve_has_the_errors_of_every_path_at_each_validation(tmp_path: Path) -> None:
    write_metrics(
        tmp_path,
        [
            {"step": 6, "lr-SGD": 0.1},
            {"step": 7, "lr-SGD": 0.1},
            validation(7, 0.25, 0.5),
            {"step": 8, "lr-SGD": 0.01},
            {"step": 15, "lr-SGD": 0.01},
            validation(15, 0.75, 0.875),
        ],
    )
    found = read_curve(OURS, 3, [tmp_path])
    assert (found.system, found.seed) == (OURS, 3)
    assert found.steps.tolist() == [8, 16]
    assert found.epochs.tolist() == [0, 1]
    assert found.rates.tolist() == [0.1, 0.01]
    assert {path: errors.tolist() for path, errors in found.errors.items()} == {
        ANSWERS: [0.5, 0.125],
        CLOUD: [0.75, 0.25],
        EXIT: [0.5, 0.5],
    }


def test_a_network_that_is_not_cut_answers_by_its_one_path(tmp_path: Path) -> None:
    write_metrics(tmp_path, [validation(7, 0.25), validation(15, 0.5)])
    found = read_curve(PLAIN, 0, [tmp_path])
    assert found.errors[ANSWERS].tolist() == found.errors[CLOUD].tolist() == [0.75, 0.5]
    assert EXIT not in found.errors
    assert np.isnan(found.rates).all()


def test_the_parts_of_an_interrupted_run_make_one_curve_and_the_later_part_counts(tmp_path: Path) -> None:
    write_metrics(tmp_path / "1", [validation(7, 0.25), validation(15, 0.5)])
    write_metrics(tmp_path / "2", [validation(15, 0.625), validation(23, 0.75)])
    found = read_curve(PLAIN, 0, [tmp_path / "1", tmp_path / "2"])
    assert found.steps.tolist() == [8, 16, 24]
    assert found.errors[ANSWERS].tolist() == [0.75, 0.375, 0.25]


def test_the_summary_stands_in_for_a_run_without_loggers(tmp_path: Path) -> None:
    write_part(tmp_path, steps=1, val_accuracy_cloud=0.25, val_accuracy_exit=None, val_accuracy_answered=None)
    found = read_curve(PLAIN, 0, [tmp_path])
    assert (found.steps.tolist(), found.errors[ANSWERS].tolist()) == ([1], [0.75])


def test_a_run_without_a_validation_is_refused(tmp_path: Path) -> None:
    write_metrics(tmp_path, [{"step": 7, "train/loss": 1.0}])
    with pytest.raises(DataError, match="no validation"):
        read_curve(PLAIN, 0, [tmp_path])


def test_the_steps_so_far_are_those_of_the_last_whole_row(tmp_path: Path) -> None:
    assert steps_done([tmp_path / "1"]) == 0
    write_metrics(tmp_path / "1", [{"step": step, "train/loss": 1.0} for step in range(3000)])
    write_metrics(tmp_path / "2", [{"step": 12, "train/loss": 1.0}])
    assert steps_done([tmp_path / "1", tmp_path / "2"]) == 3000
    with (tmp_path / "1" / "metrics.csv").open("a") as file:
        file.write("39")  # the row that is being written
    assert steps_done([tmp_path / "1"]) == 3000


def test_curves_are_joined_at_the_validations_that_all_runs_have() -> None:
    errors = np.linspace(0.9, 0.1, len(STEPS))
    ours = [curve(OURS, seed, errors + seed / 100) for seed in (0, 1)]
    plain = [curve(PLAIN, seed, errors[:10], STEPS[:10]) for seed in (1, 0)]
    found = Curves.of([*ours, *plain])
    assert found.seeds == (0, 1)
    assert found.steps.tolist() == STEPS[:10].tolist()
    assert found.errors[OURS][ANSWERS] == pytest.approx(np.array([errors[:10], errors[:10] + 0.01]))
    assert found.errors[PLAIN][ANSWERS].shape == (2, 10)


def test_curves_without_a_pair_are_refused() -> None:
    errors = np.linspace(0.9, 0.1, len(STEPS))
    with pytest.raises(DataError, match=f"{PLAIN}, seed 1"):
        Curves.of([curve(OURS, 0, errors), curve(OURS, 1, errors), curve(PLAIN, 0, errors)])
    with pytest.raises(DataError, match="same step"):
        Curves.of([curve(OURS, 0, errors), curve(PLAIN, 0, errors, STEPS + 1)])


def test_the_final_error_is_the_mean_over_the_last_quarter_of_the_steps() -> None:
    errors = np.where(STEPS > 120, 0.1, 0.9)  # 160 steps
    found = curves(errors, errors, errors, spread=(0.0, 0.05))
    assert found.final(OURS) == pytest.approx([0.1, 0.15])
    assert found.final(BRANCHYNET, EXIT) == pytest.approx([0.15, 0.15])
    assert found.progress[-1] == 1
    assert found.during((0.5, 0.75)).sum() == 5
