"""Nodes that train weights of their own: against the paper's formulas by hand, and against plain training."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import cloudedge_pl as ce
from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.nodes.aggregation import AggregationRule
from tests.training.helpers import (
    OtherModule,
    SmallNet,
    loader,
    make_strategy,
    make_trainer,
    note_before_averages,
    parameters_of,
)
from tests.training.reference import PaperLoop

STEPS = 20


def seeded_net(**options: Any) -> SmallNet:
    torch.manual_seed(1)
    return SmallNet(**options).double()


class Constant(OtherModule):
    """One learning rate throughout."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.lr, **self.sgd)


class Watch(pl.Callback):
    """Notes the exit head before training and who ran which sample."""

    def __init__(self) -> None:
        self.routes: list[Tensor] = []
        self.head: nn.Module | None = None

    def on_fit_start(self, trainer: Any, *_: Any) -> None:
        self.head = copy.deepcopy(trainer.strategy.deployment.exit_head)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        self.routes.append(torch.from_numpy(trainer.strategy.record.assignment.node))


def data(steps: int = STEPS) -> Any:
    return loader(dtype=torch.float64, num=16 * steps)


def train(
    root: Path, strategy: Any, net: nn.Module, *callbacks: pl.Callback, steps: int = STEPS, **options: Any
) -> OtherModule:
    pl.seed_everything(0)
    module = Constant(net)
    settings = {"max_epochs": 1, "precision": "64-true", **options}
    make_trainer(root, strategy, callbacks=list(callbacks), **settings).fit(module, data(steps))
    return module


def assert_close(got: dict[str, Tensor], expected: dict[str, Tensor], names: Any = None) -> None:
    for name in expected if names is None else names:
        difference = (got[name] - expected[name]).abs().max()
        assert difference <= 1e-10, f"{name} is off by {difference:.3g}"


