"""The parts as modules: together they are the network, and each holds only its own weights."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cloudedge_pl.errors import StrategyError, UntraceableBackboneError
from cloudedge_pl.export.crossing import find_crossing, tensors_of
from cloudedge_pl.export.parts import CutNetwork, Parts
from cloudedge_pl.partition import ExitHead, build_backbone, trace
from tests.export.helpers import cut
from tests.partition import nets

BACKBONES = [
    nets.Residual,
    nets.ShapeInts,
    nets.TiedParameter,
    nets.Tokens,
    nets.FunctionalWeights,
    nets.Constants,
    nets.Reparametrised,
]
CODECS = ["none", "int8", "float16", "bottleneck", "top_k"]


def answers(parts: Parts, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of the cloud part and of the exit head, from samples through the parts."""
    given = dict(zip(parts.parts["edge"].outputs, parts.parts["edge"].module(samples), strict=True))
    return tuple(
        part.module(*(given[name] for name in part.inputs))[0]
        for part in (parts.parts["cloud"], parts.parts["exit"])
    )


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("kind", BACKBONES, ids=lambda kind: kind.__name__)
def test_the_parts_together_are_the_network(kind: Any, codec: str) -> None:
    backbone = kind()
    for split_point in range(1, cut(backbone, 1).chain.num_segments):
        network = cut(backbone, split_point, codec)
        parts = Parts(network)
        for number in (1, 2, 7):
            samples = network.samples(number)
            with network.evaluating():
                live = network.live(samples)
                cloud, exit_logits = answers(parts, samples)
                assert torch.equal(cloud, network.cloud_logits(live))
                assert torch.equal(exit_logits, network.exit_logits(live))
                if codec == "none":
                    assert torch.equal(cloud, backbone(samples))


@pytest.mark.parametrize("codec", ["none", "bottleneck"])
def test_each_part_holds_only_its_own_weights(codec: str) -> None:
    backbone = nets.Residual()
    network = cut(backbone, 2, codec)
    held = {name: part.module.state_dict() for name, part in Parts(network).parts.items()}
    of_backbone = {
        side: {name.removeprefix("backbone.") for name in state if name.startswith("backbone.")}
        for side, state in held.items()
    }
    assert of_backbone["edge"] == {*network.chain.edge_parameters(2), *network.chain.edge_buffers(2)}
    assert of_backbone["cloud"] == {*network.chain.cloud_parameters(2), *network.chain.cloud_buffers(2)}
    assert {name.removeprefix("head.") for name in held["exit"]} == set(network.exit_head.state_dict())
    coded = {side: sum("coders" in name for name in state) for side, state in held.items()}
    tensors = 2 if codec == "bottleneck" else 0
    assert (coded["edge"], coded["cloud"], coded["exit"]) == (tensors, 2 * tensors, 0)


def test_the_weights_are_shared_and_the_network_stays_as_it_is() -> None:
    backbone = nets.Residual().train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    network = cut(backbone, 2)
    backbone.train()
    parts = Parts(network)
    assert parts.parts["edge"].module.backbone.stem.weight.data_ptr() == backbone.stem.weight.data_ptr()
    assert backbone.training
    assert all(each.requires_grad for each in backbone.parameters())
    assert list(before) == list(backbone.state_dict())


def test_sizes_that_cross_are_not_sent() -> None:
    network = cut(nets.ShapeInts(), 1)
    crossing = Parts(network).crossing
    assert sorted(map(str, crossing.sizes.values())) == ["128", "batch"]
    assert len(crossing.tensors) == 1


def test_the_batch_crosses_a_vision_transformer_behind_its_first_layer() -> None:
    options = {
        "image_size": 32,
        "patch_size": 16,
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 8,
        "mlp_dim": 8,
    }
    from torchvision.models import VisionTransformer

    crossing = Parts(cut(VisionTransformer(**options, num_classes=5), 1, size=32)).crossing
    assert list(crossing.sizes.values()) == ["batch"]


def test_what_crosses_is_found_from_two_batches() -> None:
    def edge(number: int) -> tuple[Any, ...]:
        tensor = torch.zeros(number, 4)
        return tensor, number, tensor.shape, (3, 2 * number), 2 * number + 1, "same", None

    crossing = find_crossing(list("abcdefg"), edge)
    assert crossing.sizes == {
        "b": "batch",
        "c[0]": "batch",
        "c[1]": 4,
        "d[0]": 3,
        "d[1]": "2 * batch",
        "e": "2 * batch + 1",
    }
    assert crossing.tensors == (((4,), torch.float32),)
    for number in (1, 7):
        live, expected = crossing.live(tensors_of(edge(number))), edge(number)
        assert live[1:] == expected[1:]


@pytest.mark.parametrize("value", [float, lambda number: (torch.zeros(number),), lambda number: number > 2])
def test_what_can_neither_be_sent_nor_known_is_refused(value: Any) -> None:
    with pytest.raises(UntraceableBackboneError, match="'odd"):
        find_crossing(["tensor", "odd"], lambda number: (torch.zeros(number, 4), value(number)))


@pytest.mark.parametrize(("split_point", "where"), [(0, "at the edge"), (4, "in the cloud")])
def test_the_ends_cut_nothing_and_say_so(split_point: int, where: str) -> None:
    with pytest.raises(StrategyError, match=rf"{split_point} of 0\.\.4 leaves nothing {where}.*exclude_ends"):
        cut(nets.Residual(), split_point)


def test_features_are_no_answers() -> None:
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    with pytest.raises(StrategyError, match="features"):
        cut(backbone, 1)


def test_a_backbone_that_is_cut_by_hand_is_not_followed() -> None:
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.Linear(16, 5)).eval()
    chain = trace(backbone, torch.zeros(1, 3, 8, 8), split_modules=["1"])
    with pytest.raises(StrategyError, match="Sequential is cut by split_modules"):
        CutNetwork(chain, 1, ExitHead(chain.live_shapes(1), 5))


def test_the_hash_is_of_names_and_values() -> None:
    part = Parts(cut(nets.Residual(), 2)).parts["exit"]
    digest = hashlib.sha256()
    for name, tensor in sorted(part.module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode() + tensor.numpy().tobytes())
    assert part.weights_sha256() == digest.hexdigest()
    with torch.no_grad():
        next(part.module.parameters()).view(-1)[0] += 1
    assert part.weights_sha256() != digest.hexdigest()


def test_build_backbone_is_cut_as_well() -> None:
    assert Parts(cut(build_backbone("resnet18", num_classes=5), 9, size=32)).parts["edge"].weight_bytes > 2e6
