"""The accuracy of a network on pictures as the cloud receives them, for comparisons with sending them compressed."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import nn

from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.data import ImageDataModule


def picture_accuracy(module: nn.Module, data: ImageDataModule, codec: InputCodec) -> float:
    """Tests a network on the test images, each encoded and decoded as a codec says.

    Dropout and batch normalisation are in evaluation; afterwards every submodule has its own mode again.

    Args:
        module: takes a batch of images and returns logits [b, num_classes]; a LightningModule or a plain network.
        data: its test images are used.
        codec: the form in which the images are sent.

    Returns:
        Share of the test images whose class the network names, in [0, 1].
    """
    return float(right_pictures(module, data, codec).mean())


def right_pictures(module: nn.Module, data: ImageDataModule, codec: InputCodec) -> np.ndarray:
    """Tests as :func:`picture_accuracy` does, image by image.

    Returns:
        [num_images] bool, whether the network names the class of each test image.
    """
    device = next((each.device for each in itertools.chain(module.parameters(), module.buffers())), None)
    modes = [(each, each.training) for each in module.modules()]
    right = []
    module.eval()
    try:
        with torch.inference_mode():
            for images, labels in data.test_dataloader():
                answers = module(data.received(images, codec).to(device)).argmax(dim=1).cpu()
                right.append((answers == labels).numpy())
    finally:
        for each, training in modes:
            each.training = training
    return np.concatenate(right)
