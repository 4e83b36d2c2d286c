"""The invariants of training on a cut network, with a real Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet18

import cloudedge_pl as ce
from cloudedge_pl.errors import InfeasiblePlanError, StrategyError
from cloudedge_pl.lightning import pl
from tests.training.helpers import (
    CLASSES,
    OtherModule,
    SmallNet,
    loader,
    make_strategy,
    make_trainer,
    parameters_of,
    pictures,
)


def seeded_net(**options: Any) -> SmallNet:
    torch.manual_seed(1)
    return SmallNet(**options)


def fitted(root: Path, strategy: Any, net: nn.Module, **options: Any) -> OtherModule:
    pl.seed_everything(0)
    module = OtherModule(net)
    make_trainer(root, strategy, **options).fit(module, loader(), loader(seed=1))
    return module


@pytest.mark.parametrize("split_point", [0, 5])
def test_everything_on_one_side_of_one_node_equals_single_device(tmp_path: Path, split_point: int) -> None:
    plain = fitted(tmp_path, "auto", seeded_net(norm=True, dropout=0.3))
    strategy = make_strategy(split_point, num_nodes=1)
    cut = fitted(tmp_path, strategy, seeded_net(norm=True, dropout=0.3))
    assert cut.losses == plain.losses
    for name, value in parameters_of(plain).items():
        torch.testing.assert_close(parameters_of(cut)[name], value, rtol=0, atol=0)


def test_names_are_the_backbones_own_whatever_the_cut(tmp_path: Path) -> None:
    plain = resnet18(num_classes=10)
    for split_point in (0, 7, 18):
        module = ce.CloudEdgeModule(resnet18(num_classes=10), num_classes=10, learning_rate=0.01)
        data = ce.SyntheticDataModule(num_classes=10, image_size=32, batch_size=8)
        strategy = ce.CloudEdgeStrategy(offloading={"split_point": split_point})
        make_trainer(tmp_path, strategy, max_steps=1, limit_val_batches=0, max_epochs=1).fit(
            module, datamodule=data
        )
        assert list(module.backbone.state_dict()) == list(plain.state_dict())
        plain.load_state_dict(module.backbone.state_dict(), strict=True)
        module.backbone.load_state_dict(resnet18(num_classes=10).state_dict(), strict=True)
        assert "forward" not in vars(module.backbone)  # teardown undoes the patch


def test_asleep_trains_edge_and_exit_head_alone(tmp_path: Path) -> None:
    class Asleep(ce.CloudDormancy):
        def decide(self, state: Any, delay_seconds: float) -> Any:
            from dataclasses import replace

            return replace(state, awake=False)

    module = OtherModule(seeded_net())
    strategy = make_strategy(2)
    before = parameters_of(module)
    make_trainer(tmp_path, strategy, callbacks=[Asleep()]).fit(module, loader(), loader(seed=1))
    moved = {name for name, value in parameters_of(module).items() if not torch.equal(value, before[name])}
    chain = strategy.deployment.chain
    assert moved == {f"net.{name}" for name in chain.edge_parameters(2)}
    assert strategy.simulator.summary()["mean_upload_bytes"] == 0
    assert strategy.simulator.summary()["share_asleep"] == 1


def test_asleep_does_not_touch_the_clouds_optimizer_state(tmp_path: Path) -> None:
    awake_then_asleep = iter([True, True, True, False, False, False])

    class Planned(ce.CloudDormancy):
        def decide(self, state: Any, delay_seconds: float) -> Any:
            from dataclasses import replace

            return replace(state, awake=next(awake_then_asleep, False))

    module, snapshots = OtherModule(seeded_net()), []

    class Snapshot(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            weight = module.net.head.weight
            snapshots.append(
                (weight.detach().clone(), trainer.optimizers[0].state[weight]["momentum_buffer"].clone())
            )

    make_trainer(tmp_path, make_strategy(2), callbacks=[Planned(), Snapshot()]).fit(module, loader())
    assert not torch.equal(snapshots[1][0], snapshots[2][0])
    for weight, momentum in snapshots[3:]:
        assert torch.equal(weight, snapshots[2][0])
        assert torch.equal(momentum, snapshots[2][1])


def test_exit_head_learns_with_the_users_own_optimizer(tmp_path: Path) -> None:
    strategy, module = make_strategy(2), OtherModule(seeded_net())
    heads = []

    class Look(pl.Callback):
        def on_train_start(self, trainer: Any, *_: Any) -> None:
            heads.append(parameters_of(strategy.deployment.exit_head))
            known = [p for group in trainer.optimizers[0].param_groups for p in group["params"]]
            assert len(known) == len({id(p) for p in known})
            assert {id(p) for p in strategy.deployment.exit_head.parameters()} <= {id(p) for p in known}

    make_trainer(tmp_path, strategy, callbacks=[Look()]).fit(module, loader())
    after = parameters_of(strategy.deployment.exit_head)
    assert all(not torch.equal(after[n], v) for n, v in heads[0].items() if v.is_floating_point())


def test_joint_loss_leaves_no_trace_in_the_modules_own_logs_and_metrics(tmp_path: Path) -> None:
    from torchmetrics.classification import MulticlassAccuracy

    class Counting(OtherModule):
        def __init__(self) -> None:
            super().__init__(seeded_net())
            self.accuracy = MulticlassAccuracy(CLASSES)
            self.seen = 0

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x, y = batch
            logits = self(x + torch.rand(()))  # noise: both losses must see the same
            self.accuracy(logits, y)
            self.log("accuracy", self.accuracy, on_epoch=True)
            return {"loss": functional.cross_entropy(logits, y), "logits": logits}

        def on_train_epoch_end(self) -> None:
            self.seen = int(self.accuracy.tp.sum() + self.accuracy.fn.sum())

    module = Counting()
    make_trainer(tmp_path, make_strategy(2), max_epochs=1).fit(module, loader(num=48))
    assert module.seen == 48


def test_evaluation_and_sanity_check_move_nothing_of_the_training_run(tmp_path: Path) -> None:
    runs = []
    for validate in (0, 2):
        pl.seed_everything(0)
        module, strategy = OtherModule(seeded_net()), make_strategy(2, variation=0.5)
        trainer = make_trainer(
            tmp_path,
            strategy,
            callbacks=[ce.CloudDormancy()],
            num_sanity_val_steps=validate,
            limit_val_batches=validate,
        )
        trainer.fit(module, loader(), loader(seed=1))
        runs.append((parameters_of(module), strategy.simulator.state_dict()))
    assert runs[0][1] == runs[1][1]
    for name, value in runs[0][0].items():
        assert torch.equal(runs[1][0][name], value)


def test_every_loop_of_the_trainer_works(tmp_path: Path) -> None:
    module, strategy = OtherModule(seeded_net()), make_strategy(2)
    trainer = make_trainer(tmp_path, strategy)
    trainer.fit(module, loader(), loader(seed=1))
    assert trainer.validate(module, loader(seed=1), verbose=False)
    assert trainer.test(module, loader(seed=2), verbose=False)
    answers = trainer.predict(module, loader(seed=2))
    module.eval()
    with torch.no_grad():
        expected = torch.cat([module(x) for x, _ in loader(seed=2)])
    torch.testing.assert_close(torch.cat(answers), expected)


def test_prediction_answers_by_the_exit_head_while_the_cloud_sleeps(tmp_path: Path) -> None:
    module, strategy = OtherModule(seeded_net()), make_strategy(2)

    class Asleep(ce.CloudDormancy):
        def decide(self, state: Any, delay_seconds: float) -> Any:
            from dataclasses import replace

            return replace(state, awake=False)

    answers = make_trainer(tmp_path, strategy, callbacks=[Asleep()]).predict(module, loader(seed=2))
    deployment = strategy.deployment
    module.eval()
    with torch.no_grad():
        expected = [deployment.exit_head.eval()(deployment.chain.edge(2)(x)) for x, _ in loader(seed=2)]
    torch.testing.assert_close(torch.cat(answers), torch.cat(expected))


def test_registered_under_its_name(tmp_path: Path) -> None:
    module = ce.CloudEdgeModule(SmallNet(), num_classes=CLASSES)
    trainer = make_trainer(tmp_path, "cloudedge", max_steps=2, max_epochs=1)
    trainer.fit(module, loader())
    assert isinstance(trainer.strategy, ce.CloudEdgeStrategy)


def test_gradient_accumulation_and_clipping_go_through(tmp_path: Path) -> None:
    module, strategy = OtherModule(seeded_net()), make_strategy(2)
    aggregation = ce.WeightedAggregation()
    trainer = make_trainer(
        tmp_path,
        strategy,
        accumulate_grad_batches=3,
        gradient_clip_val=0.5,
        callbacks=[aggregation],
        max_epochs=2,
    )
    trainer.fit(module, loader())
    assert trainer.global_step == 2
    weights = strategy.deployment.edge_parameter_bytes()
    assert strategy.simulator.accounts.sync_bytes.sum() == pytest.approx(2 * 2 * weights * 3)


def test_without_a_callback_every_step_is_averaged_and_booked_as_with_it(tmp_path: Path) -> None:
    books = []
    for callbacks in ([], [ce.WeightedAggregation()]):
        strategy = make_strategy(2)
        trainer = make_trainer(
            tmp_path, strategy, callbacks=callbacks, max_epochs=1, accumulate_grad_batches=2
        )
        trainer.fit(OtherModule(seeded_net()), loader())
        books.append(strategy.simulator.state_dict())
        expected = 2 * 3 * strategy.deployment.edge_parameter_bytes() * trainer.global_step
        assert strategy.simulator.accounts.sync_bytes.sum() == pytest.approx(expected)
        assert strategy.simulator.accounts.sync_joules[-1] > 0
    assert books[0] == books[1]


def test_manual_optimisation_is_refused(tmp_path: Path) -> None:
    module = OtherModule(seeded_net())
    module.automatic_optimization = False
    with pytest.raises(StrategyError, match="automatic"):
        make_trainer(tmp_path, make_strategy(2)).fit(module, loader())


def test_wrong_partition_names_what_there_is(tmp_path: Path) -> None:
    strategy = ce.CloudEdgeStrategy(backbone="backbone")
    with pytest.raises(ValueError, match=r"no submodule 'backbone'.*net"):
        make_trainer(tmp_path, strategy).fit(OtherModule(seeded_net()), loader())


def test_the_former_name_of_the_backbones_argument_still_works_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(DeprecationWarning, match="backbone="):
        strategy = ce.CloudEdgeStrategy(partition="net", offloading={"split_point": 2})
    make_trainer(tmp_path, strategy, max_steps=1).fit(OtherModule(seeded_net()), loader())
    assert strategy.plan.split_point == 2


def test_a_step_that_passes_the_backbone_by_is_refused(tmp_path: Path) -> None:
    class Bypass(OtherModule):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return self.net.head.weight.sum()

    with pytest.raises(StrategyError, match="did not call its backbone"):
        make_trainer(tmp_path, make_strategy(2)).fit(Bypass(seeded_net()), loader())


@pytest.mark.parametrize("split_point", [-1, 6])
def test_split_point_outside_the_chain_is_refused(tmp_path: Path, split_point: int) -> None:
    with pytest.raises(ValueError, match=r"0\.\.5"):
        make_trainer(tmp_path, make_strategy(split_point)).fit(OtherModule(seeded_net()), loader())


def test_infeasible_plan_stops_before_training(tmp_path: Path) -> None:
    strategy = ce.CloudEdgeStrategy(
        backbone="net", workload=ce.Workload(phase="training", max_delay_seconds=1e-6)
    )
    with pytest.raises(InfeasiblePlanError, match="delay"):
        make_trainer(tmp_path, strategy).fit(OtherModule(seeded_net()), loader())


@pytest.mark.parametrize("callback", [ce.CloudDormancy(), ce.CostLogger(), ce.WeightedAggregation()])
def test_callbacks_without_the_strategy_say_what_to_do(tmp_path: Path, callback: pl.Callback) -> None:
    with pytest.raises(StrategyError, match="CloudEdgeStrategy"):
        make_trainer(tmp_path, callbacks=[callback]).fit(OtherModule(seeded_net()), loader())


def test_several_devices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match="one device"):
        make_trainer(tmp_path, make_strategy(2), devices=2).fit(OtherModule(seeded_net()), loader())


def test_dictionary_batches_and_no_declared_shape(tmp_path: Path) -> None:
    class Mapped(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return 32

        def __getitem__(self, index: int) -> dict[str, Tensor]:
            x, y = pictures()[index]
            return {"label": y, "image": x}

    class OnMappings(OtherModule):
        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return functional.cross_entropy(self(batch["image"]), batch["label"])

    strategy = make_strategy(2)
    make_trainer(tmp_path, strategy, max_epochs=1).fit(
        OnMappings(seeded_net()), torch.utils.data.DataLoader(Mapped(), batch_size=8)
    )
    assert strategy.plan.profile.input_shape == (3, 8, 8)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon is new in torch 2.9")
def test_an_optimizer_of_matrices_alone_is_refused_with_the_exit_head(tmp_path: Path) -> None:
    class Matrices(OtherModule):
        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Muon([p for p in self.parameters() if p.ndim == 2], lr=0.01)

    trainer = make_trainer(tmp_path, make_strategy(2), max_epochs=1)
    with pytest.raises(StrategyError, match="Muon steps matrices"):
        trainer.fit(Matrices(seeded_net()), loader())
