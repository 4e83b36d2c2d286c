"""Small real parts that the training tests share: a network without batch norm, one with, data, a quiet Trainer."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import cloudedge_pl as ce
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.nodes.replicas import Replicas
from cloudedge_pl.training.nodes.replicated import ReplicatedEdge

CLASSES = 5
SGD: dict[str, Any] = {"optimizer": "sgd", "weight_decay": 1e-4}
WORKLOAD = ce.Workload(arrival_rate=8.0, max_delay_seconds=1.0, optimizer_slots=1)
EXIT_HEAD = ce.ExitHeadConfig(num_layers=1, pool=4)


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm(self.conv2(torch.relu(self.conv1(x)))))


class SmallNet(nn.Module):
    """Five weighted layers; inside the block two tensors are live."""

    def __init__(self, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.block = ResidualBlock(8, norm)
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(8, 16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(torch.relu(self.stem(x))).mean((2, 3))
        return self.head(self.dropout(torch.relu(self.hidden(x))))


class OtherModule(pl.LightningModule):
    """Somebody else's module: it knows nothing of cuts."""

    def __init__(self, net: nn.Module, lr: float = 0.05, **sgd: Any) -> None:
        super().__init__()
        self.net = net
        self.lr, self.sgd = lr, {"momentum": 0.9, "weight_decay": 1e-3, **sgd}
        self.losses: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        loss = functional.cross_entropy(self(x), y)
        self.log("loss", loss)
        self.losses.append(float(loss.detach()))
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("val_loss", functional.cross_entropy(self(x), y))

    test_step = validation_step

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr, **self.sgd)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)]


def pictures(num: int = 48, seed: int = 0, dtype: torch.dtype = torch.float32) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (num,), generator=generator)
    x = torch.randn(num, 3, 8, 8, generator=generator, dtype=dtype)
    return TensorDataset(x + labels[:, None, None, None] * 0.5, labels)


def loader(batch_size: int = 16, **options: Any) -> DataLoader:
    return DataLoader(pictures(**options), batch_size=batch_size)


def make_fleet(num_nodes: int = 3, variation: float = 0.0) -> ce.Fleet:
    """Nodes of unlike speed, with all the memory and energy of their device, on a fast link."""
    link = ce.Link(
        bandwidth_bits_per_second=50e6,
        propagation_seconds=0.01,
        variation=variation,
        uplink_bits_per_second=(40e6, 55e6, 70e6),
    )
    limits: dict[str, Any] = {"memory_bytes": None, "max_energy_joules": math.inf}
    return ce.Fleet.preset("raspberry-pi-4", num_nodes, speed_spread=0.4, link=link, **limits)


def make_strategy(
    split_point: int | None = 2, num_nodes: int = 3, variation: float = 0.0, **options: Any
) -> ce.CloudEdgeStrategy:
    offloading = {} if split_point is None else {"split_point": split_point}
    settings: dict[str, Any] = {
        "fleet": make_fleet(num_nodes, variation),
        "workload": WORKLOAD,
        "codec": "none",
        "exit_head": EXIT_HEAD,
        "backbone": "net",
        "offloading": offloading,
    }
    return ce.CloudEdgeStrategy(**{**settings, **options})


def make_trainer(root: Path, strategy: Any = "auto", **options: Any) -> pl.Trainer:
    settings: dict[str, Any] = {
        "max_epochs": 2,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
        "default_root_dir": root,
        **options,
    }
    return pl.Trainer(strategy=strategy, **settings)


def note_before_averages(monkeypatch: pytest.MonkeyPatch, note: Callable[[Replicas], Any]) -> None:
    """Calls ``note`` with the nodes' replicas right before each average of them."""
    average = ReplicatedEdge.average

    def noted(self: ReplicatedEdge, *arguments: Any) -> None:
        note(self.replicas)
        average(self, *arguments)

    monkeypatch.setattr(ReplicatedEdge, "average", noted)


def parameters_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def comparable(value: Any) -> Any:
    """Text as the numbers of its letters, so that ``torch.testing.assert_close`` compares it, too."""
    if isinstance(value, str):
        return [ord(letter) for letter in value]
    if isinstance(value, dict):
        return {key: comparable(each) for key, each in value.items()}
    return type(value)(map(comparable, value)) if type(value) in (list, tuple) else value
