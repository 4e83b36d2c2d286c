"""Pictures read from files as pixels, in one way for training and for serving; NumPy and Pillow alone."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from cloudedge_pl.errors import DataError


def decode_picture(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Reads a picture as RGB, scaled and cropped at the centre: uint8 [H, W, 3].

    The picture is rotated by its EXIF orientation. 16-bit pictures keep their upper 8 bits. The alpha channel is
    dropped, as in torchvision. Greyscale, palette, 1-bit and CMYK pictures are converted. Animations, files with
    several pages and pixels in floating point or 32 bits are refused.

    Args:
        path: of the file.
        size: width and height of the result.

    Raises:
        DataError: if the file cannot be read as an image.
    """
    try:
        with Image.open(path) as file:
            file.draft("RGB", size)  # a large JPEG is decoded at a fraction of its size, never below `size`
            image = _in_rgb(file)
    except (
        OSError,
        SyntaxError,
        ValueError,
        OverflowError,
        EOFError,
        struct.error,
        Image.DecompressionBombError,
    ) as error:
        raise DataError(
            f"{path} cannot be read as an image ({error}). Remove it or write it again."
        ) from error
    if image.size != size:
        image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    return np.asarray(image)


def _in_rgb(file: Image.Image) -> Image.Image:
    """Converts an image to 3 x 8 bits.

    Raises:
        ValueError: if its pixels have no unique value in 0..255.
    """
    # A camera's JPEG that embeds a thumbnail has the format MPO and counts as animated.
    if getattr(file, "is_animated", False) and file.format != "MPO":
        raise ValueError("it is an animation, or has several pages; save one image")
    if file.mode == "F" or (file.mode == "I" and file.format not in ("PNG", "PPM")):
        raise ValueError(f"its pixels are of mode {file.mode!r}, without a white; save it with 8 or 16 bits")
    image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    return image.convert("RGB")
