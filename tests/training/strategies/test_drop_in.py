"""Modules in the style of public projects train unmodified, and Lightning's own features keep working."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy
from torchvision.models import resnet18

import cloudedge_pl as ce
from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from tests.training.helpers import (
    CLASSES,
    OtherModule,
    SmallNet,
    loader,
    make_strategy,
    make_trainer,
    pictures,
)


class CifarModule(pl.LightningModule):
    """The usual CIFAR project: a ResNet with a small stem, SGD with Nesterov, one cycle a run."""

    def __init__(self, lr: float = 0.05, weight_decay: float = 5e-4) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = resnet18(num_classes=CLASSES)
        self.net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.net.maxpool = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return functional.log_softmax(self.net(x), dim=1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        loss = functional.nll_loss(self(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        logits = self(x)
        self.log("val_loss", functional.nll_loss(logits, y), prog_bar=True)
        self.log("val_acc", (logits.argmax(1) == y).float().mean(), prog_bar=True)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(
            self.parameters(), self.hparams.lr, 0.9, weight_decay=self.hparams.weight_decay, nesterov=True
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class GroupsModule(pl.LightningModule):
    """Two optimizers' worth of parameter groups: no decay for norms and biases, another rate for the head."""

    def __init__(self) -> None:
        super().__init__()
        self.net = SmallNet(norm=True)
        self.accuracy = MulticlassAccuracy(CLASSES)

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        x, y = batch
        logits = self.net(x)
        self.accuracy(logits, y)
        self.log("accuracy", self.accuracy, on_step=False, on_epoch=True)
        return {"loss": functional.cross_entropy(logits, y, label_smoothing=0.1), "logits": logits.detach()}

    def configure_optimizers(self) -> Any:
        named = list(self.net.named_parameters())
        groups = [
            {
                "params": [p for n, p in named if p.ndim > 1 and not n.startswith("head")],
                "weight_decay": 1e-2,
            },
            {
                "params": [p for n, p in named if p.ndim <= 1 and not n.startswith("head")],
                "weight_decay": 0.0,
            },
            {"params": list(self.net.head.parameters()), "lr": 1e-2, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=3e-3)
        warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 4))
        return [optimizer], [{"scheduler": warm_up, "interval": "step"}]


class TalkativeModule(OtherModule):
    """Logs in every hook that allows it; mixes samples up."""

    def __init__(self) -> None:
        super().__init__(SmallNet(norm=True))
        self.curve: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        share = np.random.beta(0.4, 0.4)  # noqa: NPY002  # as such projects do
        other = torch.randperm(len(x))
        logits = self.net(share * x + (1 - share) * x[other])
        loss = share * functional.cross_entropy(logits, y)
        loss = loss + (1 - share) * functional.cross_entropy(logits, y[other])
        self.log_dict({"step/loss": loss, "step/share": float(share)}, on_step=True, on_epoch=True)
        return loss

    def on_train_epoch_start(self) -> None:
        self.log("hook/epoch_start", 1.0)

    def on_train_batch_start(self, *_: Any) -> None:
        self.log("hook/batch_start", 1.0)

    def on_before_backward(self, loss: Tensor) -> None:
        self.log("hook/before_backward", loss.detach())

    def on_after_backward(self) -> None:
        self.log("hook/after_backward", 1.0)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.log("hook/optimizer_step", 1.0)

    def on_train_batch_end(self, outputs: Any, *_: Any) -> None:
        self.curve.append(float(outputs["loss"]))
        self.log("hook/batch_end", 1.0)

    def on_train_epoch_end(self) -> None:
        self.log("hook/epoch_end", float(len(self.curve)))

    def on_validation_epoch_end(self) -> None:
        self.log("hook/validation_end", 1.0)


def sized(size: int, num: int = 48) -> DataLoader:
    x, y = pictures(num).tensors
    return DataLoader(torch.utils.data.TensorDataset(functional.interpolate(x, size=size), y), batch_size=16)


