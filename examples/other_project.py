"""Another Lightning project, trained across a fleet and a cloud without a change to its model.

``LitResNet`` and ``digits_loaders`` do not use cloudedge_pl. Only ``main`` does: it passes a strategy, which cuts the
submodule ``net``, and three callbacks to the Trainer.

Runs in less than a minute on two cores:  python examples/other_project.py
"""

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
import torchmetrics
import torchvision
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import cloudedge_pl as ce


class LitResNet(pl.LightningModule):
    def __init__(self, num_classes: int = 10, lr: float = 0.02) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = torchvision.models.resnet18(num_classes=num_classes)
        self.accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = batch
        logits = self(x)
        self.accuracy(logits, y)
        self.log("test_loss", F.cross_entropy(logits, y))
        self.log("test_acc", self.accuracy)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams["lr"], momentum=0.9, weight_decay=5e-4)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.hparams["lr"], total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def digits_loaders(batch_size: int = 64) -> tuple[DataLoader, DataLoader]:
    digits, labels = load_digits(return_X_y=True)
    images = torch.from_numpy(digits).float().view(-1, 1, 8, 8) / 8 - 1
    images = F.interpolate(images, size=(16, 16), mode="bilinear").repeat(1, 3, 1, 1)
    parts = train_test_split(images, torch.from_numpy(labels), test_size=0.2, stratify=labels, random_state=0)
    train_images, test_images, train_labels, test_labels = parts
    train = DataLoader(TensorDataset(train_images, train_labels), batch_size, shuffle=True, drop_last=True)
    return train, DataLoader(TensorDataset(test_images, test_labels), 256)


def main(max_epochs: int = 3) -> dict[str, float]:
    pl.seed_everything(0)
    train, test = digits_loaders()
    trainer = pl.Trainer(
        max_epochs=max_epochs,
        logger=False,
        enable_checkpointing=False,
        strategy=ce.CloudEdgeStrategy(
            backbone="net",
            fleet=ce.Fleet.preset("raspberry-pi-4", num_nodes=10, memory_bytes=64e6),
            scheduler="atsa",
        ),
        callbacks=[ce.WeightedAggregation(every_n_steps=1), ce.CloudDormancy(), ce.CostLogger()],
    )
    model = LitResNet()
    trainer.fit(model, train)
    (scores,) = trainer.test(model, test)
    return scores


if __name__ == "__main__":
    main()
