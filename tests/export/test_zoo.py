"""Networks of the zoo at an early, a middle and a late cut, in both formats, on small pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cloudedge_pl.export.checking import TOLERANCE
from cloudedge_pl.partition import build_backbone
from tests.export.helpers import bundle, cut

NETWORKS: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "resnet34": {},
    "resnet50": {},
    "vgg16": {},
    "mobilenet_v3_large": {},
    "efficientnet_b0": {},
    "convnext_tiny": {},
    "vit_b_16": {"image_size": 32, "patch_size": 16},
}
SIZE = 32


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
        backbone.train()(torch.randn(8, 3, SIZE, SIZE))
    return backbone.eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_both_formats_equal_the_module_at_three_cuts(name: str, tmp_path: Path) -> None:
    backbone = lively(name, **NETWORKS[name])
    last = cut(backbone, 1, size=SIZE, settled=False).chain.num_segments
    for split_point, codec in ((1, "none"), (last // 2, "int8"), (last - 1, "float16")):
        network = cut(backbone, split_point, codec, size=SIZE, settled=False)
        for format, limit in (("onnx", TOLERANCE), ("torch", 0.0)):
            exported = bundle(network, tmp_path / "bundle", codec, format=format)
            largest = max(exported.differences.by_part.values())
            print(name, split_point, format, exported.differences)
            assert largest <= limit * 20  # the limit is relative to the largest value
            held = exported.weight_bytes
            for part in ("edge", "exit", "cloud"):
                assert exported.manifest.path(part).stat().st_size < held[part] * 1.1 + 1e6
            whole = sum(each.nbytes for each in backbone.state_dict().values())
            assert held["edge"] + held["cloud"] <= whole + 16 * last
