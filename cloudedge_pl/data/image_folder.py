"""Images in folders: ``root/train/<class>/*.jpg`` and ``root/test/<class>/*.jpg``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cloudedge_pl.data.base import SPLIT_SEED, ImageDataModule
from cloudedge_pl.data.images import FileImages, MemoryImages, Splits, stratified_split
from cloudedge_pl.errors import DataError, require_positive, require_types

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif"})


class ImageFolderDataModule(ImageDataModule):
    """Images in folders named after their classes, under ``train``, ``test`` and, optionally, ``val``.

    An image is scaled and cropped at the centre to a square of ``image_size``. Images are decoded once and kept in
    memory if they fit. Without ``val``, a stratified share of the training images is the validation set.

    Args:
        root: folder of ``train`` and ``test``.
        image_size: H and W.
        cache: whether to keep decoded images in memory.
        cache_limit_bytes: larger sets (3 * image_size^2 bytes per decoded image) are decoded in every epoch; use
            ``num_workers`` for them.
        mean: per channel; the default is ImageNet's, which pretrained torchvision models expect.
        std: per channel; the default is ImageNet's.
        eval_batch_size: images in a batch of validation, test and prediction; None takes ``batch_size``.
        augment: whether training images are cropped at random and mirrored.
        **options: further arguments of :class:`~cloudedge_pl.data.base.ImageDataModule`.

    Raises:
        DataError: on construction, if a folder is missing or empty or the splits have different classes; on decoding,
            if an image cannot be read.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        image_size: int = 32,
        cache: bool = True,
        cache_limit_bytes: float = 4e9,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        eval_batch_size: int | None = 256,
        augment: bool = True,
        **options: Any,
    ) -> None:
        require_types("data", ImageFolderDataModule, locals())
        require_positive("data", allow_infinite=True, cache_limit_bytes=cache_limit_bytes)
        self.root = Path(root).expanduser()
        self.cache = cache
        self.cache_limit_bytes = cache_limit_bytes
        self._files = {split: list_images(self.root / split) for split in _splits_in(self.root)}
        _check_same_classes(self.root, {split: set(classes) for split, classes in self._files.items()})
        super().__init__(
            class_names=list(self._files["train"]),
            image_size=image_size,
            mean=mean,
            std=std,
            eval_batch_size=eval_batch_size,
            augment=augment,
            **options,
        )

    def load(self) -> Splits:
        files = {split: self._images(classes) for split, classes in self._files.items()}
        decoded_bytes = sum(images.decoded_bytes for images in files.values())
        images: dict[str, FileImages | MemoryImages] = dict(files)
        if self.cache and decoded_bytes <= self.cache_limit_bytes:
            images = {split: each.in_memory() for split, each in files.items()}
        train = images["train"]
        if "val" in images:
            return Splits(train, images["val"], images["test"])
        rest, val = stratified_split(train.labels, self.val_fraction, SPLIT_SEED)
        return Splits(train.subset(rest), train.subset(val), images["test"])

    def _images(self, classes: dict[str, list[Path]]) -> FileImages:
        paths = [path for members in classes.values() for path in members]
        labels = torch.repeat_interleave(torch.tensor([len(members) for members in classes.values()]))
        return FileImages(paths, labels, self.image_size)


def list_images(folder: Path) -> dict[str, list[Path]]:
    """Lists the images of each class below ``folder``, classes and images in alphabetical order.

    Raises:
        DataError: if there is no class, or a class has no image.
    """
    classes = {
        entry.name: sorted(path for path in entry.rglob("*") if path.suffix.lower() in EXTENSIONS)
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and not entry.name.startswith(".")
    }
    if not classes:
        raise DataError(f"{folder} holds no class; it needs a folder of images for each class.")
    empty = [name for name, paths in classes.items() if not paths]
    if empty:
        raise DataError(
            f"{folder} has no image in: {', '.join(empty)}. Add some ({', '.join(sorted(EXTENSIONS))}), or "
            "remove the folder."
        )
    return classes


def _splits_in(root: Path) -> list[str]:
    if not root.is_dir():
        raise DataError(
            f"data.root {root} is not a folder; set data.root to one with train/<class>/ and test/<class>/."
        )
    missing = [split for split in ("train", "test") if not (root / split).is_dir()]
    if missing:
        raise DataError(
            f"{root} has no folder {' and no folder '.join(missing)}; it needs train/<class>/ and "
            "test/<class>/."
        )
    return [split for split in ("train", "val", "test") if (root / split).is_dir()]


def _check_same_classes(root: Path, classes: dict[str, set[str]]) -> None:
    for split, names in classes.items():
        for here, there, gap in (
            ("train", split, classes["train"] - names),
            (split, "train", names - classes["train"]),
        ):
            if gap:
                raise DataError(
                    f"{root}: {here} has classes that {there} lacks: {', '.join(sorted(gap))}. "
                    "Every split needs the same classes."
                )