@pytest.fixture
def always_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every node trains weights of its own even where one pass would compute the same."""
    monkeypatch.setattr(AggregationRule, "is_one_pass", lambda *_: False)


@pytest.mark.parametrize(
    ("split_point", "every", "options"),
    [
        (1, 1, {}),
        (2, 1, {}),
        (3, 1, {}),
        (4, 1, {}),
        (2, 3, {}),
        (4, 3, {}),
        (3, 8, {"momentum": "keep"}),
        (3, 8, {"momentum": "reset"}),
        (2, 4, {"weighting": "uniform"}),
        (2, 4, {"clip": 0.05}),
    ],
)
def test_equals_the_papers_update_by_hand(
    tmp_path: Path, split_point: int, every: int, options: dict[str, Any]
) -> None:
    options = dict(options)
    clip = options.pop("clip", None)
    strategy = make_strategy(split_point, num_nodes=3, edge_loss_weight=0.4, cloud_loss_weight=1.0)
    watch = Watch()
    aggregation = ce.WeightedAggregation(every_n_steps=every, **options)
    module = train(tmp_path, strategy, seeded_net(), watch, aggregation, gradient_clip_val=clip)
    net = seeded_net()
    chain = ce.trace(net, torch.zeros(1, 3, 8, 8, dtype=torch.float64))
    assert watch.head is not None
    loop = PaperLoop(
        net,
        watch.head.train(),
        chain.edge(split_point),
        chain.cloud(split_point),
        list(chain.edge_parameters(split_point)),
        nodes=3,
        every=every,
        uniform=options.get("weighting") == "uniform",
        mode=options.get("momentum", "average"),
        clip=clip,
    )
    loop.run(data(), watch.routes)
    counts = torch.stack([torch.bincount(route, minlength=3) for route in watch.routes])
    assert len(set(counts.sum(0).tolist())) > 1, "unequal U_i"
    trained = dict(module.net.named_parameters())
    assert_close(trained, loop.aggregated)
    assert_close(trained, loop.shared, [name for name in loop.shared if not name.startswith("head.")])


@pytest.mark.parametrize("options", [{"batch_norm": "frozen"}, {"batch_norm": "local"}])
def test_replicas_at_every_step_equal_one_pass(
    tmp_path: Path, request: pytest.FixtureRequest, options: dict[str, Any]
) -> None:
    one_pass = train(tmp_path, make_strategy(3, **options), seeded_net(norm=True), ce.WeightedAggregation())
    request.getfixturevalue("always_replicas")
    strategy = make_strategy(3, **options)
    watch = Watch()
    replicas = train(tmp_path, strategy, seeded_net(norm=True), ce.WeightedAggregation(), watch)
    assert_close(parameters_of(replicas), parameters_of(one_pass))


@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("split_point", [2, 5])
def test_one_node_equals_plain_training_at_any_interval(
    tmp_path: Path, split_point: int, every: int, always_replicas: None
) -> None:
    plain = train(tmp_path, "auto", seeded_net(norm=True, dropout=0.3))
    strategy = make_strategy(split_point, num_nodes=1, edge_loss_weight=0)
    alone = train(
        tmp_path, strategy, seeded_net(norm=True, dropout=0.3), ce.WeightedAggregation(every_n_steps=every)
    )
    assert_close(parameters_of(alone), parameters_of(plain))


def test_aggregation_every_step_equals_plain_sgd_on_the_whole_batch(tmp_path: Path) -> None:
    """Frozen batch norm, momentum, weight decay, float64."""

    class Frozen(SmallNet):
        def train(self, mode: bool = True) -> Any:
            super().train(mode)
            self.block.norm.eval()
            return self

    def net() -> nn.Module:
        torch.manual_seed(1)
        return Frozen(norm=True).double().train()

    plain = train(tmp_path, "auto", net())
    strategy = make_strategy(3, edge_loss_weight=0, batch_norm="frozen")
    assert_close(
        parameters_of(train(tmp_path, strategy, net(), ce.WeightedAggregation())), parameters_of(plain)
    )


def test_accumulated_gradients_are_of_the_nodes_own_mean(tmp_path: Path, always_replicas: None) -> None:
    def run(**options: Any) -> dict[str, Tensor]:
        strategy = make_strategy(2, num_nodes=1, edge_loss_weight=0)
        module = train(tmp_path, strategy, seeded_net(), ce.WeightedAggregation(every_n_steps=2), **options)
        return parameters_of(module)

    plain = train(tmp_path, "auto", seeded_net(), accumulate_grad_batches=3)
    assert_close(run(accumulate_grad_batches=3), parameters_of(plain))


def test_a_validation_between_two_accumulated_batches_changes_nothing(tmp_path: Path) -> None:
    def run(validation: Any, **options: Any) -> dict[str, Tensor]:
        pl.seed_everything(0)
        module = Constant(seeded_net())
        trainer = make_trainer(
            tmp_path,
            make_strategy(2),
            callbacks=[ce.WeightedAggregation(every_n_steps=2)],
            max_epochs=1,
            precision="64-true",
            accumulate_grad_batches=2,
            num_sanity_val_steps=0,
            **options,
        )
        trainer.fit(module, data(8), validation)
        return parameters_of(module)

    assert_close(run(data(1), val_check_interval=1), run(None))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.AdamW(p, lr=1e-2),
        lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.9),
        lambda p: torch.optim.Adagrad(p, lr=1e-2),
        lambda p: torch.optim.NAdam(p, lr=1e-2),
    ],
)
def test_any_optimizer_steps_a_replica(tmp_path: Path, make: Any, always_replicas: None) -> None:
    class Other(OtherModule):
        def configure_optimizers(self) -> Any:
            decayed = [p for p in self.parameters() if p.ndim > 1]
            rest = [p for p in self.parameters() if p.ndim <= 1]
            optimizer = make([{"params": decayed, "weight_decay": 1e-2}, {"params": rest}])
            return [optimizer], [
                {"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 4), "interval": "step"}
            ]

    def run(strategy: Any, *callbacks: pl.Callback) -> dict[str, Tensor]:
        pl.seed_everything(0)
        module = Other(seeded_net())
        trainer = make_trainer(
            tmp_path, strategy, callbacks=list(callbacks), max_epochs=1, precision="64-true"
        )
        trainer.fit(module, data())
        return parameters_of(module)

    alone = make_strategy(3, num_nodes=1, edge_loss_weight=0)
    assert_close(run(alone, ce.WeightedAggregation(every_n_steps=4)), run("auto"))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, foreach=True),
        lambda p: torch.optim.AdamW(p, lr=1e-2),
        lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.9),
        lambda p: torch.optim.NAdam(p, lr=1e-2),
    ],
)
def test_any_optimizer_equals_a_literal_loop_over_nodes(tmp_path: Path, make: Any) -> None:
    class Other(OtherModule):
        def configure_optimizers(self) -> Any:
            return make(list(self.parameters()))

    pl.seed_everything(0)
    watch, module, every = Watch(), Other(seeded_net()), 3
    callbacks = [watch, ce.WeightedAggregation(every_n_steps=every)]
    strategy = make_strategy(3, edge_loss_weight=0)
    trainer = make_trainer(tmp_path, strategy, callbacks=callbacks, max_epochs=1, precision="64-true")
    trainer.fit(module, data(8))

    nodes, cloud = [seeded_net() for _ in range(3)], seeded_net()
    shared = [*cloud.hidden.parameters(), *cloud.head.parameters()]
    edges = [[*net.stem.parameters(), *net.block.parameters()] for net in nodes]
    optimizers, of_cloud, tasks = [make(edge) for edge in edges], make(shared), [0, 0, 0]
    for step, ((x, y), route) in enumerate(zip(data(8), watch.routes, strict=True), start=1):
        losses = []
        for node, net in enumerate(nodes):
            mine = route == node
            sent = net.block(torch.relu(net.stem(x[mine]))).mean((2, 3))
            logits = cloud.head(torch.relu(cloud.hidden(sent)))
            losses.append(functional.cross_entropy(logits, y[mine], reduction="sum"))
            tasks[node] += int(mine.sum())
        for optimizer in (of_cloud, *optimizers):
            optimizer.zero_grad()
        for node, loss in enumerate(losses):
            count = int((route == node).sum())
            if count:
                gradients = torch.autograd.grad(loss / count, edges[node], retain_graph=True)
                for parameter, gradient in zip(edges[node], gradients, strict=True):
                    parameter.grad = gradient
        (sum(losses) / len(y)).backward(inputs=shared)
        of_cloud.step()
        for node, optimizer in enumerate(optimizers):
            if (route == node).any():
                optimizer.step()
        if step % every == 0 or step == 8:
            share = torch.tensor(tasks, dtype=torch.float64) / sum(tasks)
            tasks = [0, 0, 0]
            with torch.no_grad():
                for column in zip(*edges, strict=True):
                    states = [optimizers[node].state[p] for node, p in enumerate(column)]
                    for key in states[0]:
                        values = [torch.as_tensor(state[key]) for state in states]
                        if values[0].ndim:
                            mean = sum(s * value for s, value in zip(share, values, strict=True))
                            for value in values:
                                value.copy_(mean)
                    mean = sum(s * p for s, p in zip(share, column, strict=True))
                    for p in column:
                        p.copy_(mean)
    got = parameters_of(module.net)
    literal = parameters_of(cloud) | {
        name: value for name, value in parameters_of(nodes[0]).items() if name.startswith(("stem", "block"))
    }
    assert_close(got, literal)


def test_nodes_drift_apart_and_hold_the_mean_after_an_aggregation(tmp_path: Path) -> None:
    spread: list[float] = []

    class Spread(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            weights = [node[0].detach() for node in trainer.strategy.run.edge.replicas.parameters]
            spread.append(max(float((w - weights[0]).abs().max()) for w in weights))

    for order in (1, -1):
        spread.clear()
        callbacks = [Spread(), ce.WeightedAggregation(every_n_steps=4)][::order]
        train(tmp_path, make_strategy(2), seeded_net(), *callbacks, steps=8)
        assert [value > 0 for value in spread] == [True, True, True, False] * 2


def test_batch_norm_statistics_are_the_nodes_own_and_averaged_by_their_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[list[Tensor]] = []

    def note(replicas: Any) -> None:
        at = replicas.buffer_names.index("block.norm.running_mean")
        before.append([buffers[at].clone() for buffers in replicas.buffers])

    note_before_averages(monkeypatch, note)
    watch = Watch()
    strategy = make_strategy(3)
    module = train(
        tmp_path,
        strategy,
        seeded_net(norm=True),
        watch,
        ce.WeightedAggregation(every_n_steps=4),
        steps=4,
    )
    tasks = sum(torch.bincount(route, minlength=3) for route in watch.routes).double()
    mean = sum(share * value for share, value in zip(tasks / tasks.sum(), before[-1], strict=True))
    torch.testing.assert_close(module.net.block.norm.running_mean, mean)
    assert module.net.block.norm.num_batches_tracked == 4
    assert not torch.equal(before[-1][0], before[-1][1])


def test_nodes_of_one_sample_and_of_several_share_a_step(tmp_path: Path) -> None:
    """With one value a channel there is no variance, and a step writes statistics between another's two passes."""

    class Vectors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.BatchNorm1d(8), nn.ReLU())
            self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.second(self.first(x)))

    torch.manual_seed(0)
    watch = Watch()
    strategy = make_strategy(2, num_nodes=12)
    module = train(
        tmp_path, strategy, Vectors().double(), watch, ce.WeightedAggregation(every_n_steps=4), steps=8
    )
    counts = [torch.bincount(route) for route in watch.routes]
    assert any(1 in count and count.max() > 1 for count in counts)
    assert all(torch.isfinite(value).all() for value in module.state_dict().values())


