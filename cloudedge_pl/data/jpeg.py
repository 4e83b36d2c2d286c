"""Pictures as JPEG: how many bytes they take, and what is left of them."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.data.images import normalise
from cloudedge_pl.errors import DataError


def encoded(images: Tensor, codec: InputCodec) -> Iterator[bytes]:
    """Encodes pictures as JPEG, one at a time.

    Args:
        images: uint8 [b, C, H, W] with 1 (grey) or 3 channels (red, green, blue).
        codec: with quality and subsampling.

    Raises:
        DataError: if the pictures have another number of channels.
    """
    channels = images.shape[1]
    if channels not in (1, 3):
        raise DataError(
            f"JPEG takes pictures of 1 or 3 channels, these have {channels}; use offloading.input_codec=raw."
        )
    options = {"subsampling": codec.subsampling} if channels == 3 else {}
    for pixels in images.permute(0, 2, 3, 1).cpu().numpy():
        file = io.BytesIO()
        picture = Image.fromarray(np.ascontiguousarray(pixels.squeeze(-1) if channels == 1 else pixels))
        picture.save(file, "JPEG", quality=codec.quality, **options)
        yield file.getvalue()


def mean_bytes(images: Tensor, codec: InputCodec) -> float:
    """Mean bytes of one picture as it is sent.

    Args:
        images: uint8 [b, C, H, W], at least one.
        codec: the form in which they are sent.
    """
    if codec.is_raw:
        return float(images[0].numel())
    return float(np.mean([len(data) for data in encoded(images, codec)]))


def received(images: Tensor, codec: InputCodec) -> Tensor:
    """Returns pictures as they arrive: encoded and decoded.

    Args:
        images: uint8 [b, C, H, W].
        codec: the form in which they are sent.

    Returns:
        uint8 [b, C, H, W]; for "raw" the pictures themselves.
    """
    if codec.is_raw:
        return images
    found = torch.empty(images.shape, dtype=torch.uint8)
    for row, data in enumerate(encoded(images, codec)):
        pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(data))))
        found[row] = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    return found.to(images.device)


def received_normalised(images: Tensor, mean: Tensor, std: Tensor, codec: InputCodec) -> Tensor:
    """Returns normalised pictures as they arrive, normalised again.

    Args:
        images: floating point [b, C, H, W], as :func:`~cloudedge_pl.data.images.normalise` makes them.
        mean: float32 [C], subtracted from pixels in 0..1.
        std: float32 [C], divisor after that.
        codec: the form in which they are sent.

    Returns:
        [b, C, H, W] in the dtype and on the device of ``images``; for "raw" the pictures themselves.
    """
    if codec.is_raw:
        return images
    pixels = images.detach().cpu().float() * std.view(1, -1, 1, 1) + mean.view(1, -1, 1, 1)
    sent = pixels.mul(255).round().clamp(0, 255).to(torch.uint8)
    return normalise(received(sent, codec), mean, std).to(images)
