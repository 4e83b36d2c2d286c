"""torchvision's classifiers: every split point between blocks and ten of those between layers, bit for bit.

One model at a time is in memory. The giants of each family are left out: they have the same layers, more of them.
"""

import random

import numpy as np
import pytest
import torch
from torch.nn.attention import (
    SDPBackend,
    sdpa_kernel,
)  # fused attention on the CPU escapes some versions' counter
from torch.utils.flop_counter import FlopCounterMode

from cloudedge_pl.partition import BACKBONES, build_backbone, profile, trace

# Side of the picture, depth, and options of the builder.
ZOO = {
    "alexnet": (64, 8, {}),
    "convnext_tiny": (32, 59, {}),
    "densenet121": (32, 121, {}),
    "densenet169": (32, 169, {}),
    "efficientnet_b0": (32, 82, {}),
    "efficientnet_b1": (32, 116, {}),
    "efficientnet_v2_s": (32, 171, {}),
    "googlenet": (32, 22, {"init_weights": False}),
    "inception_v3": (75, 48, {"init_weights": False}),
    "mnasnet0_5": (32, 53, {}),
    "mnasnet0_75": (32, 53, {}),
    "mnasnet1_0": (32, 53, {}),
    "mnasnet1_3": (32, 53, {}),
    "mobilenet_v2": (32, 53, {}),
    "mobilenet_v3_large": (32, 64, {}),
    "mobilenet_v3_small": (32, 54, {}),
    "regnet_x_1_6gf": (32, 56, {}),
    "regnet_x_400mf": (32, 68, {}),
    "regnet_x_800mf": (32, 50, {}),
    "regnet_y_1_6gf": (32, 137, {}),
    "regnet_y_400mf": (32, 82, {}),
    "regnet_y_800mf": (32, 72, {}),
    "resnet18": (32, 18, {}),
    "resnet34": (32, 34, {}),
    "resnet50": (32, 50, {}),
    "resnet101": (32, 101, {}),
    "resnext50_32x4d": (32, 50, {}),
    "shufflenet_v2_x0_5": (32, 51, {}),
    "shufflenet_v2_x1_0": (32, 51, {}),
    "shufflenet_v2_x1_5": (32, 51, {}),
    "shufflenet_v2_x2_0": (32, 51, {}),
    "squeezenet1_0": (32, 18, {}),
    "squeezenet1_1": (32, 18, {}),
    "swin_t": (32, 41, {}),
    "swin_v2_t": (32, 41, {}),
    "vgg11": (32, 11, {}),
    "vgg11_bn": (32, 11, {}),
    "vgg16": (32, 16, {}),
    "vgg16_bn": (32, 16, {}),
    "vit_b_16": (32, 38, {"image_size": 32}),
    "wide_resnet50_2": (32, 50, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ZOO)
def test_cuts_change_nothing_and_totals_equal_torchs_counter(name):
    side, depth, options = ZOO[name]
    torch.manual_seed(0)
    backbone = build_backbone(name, num_classes=10, **options).eval()
    x = torch.randn(1, 3, side, side)
    layers, blocks = trace(backbone, x), trace(backbone, x, granularity="block")
    assert layers.num_segments == depth
    costs = profile(layers, x, exit_head=None)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        backbone(x)
    assert costs.flops[-1] == counter.get_total_flops()
    assert costs.segment_flops.sum() == profile(blocks, x, exit_head=None).segment_flops.sum()
    assert costs.segment_trainable_bytes.sum() == 4 * sum(p.numel() for p in backbone.parameters())
    np.testing.assert_array_equal(costs.segment_flops > 0, True)
    points = sorted(random.Random(name).sample(range(depth + 1), min(10, depth + 1)))
    with torch.inference_mode():
        expected = backbone(x)
        for chain, splits in ((blocks, range(blocks.num_segments + 1)), (layers, points)):
            for j in splits:
                logits = chain.cloud(j)(chain.edge(j)(x.clone()))
                assert torch.equal(logits, expected), f"{chain.granularity} split point {j}, {chain.names[j]}"


def test_thirty_models_and_more_are_covered():
    assert len(ZOO) >= 30
    assert set(ZOO) <= set(BACKBONES)