def test_by_simulated_seconds_and_by_epochs(tmp_path: Path) -> None:
    clocks: list[tuple[float, float, int]] = []

    class Note(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            strategy = trainer.strategy
            clocks.append(
                (
                    strategy.record.clock_seconds,
                    strategy.simulator.clock_seconds,
                    strategy.run.aggregation.aggregations,
                )
            )

    train(tmp_path, make_strategy(2), seeded_net(), ce.WeightedAggregation(every_n_seconds=5.0), Note())
    last, expected, counted = 0.0, 0, []
    for window_closes, aggregated, _ in clocks:
        if (
            window_closes - last >= 5.0 or len(counted) == STEPS - 1
        ):  # the last step of training aggregates, too
            last, expected = aggregated, expected + 1
        counted.append(expected)
    assert [done for _, _, done in clocks] == counted
    assert 1 < expected < STEPS
    clocks.clear()
    epochs = ce.WeightedAggregation(every_n_epochs=2)
    train(tmp_path, make_strategy(2), seeded_net(), epochs, Note(), steps=3, max_epochs=4)
    assert [done for _, _, done in clocks] == [0] * 5 + [1] * 6 + [2]


def test_a_node_that_fails_loses_its_share_and_the_run_goes_on(tmp_path: Path) -> None:
    strategy = make_strategy(2)
    module = train(
        tmp_path, strategy, seeded_net(), ce.WeightedAggregation(every_n_steps=4, failure_rate=1.0), steps=8
    )
    # Everyone fails at every step: all U_i are zero, and the weights of the edge stay as they were.
    start = seeded_net()
    for name in ("stem.weight", "block.conv1.weight"):
        assert torch.equal(module.net.get_parameter(name), start.get_parameter(name))
    assert not torch.equal(module.net.head.weight, start.head.weight)

    failures: list[float] = []

    class Note(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            failures.append(float(trainer.callback_metrics["aggregation/failures"]))

    rare = ce.WeightedAggregation(every_n_steps=4, failure_rate=0.2, seed=3)
    moved = train(tmp_path, make_strategy(2), seeded_net(), rare, Note(), steps=8)
    assert 0 < failures[-1] < 24
    assert not torch.equal(moved.net.stem.weight, start.stem.weight)


def test_failing_nodes_are_left_out_of_the_average(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """U_i of a node that fails counts from its restart only."""
    weights: list[Any] = []

    def note(replicas: Any) -> None:
        weights[:] = [node[0].detach().clone() for node in replicas.parameters]

    note_before_averages(monkeypatch, note)
    watch = Watch()
    aggregation = ce.WeightedAggregation(every_n_steps=4, failure_rate=0.3, seed=1)
    module = train(tmp_path, make_strategy(2), seeded_net(), watch, aggregation, steps=4)
    tasks = torch.zeros(3)
    for step, route in enumerate(watch.routes):
        tasks += torch.bincount(route, minlength=3)
        tasks[np.random.default_rng([1, step]).random(3) < 0.3] = 0
    assert 0 < tasks.sum() < 64
    mean = sum(u * w for u, w in zip(tasks.double(), weights, strict=True)) / tasks.sum()
    torch.testing.assert_close(module.net.stem.weight.detach(), mean)


def test_nodes_without_weights_have_nothing_to_average(tmp_path: Path) -> None:
    plain = train(tmp_path, "auto", seeded_net())
    module = train(tmp_path, make_strategy(0), seeded_net(), ce.WeightedAggregation(every_n_steps=4))
    assert_close(parameters_of(module), parameters_of(plain))


def test_state_dict_keeps_the_backbones_names_and_the_optimizer_its_own_parameters(tmp_path: Path) -> None:
    strategy = make_strategy(3)
    module = train(tmp_path, strategy, seeded_net(norm=True), ce.WeightedAggregation(every_n_steps=4))
    SmallNet(norm=True).double().load_state_dict(module.net.state_dict(), strict=True)
    optimizer = module.trainer.optimizers[0]
    own = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert {id(p) for p in optimizer.state} <= own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_n_steps": 0}, "every_n_steps is 0"),
        ({"every_n_steps": 2, "every_n_epochs": 1}, "give exactly one"),
        ({"every_n_seconds": -1.0}, "every_n_seconds"),
        ({"every_n_steps": 2, "weighting": "task"}, "tasks, samples, uniform"),
        ({"every_n_steps": 2, "momentum": "mean"}, "momentum"),
        ({"failure_rate": 1.5}, "failure_rate"),
        ({"adaptive": {}}, "no budget"),
    ],
)
def test_bad_rules_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((StrategyError, ValueError), match=message):
        ce.WeightedAggregation(**options)


def test_shared_statistics_and_own_weights_contradict(tmp_path: Path) -> None:
    strategy = make_strategy(3, batch_norm="shared")
    with pytest.raises(StrategyError, match="every_n_steps=1"):
        train(tmp_path, strategy, seeded_net(norm=True), ce.WeightedAggregation(every_n_steps=4))


@pytest.mark.parametrize("every", [1, 4])
def test_an_optimizer_with_closures_is_refused(tmp_path: Path, every: int) -> None:
    class Closures(OtherModule):
        def configure_optimizers(self) -> Any:
            return torch.optim.LBFGS(self.parameters())

    trainer = make_trainer(
        tmp_path,
        make_strategy(2),
        callbacks=[ce.WeightedAggregation(every_n_steps=every)],
        precision="64-true",
    )
    with pytest.raises(StrategyError, match="LBFGS"):
        trainer.fit(Closures(seeded_net()), data())


class Freezing(pl.callbacks.BaseFinetuning):
    def freeze_before_training(self, pl_module: Any) -> None:
        self.freeze(pl_module.net.stem)

    def finetune_function(self, pl_module: Any, epoch: int, optimizer: Any) -> None:
        pass


@pytest.mark.parametrize(
    "callback",
    [pl.callbacks.StochasticWeightAveraging(1e-3), pl.callbacks.EMAWeightAveraging(), Freezing()],
    ids=lambda callback: type(callback).__name__,
)
def test_callbacks_that_want_the_modules_own_weights_are_refused(
    tmp_path: Path, callback: pl.Callback
) -> None:
    with pytest.raises(StrategyError, match=type(callback).__name__):
        train(tmp_path, make_strategy(2), seeded_net(), ce.WeightedAggregation(every_n_steps=4), callback)


def test_a_penalty_on_the_edges_own_weights_is_refused(tmp_path: Path) -> None:
    class Penalised(Constant):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx) + sum(p.abs().sum() for p in self.parameters())

    trainer = make_trainer(
        tmp_path, make_strategy(2), callbacks=[ce.WeightedAggregation(every_n_steps=4)], precision="64-true"
    )
    with pytest.raises(StrategyError, match=r"stem\.weight directly.*weight_decay"):
        trainer.fit(Penalised(seeded_net()), data())


