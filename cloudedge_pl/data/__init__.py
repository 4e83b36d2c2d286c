"""Pictures to train on, as LightningDataModules."""

from cloudedge_pl.data.base import PictureDataModule
from cloudedge_pl.data.cifar10 import Cifar10DataModule
from cloudedge_pl.data.digits import DigitsDataModule
from cloudedge_pl.data.image_folder import ImageFolderDataModule
from cloudedge_pl.data.synthetic import SyntheticDataModule

DATA_MODULES: dict[str, type[PictureDataModule]] = {
    "digits": DigitsDataModule,
    "cifar10": Cifar10DataModule,
    "image_folder": ImageFolderDataModule,
    "synthetic": SyntheticDataModule,
}

__all__ = [
    "DATA_MODULES",
    "Cifar10DataModule",
    "DigitsDataModule",
    "ImageFolderDataModule",
    "PictureDataModule",
    "SyntheticDataModule",
]
