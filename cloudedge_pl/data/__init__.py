"""Images to train on, as LightningDataModules."""

from cloudedge_pl.data.base import ImageDataModule
from cloudedge_pl.data.cifar10 import Cifar10DataModule
from cloudedge_pl.data.digits import DigitsDataModule
from cloudedge_pl.data.image_folder import ImageFolderDataModule
from cloudedge_pl.data.synthetic import SyntheticDataModule

__all__ = [
    "Cifar10DataModule",
    "DigitsDataModule",
    "ImageDataModule",
    "ImageFolderDataModule",
    "SyntheticDataModule",
]
