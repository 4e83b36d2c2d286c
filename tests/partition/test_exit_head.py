"""Exit heads on every shape of live tensors, and whether they learn."""

import pytest
import torch
from torch import nn

from cloudedge_pl.partition import ExitHead, ExitHeadConfig, build_backbone, trace


@pytest.mark.parametrize("num_layers", [0, 1, 2])
@pytest.mark.parametrize(
    "shapes",
    [
        [(16, 8, 8)],
        [(16, 8, 8), (4, 8, 8)],
        [(16, 8, 8), (32, 4, 4)],
        [(7, 7, 32)],
        [(17, 24)],
        [(17, 24), (17, 96)],
        [(12,)],
        [(3, 1, 1)],
        [(2, 4, 4, 4)],
        [(16, 8, 8), (17, 24), (12,)],
    ],
)
def test_any_live_tensors_become_logits(shapes, num_layers):
    torch.manual_seed(0)
    head = ExitHead(shapes, 5, ExitHeadConfig(hidden_channels=8, num_layers=num_layers))
    live = [torch.randn(3, *shape) for shape in shapes]
    logits = head((live[0], torch.Size([3]), *live[1:], 7))
    assert logits.shape == (3, 5)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_samples_do_not_mix_in_evaluation_mode():
    torch.manual_seed(0)
    head = ExitHead([(16, 8, 8), (9, 24)], 5).eval()
    live = [torch.randn(4, 16, 8, 8), torch.randn(4, 9, 24)]
    torch.testing.assert_close(head([tensor[1:2] for tensor in live]), head(live)[1:2])


def test_pictures_of_another_size_pass():
    head = ExitHead([(16, 8, 8)], 5)
    assert head([torch.randn(2, 16, 14, 10)]).shape == (2, 5)


def test_its_size_follows_the_config():
    def parameters(**config):
        return sum(p.numel() for p in ExitHead([(16, 8, 8)], 10, ExitHeadConfig(**config)).parameters())

    assert parameters(num_layers=0, pool=1) == 16 * 10 + 10
    assert parameters(num_layers=0, pool=2) == 4 * 16 * 10 + 10
    assert parameters(num_layers=1, hidden_channels=32) < parameters(num_layers=1) < parameters(num_layers=2)


def test_convolutions_halve_the_maps_down_to_the_grid_and_no_further():
    head = ExitHead([(16, 32, 32)], 10, ExitHeadConfig(num_layers=5, pool=4))
    strides = [layer.stride for layer in head.modules() if isinstance(layer, nn.Conv2d)]
    assert strides == [(2, 2), (2, 2), (2, 2), (1, 1), (1, 1)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hidden_channels": 0}, "hidden_channels is 0; it must lie in"),
        ({"num_layers": -1}, r"num_layers is -1; it must lie in \[0, 16\]"),
        ({"pool": 0}, "pool is 0"),
    ],
)
def test_a_bad_config_is_refused_at_once(wrong, message):
    with pytest.raises(ValueError, match=message):
        ExitHeadConfig(**wrong)


def test_wrong_tensors_are_refused():
    with pytest.raises(ValueError, match="no tensor crosses"):
        ExitHead([], 5)
    with pytest.raises(ValueError, match="output_shape is 0"):
        ExitHead([(4,)], 0)
    with pytest.raises(ValueError, match="built for 1 tensors, not 2"):
        ExitHead([(4,)], 5)([torch.zeros(1, 4), torch.zeros(1, 4)])


@pytest.mark.parametrize(
    ("name", "options"),
    [("resnet18", {}), ("vit_b_16", {"image_size": 32, "num_layers": 2, "patch_size": 8})],
)
def test_a_head_learns_to_tell_pictures_apart_at_every_split_point(name, options):
    """Stripes along or across: a head on frozen features of a random network must find them."""
    torch.manual_seed(0)
    backbone = build_backbone(name, num_classes=2, **options).eval()
    labels = torch.arange(32) % 2
    stripes = torch.sin(torch.arange(32) * 1.3).expand(32, 32)
    pictures = torch.stack([stripes.T if label else stripes for label in labels])[:, None].repeat(1, 3, 1, 1)
    pictures = pictures + 0.3 * torch.randn_like(pictures)
    chain = trace(backbone, pictures[:1])
    for j in range(1, chain.num_segments, 4):
        with torch.no_grad():
            live = chain.edge(j)(pictures)
        head = ExitHead(chain.live_shapes(j), 2, ExitHeadConfig(hidden_channels=16))
        optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
        for _ in range(30):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(live), labels).backward()
            optimizer.step()
        assert (head(live).argmax(1) == labels).float().mean() > 0.9, chain.names[j]
