"""A trained network served over a network: what a bundle holds, and who answers. No torch, no Lightning."""

from cloudedge_pl.serving.manifest import ExitRule, Manifest
from cloudedge_pl.serving.parts import PartSpec, TensorSpec
from cloudedge_pl.serving.preprocessing import Preprocessing

__all__ = ["ExitRule", "Manifest", "PartSpec", "Preprocessing", "TensorSpec"]
