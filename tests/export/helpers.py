"""Bundles of small networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from cloudedge_pl.costs import CodecConfig
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.export import Exported
from cloudedge_pl.export.bundle import write_bundle
from cloudedge_pl.export.parts import CutNetwork
from cloudedge_pl.partition import ExitHead, trace
from cloudedge_pl.partition.codecs import build_codec
from cloudedge_pl.serving import ExitRule


def cut(
    backbone: nn.Module,
    split_point: int,
    codec: str = "none",
    *,
    size: int = 8,
    seed: int = 0,
    settled: bool = True,
) -> CutNetwork:
    """A network with an untrained exit head; ``settled`` draws other statistics than those of a new network."""
    torch.manual_seed(seed)
    for name, buffer in backbone.named_buffers():
        if settled and buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + ("var" in name))
    chain = trace(backbone.eval(), torch.zeros(1, 3, size, size))
    shapes = chain.live_shapes(split_point)
    head = ExitHead(shapes, chain.output_shape)
    return CutNetwork(chain, split_point, head, build_codec(CodecConfig(codec), shapes))


def bundle(network: CutNetwork, folder: Path, codec: str = "none", **options: Any) -> Exported:
    """Exports a network, as ONNX if nothing else is said."""
    classes = network.chain.output_shape[0]
    given = {"format": "onnx", "model": "small", "class_names": tuple(map(str, range(classes)))}
    return write_bundle(
        network,
        folder,
        codec=CodecConfig(codec),
        exits=ExitRule(),
        dormancy=DormancyRule(mode="never"),
        **given | options,
    )