@pytest.mark.parametrize("batches", [1, 2])
def test_two_calls_of_the_backbone_equal_plain_training(tmp_path: Path, batches: int) -> None:
    class Views(Constant):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x, y = batch
            return functional.cross_entropy(self(x), y) + functional.cross_entropy(self(x.flip(-1)), y)

    def run(strategy: Any, *callbacks: pl.Callback) -> dict[str, Any]:
        pl.seed_everything(0)
        module, options = Views(seeded_net()), {"precision": "64-true", "max_epochs": 1}
        make_trainer(
            tmp_path, strategy, callbacks=list(callbacks), accumulate_grad_batches=batches, **options
        ).fit(module, data(8))
        return parameters_of(module)

    one_node = make_strategy(2, num_nodes=1, edge_loss_weight=0)
    assert_close(run(one_node, ce.WeightedAggregation(every_n_steps=2)), run("auto"))


def test_momentum_counts_at_every_step_too(tmp_path: Path) -> None:
    """With "reset" after every step the edge trains without momentum, while the cloud has its own."""

    class Two(Constant):
        def configure_optimizers(self) -> Any:
            edge = [p for name, p in self.named_parameters() if not name.startswith("net.head")]
            groups = [{"params": edge, "momentum": 0.0}, {"params": self.net.head.parameters()}]
            return torch.optim.SGD(groups, lr=self.lr, **self.sgd)

    aggregation = ce.WeightedAggregation(every_n_steps=1, momentum="reset")
    module = train(tmp_path, make_strategy(4, edge_loss_weight=0), seeded_net(), aggregation)
    pl.seed_everything(0)
    plain = Two(seeded_net())
    make_trainer(tmp_path, "auto", max_epochs=1, precision="64-true").fit(plain, data())
    assert_close(parameters_of(module), parameters_of(plain))


