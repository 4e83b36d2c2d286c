"""What tables call layers: short enough for a column, and still unlike each other."""

from __future__ import annotations

import pytest
from torch import zeros

from cloudedge_pl.partition import build_backbone, trace
from cloudedge_pl.reports.wording import SHORT_NAME, short_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("layer2.0.conv1", "layer2.0.conv1"),
        ("encoder.layers.encoder_layer_11.mlp.3", "e.l.e11.mlp.3"),
        ("vit.encoder.layer.7.attention.output.dense", "v.e.l.7.a.output.dense"),
        ("a_module_with_one_very_long_name", "\N{HORIZONTAL ELLIPSIS}with_one_very_long_name"),
    ],
)
def test_a_long_name_keeps_its_end_and_its_numbers(name: str, expected: str) -> None:
    assert short_name(name) == expected


@pytest.mark.parametrize("backbone", ["vit_b_16", "efficientnet_b0", "mobilenet_v3_large"])
def test_the_layers_of_a_network_stay_apart(backbone: str) -> None:
    options = {"image_size": 32} if backbone == "vit_b_16" else {}
    names = trace(build_backbone(backbone, num_classes=10, **options), zeros(1, 3, 32, 32)).names
    assert len({short_name(name) for name in names}) == len(names)
    assert max(len(short_name(name)) for name in names) <= SHORT_NAME
