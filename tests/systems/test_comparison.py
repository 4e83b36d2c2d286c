"""Systems on one workload: accuracies replayed by hand, equal workloads, and what a result takes over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cloudedge_pl.errors import DataError
from cloudedge_pl.simulation.task_records import PATHS, TaskRecords
from cloudedge_pl.simulation.tasks import Tasks
from cloudedge_pl.systems import PRESETS, Answers, build_system, run_system, with_exits, with_samples
from tests.systems.test_systems import setting

NUMBERS = {name: number for number, name in PATHS.items()}


def answers(num_samples: int = 8, split_point: int = 2) -> Answers:
    """The cloud is right on even samples, the exit head on none, the whole network on all, by JPEG on half."""
    every = np.arange(num_samples)
    return Answers(
        split_point=split_point,
        cloud=every % 2 == 0,
        exit_head=np.zeros(num_samples, dtype=bool),
        uncut={"raw": np.ones(num_samples, dtype=bool), "jpeg": every < num_samples // 2},
        sure={"confidence": every < 2, "entropy": every < 4},
    )


def tasks(num_tasks: int = 400) -> Tasks:
    return Tasks.equal(num_tasks, np.arange(num_tasks) / 5)


def records(paths: list[str], samples: list[int]) -> TaskRecords:
    empty = TaskRecords.empty().columns()
    columns = {name: np.zeros(len(paths), dtype=column.dtype) for name, column in empty.items()}
    return TaskRecords(
        **columns | {"path": np.array([NUMBERS[path] for path in paths]), "sample": np.array(samples)}
    )


def test_accuracy_is_that_of_who_answered():
    ours = build_system(PRESETS["ours"], setting())
    answered = ["cloud", "cloud", "exit_asleep", "early_exit", "exit_overload", "rejected", "in_flight"]
    found = answers().accuracy(records(answered, [0, 1, 0, 0, 0, 0, 0]), ours)
    assert found == 1 / 5  # the cloud's answer to sample 0, of five answers


def test_accuracy_of_the_whole_network_is_that_of_the_picture_that_it_gets():
    paths, samples = ["cloud"] * 8, list(range(8))
    raw, jpeg = (build_system(PRESETS[name], setting()) for name in ("cloud_raw", "cloud_jpeg"))
    assert answers().accuracy(records(paths, samples), raw) == 1.0
    assert answers().accuracy(records(paths, samples), jpeg) == 0.5
    edge = build_system(PRESETS["edge_only"], setting())
    assert answers().accuracy(records(["edge"] * 8, samples), edge) == 1.0


def test_a_cut_elsewhere_has_the_networks_own_answers():
    ours = build_system(PRESETS["ours_awake"], setting())
    assert answers(split_point=3).accuracy(records(["cloud"] * 8, list(range(8))), ours) == 1.0


def test_no_answer_has_no_accuracy():
    ours = build_system(PRESETS["ours"], setting())
    assert np.isnan(answers().accuracy(records(["rejected"], [0]), ours))


@pytest.mark.parametrize(
    ("name", "accuracy"),
    [("ours_awake", 0.5), ("cloud_raw", 1.0), ("cloud_jpeg", 0.5), ("edge_only", 1.0), ("gws", 0.5)],
)
def test_accuracy_of_a_run(name, accuracy):
    built = build_system(PRESETS[name], setting())
    assert run_system(built, with_samples(tasks(), 8, seed=1), answers=answers()).accuracy == accuracy


def test_sure_samples_exit_and_the_exit_head_answers_them():
    built = build_system(PRESETS["branchynet"], setting())
    result = run_system(built, with_samples(tasks(), 8, seed=1), answers=answers())
    assert result.exited_share == 0.5
    assert result.accuracy == 2 / 8  # the cloud answers samples 4 to 7
    assert result.share_asleep is None


def test_without_answers_a_share_of_the_tasks_is_sure():
    built = build_system(PRESETS["branchynet"], setting())
    result = run_system(built, tasks(2000), exit_share=0.3)
    assert result.exited_share == pytest.approx(0.3, abs=0.03)
    assert result.accuracy is None


def test_audited_tasks_go_to_the_cloud():
    sure = with_samples(tasks(2000), 8, seed=0)
    marked = with_exits(sure, "entropy", 0.0, replace(answers(), audit_share=0.25), seed=0)
    assert marked.exits.mean() == 0.5
    assert (marked.exits[marked.audited == 1] == 1).all()
    assert marked.audited.sum() / marked.exits.sum() == pytest.approx(0.25, abs=0.04)


def test_every_sample_is_used_equally_often():
    found = with_samples(tasks(803), 8, seed=3).sample
    counts = np.bincount(found, minlength=8)
    assert counts.max() - counts.min() == 1
    assert found.tolist() == with_samples(tasks(803), 8, seed=3).sample.tolist()
    assert found.tolist() != with_samples(tasks(803), 8, seed=4).sample.tolist()


def test_the_same_seed_gives_the_same_result_and_another_one_another():
    runs = [run_system(build_system(PRESETS["ours"], setting()), tasks(), seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_systems_of_equal_costs_and_rules_have_equal_results():
    """What the systems draw does not depend on what they are: a JPEG of the raw picture's bytes changes nothing."""
    raw = run_system(build_system(PRESETS["cloud_raw"], setting()), tasks())
    workload = setting().workload
    known = setting(workload=replace(workload, picture_bytes=192.0))
    jpeg = run_system(build_system(PRESETS["cloud_jpeg"], known), tasks())
    assert jpeg.p95_delay_seconds == raw.p95_delay_seconds
    assert jpeg.mean_energy_joules == raw.mean_energy_joules


def test_a_result_names_limits_that_the_cut_breaks():
    small = setting(
        fleet=replace(
            setting().fleet, nodes=tuple(replace(n, memory_bytes=1.2e6) for n in setting().fleet.nodes)
        )
    )
    edge = run_system(build_system(PRESETS["edge_only"], small), tasks(50))
    assert "memory" in edge.broken_limits
    assert not run_system(build_system(PRESETS["cloud_raw"], small), tasks(50)).broken_limits


def test_uneven_columns_are_refused():
    with pytest.raises(DataError, match="lengths"):
        Answers(split_point=1, cloud=np.ones(3), exit_head=np.ones(2), uncut={"raw": np.ones(3)})
