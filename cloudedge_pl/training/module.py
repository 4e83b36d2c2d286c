"""An ordinary LightningModule for classification, which trains under any strategy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer, lr_scheduler
from torchmetrics.classification import MulticlassAccuracy
from typing_extensions import override

from cloudedge_pl.errors import lookup, require_positive, require_range, require_types
from cloudedge_pl.lightning import pl
from cloudedge_pl.partition import build_backbone
from cloudedge_pl.training.cut.forward import PathLogits
from cloudedge_pl.training.cut.joint_loss import CLOUD_LOSS_WEIGHT, EDGE_LOSS_WEIGHT
from cloudedge_pl.training.strategies.hooks import RunHooks

MAX_LEARNING_RATE = 1000.0
"""A higher learning rate is taken for a slip: the first step would leave nothing but infinities."""

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": lambda parameters, lr, momentum, weight_decay: torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, weight_decay=weight_decay
    ),
    "adamw": lambda parameters, lr, momentum, weight_decay: torch.optim.AdamW(
        parameters, lr=lr, betas=(momentum, 0.999), weight_decay=weight_decay
    ),
}

SCHEDULES: dict[str, Callable[[Optimizer, float, int], Any]] = {
    # By itself it cycles the momentum, too, whatever the optimizer was given.
    "onecycle": lambda optimizer, lr, steps: lr_scheduler.OneCycleLR(
        optimizer, lr, total_steps=steps, cycle_momentum=False
    ),
    "cosine": lambda optimizer, lr, steps: lr_scheduler.CosineAnnealingLR(optimizer, steps),
    # A tenth at half and at three quarters of the steps, as the paper's 32k and 48k of 64k (Xu 2020, Sec. 4).
    "steps": lambda optimizer, lr, steps: lr_scheduler.MultiStepLR(optimizer, [steps // 2, steps * 3 // 4]),
    "constant": lambda optimizer, lr, steps: lr_scheduler.ConstantLR(optimizer, 1.0, 1),
}

ENDLESS_SCHEDULES = {"constant"}
"""Schedules that need no number of steps and get 0."""

Stage = Literal["val", "test"]
PATHS = ("accuracy", "accuracy_exit", "accuracy_answered")


class CloudEdgeModule(pl.LightningModule):
    """Trains a backbone with cross-entropy; logs loss and accuracy, of every path if the backbone is cut.

    Logged: ``train/loss`` and ``train/accuracy`` (of what was answered); ``val/loss``, ``val/accuracy`` and
    ``test/loss``, ``test/accuracy`` (of the whole network, the cloud's path); under a
    :class:`~cloudedge_pl.CloudEdgeStrategy` also ``val/accuracy_exit`` and ``val/accuracy_answered``, likewise
    ``test/``.

    Args:
        backbone: a name of :data:`~cloudedge_pl.partition.BACKBONES`, or any classifier [B, ...] -> [B, num_classes].
        num_classes: of a backbone given by name.
        edge_loss_weight: a in the joint loss a*F_e + b*F_c (Xu 2020, Sec. 2.4), >= 0; read by the strategy.
        cloud_loss_weight: b in it, >= 0; read by the strategy.
        optimizer: a name of :data:`OPTIMIZERS`.
        learning_rate: highest rate of the schedule, in (0, 1000].
        momentum: of SGD; the first beta of AdamW.
        weight_decay: L2 of SGD; decoupled in AdamW.
        schedule: a name of :data:`SCHEDULES`, stepped every step; all but "constant" need a known number of steps.
        label_smoothing: in [0, 1).
        backbone_options: further keywords of the backbone's builder.
        channels_last: convert the backbone to this memory format, as ``.to(memory_format=torch.channels_last)`` does.
            On CPUs it makes networks of depthwise or many small convolutions quicker; ``.view`` of their weights,
            gradients and maps is then an error of PyTorch's.
    """

    def __init__(
        self,
        backbone: str | nn.Module = "resnet34",
        num_classes: int = 10,
        edge_loss_weight: float = EDGE_LOSS_WEIGHT,
        cloud_loss_weight: float = CLOUD_LOSS_WEIGHT,
        optimizer: str = "adamw",
        learning_rate: float = 0.001,
        momentum: float = 0.9,
        weight_decay: float = 0.05,
        schedule: str = "onecycle",
        label_smoothing: float = 0.0,
        backbone_options: dict[str, Any] | None = None,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        owner = type(self).__name__
        require_types(owner, CloudEdgeModule, locals())
        infinity = float("inf")
        require_range(owner, 0, infinity, open_high=True, weight_decay=weight_decay)
        require_positive(owner, num_classes=num_classes)
        require_range(owner, 0, MAX_LEARNING_RATE, open_low=True, learning_rate=learning_rate)
        require_range(owner, 0, infinity, open_high=True, edge_loss_weight=edge_loss_weight)
        require_range(owner, 0, infinity, open_high=True, cloud_loss_weight=cloud_loss_weight)
        require_range(owner, 0, 1, open_high=True, momentum=momentum, label_smoothing=label_smoothing)
        self._make_optimizer = lookup(OPTIMIZERS, optimizer, "optimizer")
        self._make_schedule = lookup(SCHEDULES, schedule, "learning rate schedule")
        backbone_options = dict(
            backbone_options or {}
        )  # a plain one: checkpoints are read with weights_only=True
        self.save_hyperparameters(ignore=["backbone"] if isinstance(backbone, nn.Module) else [])
        self.edge_loss_weight, self.cloud_loss_weight = edge_loss_weight, cloud_loss_weight
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay
        self.label_smoothing, self.schedule = label_smoothing, schedule
        self.backbone_name: str | None = None  # what tables call the model; None takes the backbone's class
        if isinstance(backbone, str):
            self.backbone_name = backbone
            backbone = build_backbone(backbone, num_classes=num_classes, **backbone_options)
        if channels_last:
            backbone.to(memory_format=torch.channels_last)
        self.backbone = backbone
        self.train_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.evaluation_accuracy = nn.ModuleDict(
            {
                f"{stage}_{path}": MulticlassAccuracy(num_classes, average="micro")
                for stage in ("val", "test")
                for path in PATHS
            }
        )

    @override
    def on_train_start(self) -> None:
        if self.schedule == "constant":  # a resumed optimizer comes with the rate that it was left at
            for optimizer in self.trainer.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = self.learning_rate

    @override
    def forward(self, images: Tensor) -> Tensor:
        """[B, C, H, W] -> logits [B, num_classes]."""
        return self.backbone(images)

    @override
    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        logits = self(images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        self.train_accuracy(logits, labels)
        self.log("train/loss", loss, prog_bar=True, on_step=True, on_epoch=False)
        self.log("train/accuracy", self.train_accuracy, prog_bar=True, on_step=False, on_epoch=True)
        return loss

    @override
    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate("val", batch)

    @override
    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate("test", batch)

    @override
    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        images = batch[0] if isinstance(batch, (tuple, list)) else batch
        return self(images)

    def _evaluate(self, stage: Stage, batch: tuple[Tensor, Tensor]) -> None:
        images, labels = batch
        logits = self(images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        self.log(f"{stage}/loss", loss, prog_bar=stage == "val", batch_size=len(labels))
        for path, answer in self._paths(logits).items():
            accuracy = self.evaluation_accuracy[f"{stage}_{path}"]
            assert isinstance(accuracy, MulticlassAccuracy)
            accuracy(answer, labels)
            self.log(f"{stage}/{path}", accuracy, prog_bar=path == "accuracy", batch_size=len(labels))

    def _paths(self, cloud_logits: Tensor) -> dict[str, Tensor]:
        """The logits of every path, by the name of its accuracy in the log."""
        strategy = self.trainer.strategy
        if not isinstance(strategy, RunHooks):
            return {"accuracy": cloud_logits}
        paths: PathLogits = strategy.paths(cloud_logits)
        exits = {} if paths.exit is None else {"accuracy_exit": paths.exit}
        return {"accuracy": paths.cloud, **exits, "accuracy_answered": paths.answered}

    @override
    def configure_optimizers(self) -> Any:
        optimizer = self._make_optimizer(
            self.parameters(), lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )
        schedule = self._make_schedule(optimizer, self.learning_rate, self._num_steps())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _num_steps(self) -> int:
        """The number of steps of the schedule."""
        if self.schedule in ENDLESS_SCHEDULES:
            return 0
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps) or steps < 0:  # below 0 for data without a length
            raise ValueError(
                f"{type(self).__name__}: schedule={self.schedule!r} spans the whole training, and how long this one "
                f"is is not known (max_steps={self.trainer.max_steps}, max_epochs={self.trainer.max_epochs}); give "
                "Trainer(max_steps=...), or max_epochs and data with a length, or use "
                f"schedule={' or '.join(map(repr, sorted(ENDLESS_SCHEDULES)))}."
            )
        return int(steps)