@pytest.mark.parametrize(
    ("make", "size", "split_point"), [(CifarModule, 12, 9), (GroupsModule, 8, 2), (TalkativeModule, 8, 2)]
)
@pytest.mark.parametrize("every", [1, 3])
def test_public_modules_train_unmodified(
    tmp_path: Path, make: Any, size: int, split_point: int, every: int
) -> None:
    def run(strategy: Any, *callbacks: pl.Callback) -> tuple[Any, dict[str, Tensor], list[str]]:
        pl.seed_everything(3)
        module = make()
        logger = pl.loggers.CSVLogger(tmp_path / str(strategy))
        trainer = make_trainer(
            tmp_path, strategy, callbacks=list(callbacks), logger=logger, log_every_n_steps=1, max_epochs=2
        )
        trainer.fit(module, sized(size), sized(size))
        return module, dict(trainer.callback_metrics), sorted(logger.experiment.metrics_keys)

    plain, plain_metrics, plain_keys = run("auto")
    kind, names = type(plain), list(plain.state_dict())
    module, metrics, keys = run(make_strategy(split_point), ce.WeightedAggregation(every_n_steps=every))
    assert type(module) is kind
    assert list(module.state_dict()) == names
    make().load_state_dict(module.state_dict(), strict=True)
    assert "forward" not in module.net.__dict__
    assert set(metrics) - {"aggregation/interval_steps"} == set(plain_metrics)
    assert set(keys) - {"aggregation/interval_steps"} == set(plain_keys)
    if every == 1:  # each is logged once, though the step runs twice for the joint loss
        for name in ("hook/epoch_end", "hook/batch_end"):
            if name in metrics:
                assert metrics[name] == plain_metrics[name]
    moved = [
        n
        for n, p in module.net.named_parameters()
        if not torch.equal(p, dict(make().net.named_parameters())[n])
    ]
    assert moved


def small(**options: Any) -> OtherModule:
    pl.seed_everything(0)
    return OtherModule(SmallNet(norm=True), **options)


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true", "bf16-true"])
def test_precisions(tmp_path: Path, precision: Any, every: int) -> None:
    module = small()
    callbacks = [ce.WeightedAggregation(every_n_steps=every)]
    trainer = make_trainer(tmp_path, make_strategy(2), callbacks=callbacks, precision=precision, max_epochs=6)
    trainer.fit(module, loader(dtype=torch.float64 if precision == "64-true" else torch.float32))
    assert np.mean(module.losses[-3:]) < np.mean(module.losses[:3])
    expected = {"bf16-mixed": torch.float32, "64-true": torch.float64, "bf16-true": torch.bfloat16}[precision]
    head = trainer.strategy.deployment.exit_head
    assert {p.dtype for p in (*module.parameters(), *head.parameters())} == {expected}


def test_half_precision_trains_in_one_pass_and_is_refused_where_nodes_step_by_themselves(
    tmp_path: Path,
) -> None:
    def run(every: int) -> OtherModule:
        scaled = pl.plugins.MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))
        module = small()
        callbacks = [ce.WeightedAggregation(every_n_steps=every)]
        make_trainer(tmp_path, make_strategy(2), plugins=[scaled], callbacks=callbacks).fit(module, loader())
        return module

    assert np.isfinite(run(1).losses).all()
    with pytest.raises(StrategyError, match='"bf16-mixed"'):
        run(2)


def test_early_stopping_checkpoints_and_rates(tmp_path: Path) -> None:
    best = pl.callbacks.ModelCheckpoint(dirpath=tmp_path, monitor="val_loss", filename="best", save_top_k=1)
    stop = pl.callbacks.EarlyStopping("val_loss", patience=1, min_delta=100.0)
    rates = pl.callbacks.LearningRateMonitor("epoch")
    trainer = make_trainer(
        tmp_path,
        make_strategy(2),
        callbacks=[best, stop, rates],
        max_epochs=50,
        enable_checkpointing=True,
        logger=pl.loggers.TensorBoardLogger(tmp_path),
    )
    trainer.fit(small(), loader(), loader(seed=1))
    assert trainer.current_epoch < 50
    assert list(rates.lrs) == ["lr-SGD"]
    saved = torch.load(best.best_model_path, weights_only=True)
    small().load_state_dict(saved["state_dict"], strict=True)


