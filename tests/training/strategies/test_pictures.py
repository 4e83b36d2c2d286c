"""Training whose plan knows pictures as JPEG: their bytes come from the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import cloudedge_pl as ce
from cloudedge_pl.costs import InputCodec
from tests.training.helpers import (
    CLASSES,
    EXIT_HEAD,
    WORKLOAD,
    OtherModule,
    SmallNet,
    loader,
    make_fleet,
    make_trainer,
)


def make_strategy(workload: ce.Workload = WORKLOAD) -> ce.CloudEdgeStrategy:
    goal = ce.OffloadGoal(split_point=2, input_codec="jpeg", jpeg_quality=50)
    return ce.CloudEdgeStrategy(
        fleet=make_fleet(3), backbone="net", offloading=goal, workload=workload, exit_head=EXIT_HEAD
    )


def make_data() -> ce.SyntheticDataModule:
    return ce.SyntheticDataModule(num_classes=CLASSES, num_train=50, num_test=20, batch_size=20)


def test_bytes_are_measured_on_the_data_module_and_used_by_plan_and_simulation(tmp_path: Path) -> None:
    strategy, data = make_strategy(), make_data()
    module = OtherModule(SmallNet())
    trainer = make_trainer(tmp_path, strategy, max_epochs=1)
    trainer.fit(module, datamodule=data)
    measured = data.picture_bytes(InputCodec("jpeg", quality=50))
    assert strategy.plan.costs.upload_bytes[0] == measured != data.input_shape[1] ** 2 * 3
    trainer.validate(module, datamodule=data, verbose=False)
    in_cloud = strategy.same_tasks_at(0)
    assert in_cloud.accounts.upload_bytes.sum() / in_cloud.accounts.tasks.sum() == pytest.approx(measured)


def test_given_bytes_are_not_measured(tmp_path: Path) -> None:
    strategy = make_strategy(replace(WORKLOAD, picture_bytes=77.0))
    make_trainer(tmp_path, strategy, max_epochs=1).fit(OtherModule(SmallNet()), loader())
    assert strategy.plan.costs.upload_bytes[0] == 77


def test_loaders_alone_cannot_be_measured(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, make_strategy(), max_epochs=1)
    with pytest.raises(ValueError, match=r"a data module with a method\s+picture_bytes"):
        trainer.fit(OtherModule(SmallNet()), loader())


def test_without_a_part_at_the_edge_tasks_that_come_at_once_go_to_all_radios(tmp_path: Path) -> None:
    strategy, data = make_strategy(replace(WORKLOAD, arrival_rate=1e9)), make_data()
    make_trainer(tmp_path, strategy).validate(OtherModule(SmallNet()), datamodule=data, verbose=False)
    in_cloud = strategy.same_tasks_at(0)
    assert sorted(in_cloud.accounts.tasks.tolist()) == [0.0, 3.0, 3.0, 4.0]  # the master runs none
