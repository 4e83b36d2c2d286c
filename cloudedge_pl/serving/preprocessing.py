"""From a picture to the input of the edge part, as in the run that trained the network; NumPy and Pillow alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cloudedge_pl.errors import require_fields, require_positive
from cloudedge_pl.pictures import decode_picture
from cloudedge_pl.serving.parts import of_json
from cloudedge_pl.settings import as_settings


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What is done to a picture: rotated as its EXIF data says, in RGB, cropped at the centre, scaled, normalised.

    A pixel p of 0..255 becomes (p / 255 - mean) / std.

    Args:
        input_shape: (C, H, W) of the network's input; C is 3 or 1.
        mean: per channel.
        std: per channel, above 0.

    Raises:
        ValueError: if the lengths differ, or a value is out of range.
    """

    input_shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        require_fields("preprocessing", self)
        if len(self.input_shape) != 3 or self.input_shape[0] not in (1, 3):
            raise ValueError(
                f"preprocessing.input_shape is {list(self.input_shape)}; it must be [3, H, W], or [1, H, W] for grey "
                "pictures."
            )
        for side in self.input_shape:
            require_positive("preprocessing", input_shape=side)
        channels = self.input_shape[0]
        if len(self.mean) != channels or len(self.std) != channels:
            raise ValueError(
                f"preprocessing: mean {list(self.mean)} and std {list(self.std)} need one value for each of "
                f"{channels} channels."
            )
        for value in self.std:
            require_positive("preprocessing", std=value)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Makes it of what JSON holds of it, in a manifest or in the metadata of a server.

        Raises:
            ValueError: if it is no mapping, or a key or a value is wrong.
        """
        return as_settings(cls, of_json(values), "preprocessing")

    def read(self, paths: Sequence[str | Path]) -> np.ndarray:
        """Reads pictures as the input of the edge part: float32 [B, C, H, W].

        Raises:
            DataError: naming the first file that cannot be read as an image.
        """
        return self.normalised(np.stack([self._pixels(Path(path)) for path in paths]))

    def normalised(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 [B, C, H, W] -> float32 [B, C, H, W]."""
        mean, std = (np.asarray(each, np.float32).reshape(-1, 1, 1) for each in (self.mean, self.std))
        scale = np.float32(1.0) / (np.float32(255.0) * std)
        return pixels.astype(np.float32) * scale - mean / std

    def _pixels(self, path: Path) -> np.ndarray:
        """The picture, uint8 [C, H, W]."""
        channels, height, width = self.input_shape
        pixels = decode_picture(path, (width, height))
        if channels == 1:
            pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
        return pixels.transpose(2, 0, 1)
