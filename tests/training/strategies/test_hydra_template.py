"""A project in the shape of the lightning-hydra-template: network, optimizer and schedule are hyperparameters."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torchmetrics import MaxMetric, MeanMetric
from torchmetrics.classification import MulticlassAccuracy

import cloudedge_pl as ce
from cloudedge_pl.lightning import pl
from tests.training.helpers import CLASSES, SmallNet, loader, make_strategy, make_trainer


class TemplateModule(pl.LightningModule):
    """Keeps all that it is built from in its hyperparameters."""

    def __init__(self, net: nn.Module, optimizer: Any, scheduler: Any) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.net = net
        self.criterion = nn.CrossEntropyLoss()
        self.train_loss, self.val_loss = MeanMetric(), MeanMetric()
        self.train_accuracy = MulticlassAccuracy(CLASSES)
        self.val_accuracy, self.best = MulticlassAccuracy(CLASSES), MaxMetric()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def on_train_start(self) -> None:
        self.val_loss.reset()
        self.val_accuracy.reset()
        self.best.reset()

    def model_step(self, batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        x, y = batch
        logits = self.forward(x)
        return self.criterion(logits, y), logits.argmax(dim=1), y

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss, answers, targets = self.model_step(batch)
        self.train_loss(loss)
        self.train_accuracy(answers, targets)
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True)
        self.log("train/acc", self.train_accuracy, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        loss, answers, targets = self.model_step(batch)
        self.val_loss(loss)
        self.val_accuracy(answers, targets)
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True)

    def on_validation_epoch_end(self) -> None:
        self.best(self.val_accuracy.compute())
        self.log("val/acc_best", self.best.compute(), sync_dist=True)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test/loss", self.model_step(batch)[0])

    def configure_optimizers(self) -> Any:
        optimizer = self.hparams.optimizer(params=self.trainer.model.parameters())
        scheduler = self.hparams.scheduler(optimizer=optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val/loss"}}


MODEL = OmegaConf.create(
    {
        "_target_": "tests.training.strategies.test_hydra_template.TemplateModule",
        "net": {"_target_": "tests.training.helpers.SmallNet", "norm": True},
        "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.01, "weight_decay": 0.0},
        "scheduler": {
            "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
            "_partial_": True,
            "mode": "min",
            "factor": 0.1,
            "patience": 10,
        },
    }
)

CALLBACKS = OmegaConf.create(
    {
        "checkpoint": {
            "_target_": "cloudedge_pl.lightning.pl.callbacks.ModelCheckpoint",
            "filename": "epoch_{epoch:03d}",
            "monitor": "val/acc_best",
            "mode": "max",
            "save_last": True,
            "save_top_k": -1,
            "auto_insert_metric_name": False,
        },
        "early_stopping": {
            "_target_": "cloudedge_pl.lightning.pl.callbacks.EarlyStopping",
            "monitor": "val/acc_best",
            "mode": "max",
            "patience": 100,
        },
        "aggregation": {"_target_": "cloudedge_pl.WeightedAggregation", "every_n_steps": 2},
    }
)


def instantiated(root: Path, strategy: Any, epochs: int) -> tuple[TemplateModule, pl.Trainer]:
    pl.seed_everything(3)
    module = hydra.utils.instantiate(MODEL)
    callbacks = [
        hydra.utils.instantiate(each)
        for each in CALLBACKS.values()
        if isinstance(strategy, ce.CloudEdgeStrategy) or not each._target_.endswith("WeightedAggregation")
    ]
    callbacks[0].dirpath = str(root)
    return module, make_trainer(
        root, strategy, callbacks=callbacks, max_epochs=epochs, enable_checkpointing=True
    )


def test_trains_checkpoints_resumes_and_tests(tmp_path: Path) -> None:
    module, trainer = instantiated(tmp_path / "whole", make_strategy(), 2)
    trainer.fit(module, loader(), loader(seed=1))
    resumed, trainer = instantiated(tmp_path / "second", make_strategy(), 2)
    first = tmp_path / "whole" / "epoch_000.ckpt"
    trainer.fit(resumed, loader(), loader(seed=1), ckpt_path=first, weights_only=False)
    assert trainer.global_step == 6
    for name, value in module.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    best = trainer.checkpoint_callback.best_model_path
    trainer.test(resumed, loader(seed=2), ckpt_path=best, weights_only=False, verbose=False)
    loaded = TemplateModule.load_from_checkpoint(first, weights_only=False)
    x = torch.randn(4, 3, 8, 8)
    loaded.eval()
    assert type(loaded.net) is SmallNet
    assert "forward" not in vars(loaded.net)
    assert torch.equal(loaded(x), SmallNet.forward(loaded.net, x))


def test_a_checkpoint_holds_no_class_that_the_plain_one_does_not(tmp_path: Path) -> None:
    held = {}
    for name, strategy in (("plain", "auto"), ("cut", make_strategy())):
        module, trainer = instantiated(tmp_path / name, strategy, 1)
        trainer.fit(module, loader(), loader(seed=1))
        held[name] = set(torch.serialization.get_unsafe_globals_in_checkpoint(tmp_path / name / "last.ckpt"))
    assert held["plain"]
    assert held["cut"] == held["plain"]


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))], ids=["deep", "pickle"]
)
def test_a_cut_backbone_is_copied_as_the_plain_one(tmp_path: Path, copied: Any) -> None:
    copies: list[nn.Module] = []

    class Copy(pl.Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            for _ in range(2):
                copies.append(copied(module.net))
            assert "forward" in vars(module.net), "it stays cut"

    module, _ = instantiated(tmp_path, make_strategy(), 1)
    make_trainer(tmp_path, make_strategy(), callbacks=[Copy()], max_epochs=1).fit(
        module, loader(), loader(seed=1)
    )
    assert len(copies) == 6
    for each in copies:
        assert not {"forward", "__reduce_ex__"} & set(vars(each))
        x = torch.randn(4, 3, 8, 8)
        assert torch.equal(each(x), SmallNet.forward(each, x))
