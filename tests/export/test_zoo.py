"""Networks of the zoo at an early, a middle and a late cut, in both formats, on small pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cloudedge_pl.export import onnx_format, torch_format
from cloudedge_pl.export.checking import TOLERANCE, compare
from cloudedge_pl.export.parts import Parts
from cloudedge_pl.partition import build_backbone
from tests.export.helpers import cut

NETWORKS: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "resnet34": {},
    "resnet50": {},
    "vgg16": {},
    "mobilenet_v3_large": {},
    "efficientnet_b0": {},
    "convnext_tiny": {},
    "vit_b_16": {"image_size": 32, "patch_size": 16, "hidden_dim": 192, "mlp_dim": 768},
}
SIZE = 32


def lively(name: str, **options: Any) -> nn.Module:
    """A network whose tensors are of the size of a trained one's: its norms fit its data, and no layer is zero.

    Untrained, EfficientNet's logits are 1e-17, of which any file would be right.
    """
    torch.manual_seed(0)
    backbone = build_backbone(name, num_classes=10, **options)
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.1)
    with torch.no_grad():
        backbone.train()(torch.randn(64, 3, SIZE, SIZE))
    return backbone.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_both_formats_equal_the_module_at_three_cuts(name: str, tmp_path: Path) -> None:
    backbone = lively(name, **NETWORKS[name])
    whole = sum(each.nbytes for each in backbone.state_dict().values())
    last = cut(backbone, 1, size=SIZE, settled=False).chain.num_segments
    for split_point, codec in ((1, "none"), (last // 2, "int8"), (last - 1, "float16")):
        network = cut(backbone, split_point, codec, size=SIZE, settled=False)
        parts = Parts(network)
        held = {part.name: part.weight_bytes for part in parts.parts.values()}
        assert held["edge"] + held["cloud"] <= whole
        programs = {part.name: torch_format.traced(part) for part in parts.parts.values()}
        # PyTorch 2.6 fixes the batch of a program that it converts to ONNX, so that comes last.
        for format, limit in ((torch_format, 0.0), (onnx_format, TOLERANCE)):
            runs = {}
            for part in parts.parts.values():
                path = tmp_path / part.name
                format.write(part, programs[part.name], path)
                assert path.stat().st_size <= held[part.name] * 1.01 + 2e6
                runs[part.name] = format.load(path, part)
            found = compare(network, parts, runs, tolerance=limit)
            print(name, split_point, format.__name__.rpartition(".")[2], found)
            assert found.by_part.keys() == set(held)  # it raises where one is above the limit
