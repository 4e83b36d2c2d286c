"""Of the step that is run up to the backbone before anything is planned nothing remains in module, data and logs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

from cloudedge_pl.lightning import pl
from tests.training.helpers import OtherModule, SmallNet, make_strategy, make_trainer, pictures


class Running:
    """An ordinary object with a tensor."""

    def __init__(self) -> None:
        self.count, self.sums = 0, {"mean": torch.zeros(3)}


class Busy(OtherModule):
    """Does to itself whatever a step can, before it reaches its backbone."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        super().__init__(SmallNet(norm=True))
        self.teacher = nn.Linear(3, 3)
        self.register_buffer("seen", torch.zeros(3))
        self.mean, self.running = MeanMetric(), Running()
        self.history: list[Any] = []
        self.late: Any = None

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        x += torch.rand(()) + random.random()
        self.seen += x.mean((0, 2, 3))
        self.teacher.weight.data.mul_(0.5)
        self.net.head.bias.data.zero_()
        self.teacher.eval()
        self.running.count += 1
        self.running.sums["mean"] += 1
        self.running.sums["last"] = x
        self.history.append(y)
        self.mean.reset()
        self.mean.update(x.mean())
        self.late = self.fresh = nn.Linear(1, 1)
        self.log("x", x.mean())
        for logger in self.loggers:
            logger.log_metrics({"x": 1.0})
        return super().training_step((x, y), batch_idx)


class Data(pl.LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.data, self.transferred = pictures(), [0]

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(self.data, batch_size=16)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        self.transferred[0] += 1
        return batch


class Lines(pl.loggers.CSVLogger):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.lines: list[Any] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.lines.append(metrics)


def test_nothing_of_it_remains(tmp_path: Path) -> None:
    module, data, logger = Busy(), Data(), Lines(tmp_path)
    module.mean.update(3.0)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    modules = dict(module.named_modules())
    states = []
    for example in (None, torch.zeros(1, 3, 8, 8)):
        torch.manual_seed(0)
        random.seed(0)
        strategy = make_strategy(2, example_input=example)
        make_trainer(tmp_path, strategy, max_epochs=0, logger=logger).fit(module, datamodule=data)
        states.append((torch.rand(()).item(), random.random()))
    assert states[0] == states[1]
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert dict(module.named_modules()) == modules
    assert module.teacher.training == module.training
    assert (module.running.count, list(module.running.sums)) == (0, ["mean"])
    assert torch.equal(module.running.sums["mean"], torch.zeros(3))
    assert (module.history, module.late, module.mean.compute(), data.transferred) == ([], None, 3.0, [0])
    assert not hasattr(module, "fresh")
    assert [line for line in logger.lines if "x" in line] == []
    assert torch.equal(data.data.tensors[0], pictures().tensors[0]), "the batch was written to, not the data"