def test_small_runs_and_limits(tmp_path: Path) -> None:
    module = small()
    make_trainer(tmp_path, make_strategy(2), fast_dev_run=True).fit(module, loader(), loader(seed=1))
    assert len(module.losses) == 1, "one step, though there are two losses"
    module = small()
    limits = {"limit_train_batches": 2, "limit_val_batches": 1}
    trainer = make_trainer(tmp_path, make_strategy(2), max_epochs=3, **limits)
    trainer.fit(module, loader(), loader(seed=1))
    assert trainer.global_step == 6


@pytest.mark.parametrize("shards", [None, {"by": "iid"}])
@pytest.mark.parametrize("own", [False, True])
def test_overfitting_sees_the_same_batches(tmp_path: Path, own: bool, shards: Any) -> None:
    seen: list[Tensor] = []

    class Seen(pl.Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
            seen.append(batch[0])

    strategy = make_strategy(2, shards=shards)
    trainer = make_trainer(tmp_path, strategy, callbacks=[Seen()], overfit_batches=2, max_epochs=3)
    if own:
        options: Any = {"num_classes": CLASSES, "num_train": 96, "image_size": 8, "batch_size": 16}
        trainer.fit(small(), datamodule=ce.SyntheticDataModule(augment=False, val_fraction=0.1, **options))
    else:
        trainer.fit(small(), DataLoader(pictures(), batch_size=16, shuffle=True))
    assert len(seen) == 6
    for first, later in zip(seen[:2] * 2, seen[2:], strict=True):
        assert torch.equal(first, later)


def test_several_validation_loaders_and_every_loop(tmp_path: Path) -> None:
    class Several(OtherModule):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            x, y = batch
            self.log("val_loss", functional.cross_entropy(self(x), y))

    pl.seed_everything(0)
    module, strategy = Several(SmallNet(norm=True)), make_strategy(2)
    trainer = make_trainer(tmp_path, strategy)
    trainer.fit(module, loader(), [loader(seed=1), loader(seed=2)])
    assert {"val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1"} <= set(trainer.callback_metrics)
    assert trainer.validate(module, [loader(seed=1), loader(seed=2)], verbose=False)
    assert strategy.evaluation.summary()["tasks"] == 2 * 48
    assert len(trainer.predict(module, loader(seed=1))) == 3


def test_schedules_by_metric_and_accumulation_by_epoch(tmp_path: Path) -> None:
    class Plateau(OtherModule):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
            schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10.0)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "monitor": "val_loss"}}

    for every in (1, 2):
        pl.seed_everything(0)
        module = Plateau(SmallNet(norm=True))
        callbacks = [
            pl.callbacks.GradientAccumulationScheduler({0: 1, 1: 3}),
            ce.WeightedAggregation(every_n_steps=every),
        ]
        trainer = make_trainer(tmp_path, make_strategy(2), callbacks=callbacks, max_epochs=3)
        trainer.fit(module, loader(), loader(seed=1))
        assert trainer.global_step == 3 + 1 + 1
        assert trainer.optimizers[0].param_groups[0]["lr"] < 0.05


@pytest.mark.slow
def test_a_compiled_module(tmp_path: Path) -> None:
    plain = small()
    make_trainer(tmp_path, make_strategy(2)).fit(plain, loader())
    compiled = torch.compile(small(), backend="eager")
    make_trainer(tmp_path, make_strategy(2)).fit(compiled, loader())
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(compiled._orig_mod.state_dict()[name], value)


def test_a_compiled_backbone_is_refused_with_the_way_out(tmp_path: Path) -> None:
    module = small()
    module.net = torch.compile(module.net, backend="eager")
    with pytest.raises(ce.errors.UntraceableBackboneError, match="compile"):
        make_trainer(tmp_path, make_strategy(2)).fit(module, loader())
