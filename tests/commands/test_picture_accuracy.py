"""Accuracy on pictures that were sent compressed, with a small network that was trained on real digits."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cloudedge_pl.commands.picture_accuracy import picture_accuracy
from cloudedge_pl.costs import InputCodec
from cloudedge_pl.data import DigitsDataModule


@pytest.fixture(scope="module")
def data() -> DigitsDataModule:
    return DigitsDataModule(image_size=16, batch_size=1295)


@pytest.fixture(scope="module")
def network(data: DigitsDataModule) -> nn.Module:
    """A linear classifier with dropout, trained for a second."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(3 * 16 * 16, 10))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        ((images, labels),) = data.train_dataloader()
        for _ in range(40):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
    return model


def test_raw_pictures_give_the_accuracy_of_the_network(network: nn.Module, data: DigitsDataModule) -> None:
    network.eval()
    right = [(network(images).argmax(1) == labels).float() for images, labels in data.test_dataloader()]
    assert picture_accuracy(network, data, InputCodec()) == pytest.approx(float(torch.cat(right).mean()))
    assert picture_accuracy(network, data, InputCodec()) > 0.85


def test_what_jpeg_leaves_of_the_pictures_decides(network: nn.Module, data: DigitsDataModule) -> None:
    raw, fine, coarse = (
        picture_accuracy(network, data, codec)
        for codec in (InputCodec(), InputCodec("jpeg", quality=90), InputCodec("jpeg", quality=1))
    )
    assert abs(fine - raw) < 0.03
    assert coarse < raw - 0.03


def test_the_mode_of_every_module_stays(network: nn.Module, data: DigitsDataModule) -> None:
    network.train()
    network[1].eval()
    picture_accuracy(network, data, InputCodec())
    assert [module.training for module in network.modules()] == [True, True, False, True]