def test_freezing_and_unfreezing_reach_the_nodes(tmp_path: Path) -> None:
    """A frozen weight stays as it is to the last bit, whatever is averaged; unfrozen, it trains."""
    noted: list[torch.Tensor] = []

    class Thaw(pl.Callback):
        def on_fit_start(self, trainer: Any, module: Any) -> None:
            module.net.stem.weight.requires_grad_(False)

        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            noted.append(module.net.stem.weight.detach().clone())
            module.net.stem.weight.requires_grad_(trainer.current_epoch == 1)

    module = train(
        tmp_path,
        make_strategy(2),
        seeded_net(),
        ce.WeightedAggregation(every_n_steps=3),
        Thaw(),
        steps=6,
        max_epochs=3,
    )
    assert torch.equal(noted[0], noted[1])
    assert (noted[2] - noted[1]).abs().max() > 1e-3
    assert torch.equal(noted[2], module.net.stem.weight)


def test_the_last_step_ends_with_an_aggregation_before_it_is_validated_and_saved(tmp_path: Path) -> None:
    saved = pl.callbacks.ModelCheckpoint(dirpath=tmp_path / "last", save_last=True)
    module = train(
        tmp_path,
        make_strategy(2),
        seeded_net(),
        ce.WeightedAggregation(every_n_steps=50),
        saved,
        steps=5,
        enable_checkpointing=True,
    )
    last = torch.load(saved.last_model_path, weights_only=True)["state_dict"]
    assert_close(last, parameters_of(module))
    assert not torch.equal(last["net.stem.weight"], seeded_net().stem.weight)


def test_averaged_weights_are_those_of_plain_training(tmp_path: Path) -> None:
    """Where every step ends with an aggregation, the module's weights are those that train."""
    runs = []
    for strategy in (make_strategy(2, edge_loss_weight=0.0), "auto"):
        torch.manual_seed(1)
        module = OtherModule(SmallNet())
        averaging = pl.callbacks.EMAWeightAveraging(decay=0.8)
        every: list[Any] = [averaging]
        if strategy != "auto":
            every.append(ce.WeightedAggregation(every_n_steps=1))
        make_trainer(tmp_path, strategy, callbacks=every).fit(module, loader(), loader(seed=1))
        runs.append(parameters_of(module))
    cut, plain = runs
    last = OtherModule(SmallNet())
    assert cut.keys() == plain.keys() == last.state_dict().keys()
    for name, value in plain.items():
        torch.testing.assert_close(cut[name], value)
