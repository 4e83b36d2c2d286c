"""A second strategy over the shared base class: callbacks and module know it, and its run brings its own edge part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import override

import cloudedge_pl as ce
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.nodes.edge import EdgePart, SharedEdge
from cloudedge_pl.training.strategies.hooks import RunHooks
from cloudedge_pl.training.strategies.run import Run
from cloudedge_pl.training.strategies.settings import CutSettings
from tests.training.helpers import CLASSES, EXIT_HEAD, SmallNet, loader, make_fleet, make_trainer


class CountingEdge(SharedEdge):
    """Shared weights, and the number of samples that ran."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.samples = 0

    @override
    def run(self, samples: Any, assignment: Any) -> Any:
        self.samples += len(samples)
        return super().run(samples, assignment)


class OtherRun(Run):
    @override
    def make_edge(self, optimizers: Any = ()) -> EdgePart:
        deployment = self.deployment
        return CountingEdge(deployment.chain, deployment.split_point, "shared")


class SecondStrategy(RunHooks, pl.strategies.SingleDeviceStrategy):
    run_class = OtherRun

    @override
    def model_to_device(self) -> None:
        super().model_to_device()
        for module in self.run.deployment.modules.values():
            module.to(self.root_device)


def settings() -> CutSettings:
    return CutSettings.of(
        fleet=make_fleet(), exit_head=EXIT_HEAD, codec="none", offloading={"split_point": 2}, seed=0
    )


def net() -> nn.Module:
    torch.manual_seed(1)
    return SmallNet()


def test_a_second_strategy_trains_as_the_first_with_the_same_callbacks(tmp_path: Path) -> None:
    weights, books = [], []
    second = SecondStrategy(settings(), "cpu")
    first = ce.CloudEdgeStrategy(
        fleet=make_fleet(), exit_head=EXIT_HEAD, codec="none", offloading={"split_point": 2}
    )
    for strategy in (first, second):
        module = ce.CloudEdgeModule(net(), num_classes=CLASSES)
        callbacks = [ce.WeightedAggregation(), ce.CostLogger(), ce.CloudDormancy()]
        trainer = make_trainer(tmp_path, strategy, callbacks=callbacks, max_epochs=1)
        trainer.fit(module, loader(), loader(seed=1))
        weights.append(module.state_dict())
        books.append(strategy.simulator.state_dict())
        assert "val/accuracy_exit" in trainer.callback_metrics
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
    assert books[0] == books[1]
    edge = second.run.edge
    assert isinstance(edge, CountingEdge)
    assert edge.samples == len(loader().dataset)  # type: ignore[arg-type]


def test_the_run_chooses_replicas_only_if_weights_may_differ(tmp_path: Path) -> None:
    for every, kind in ((1, "SharedEdge"), (2, "ReplicatedEdge")):
        strategy = ce.CloudEdgeStrategy(fleet=make_fleet(), offloading={"split_point": 2})
        module = ce.CloudEdgeModule(net(), num_classes=CLASSES)
        callbacks = [ce.WeightedAggregation(every_n_steps=every)]
        make_trainer(tmp_path, strategy, callbacks=callbacks, max_epochs=1).fit(module, loader())
        assert type(strategy.run.edge).__name__ == kind
        assert type(strategy.run.make_edge()).__name__ == "SharedEdge"
