"""Batch normalisation over the nodes' segments equals a literal loop over nodes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.layers.batch_norm import _Local, _Segments, batch_norms, normalising
from tests.training.helpers import OtherModule, SmallNet, loader, make_strategy, make_trainer


def make_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.BatchNorm2d(4, momentum=0.3)
    ).double()


def norms_of(net: nn.Module) -> Any:
    names = [name for name, _ in net.named_parameters()]
    return batch_norms(net, names, [name for name, _ in net.named_buffers()])


@pytest.mark.parametrize("tasks", [[5, 3, 4], [12], [0, 7, 0, 5], [6, 6], [1, 2] * 15, [3, 0, 1, 1] * 12])
def test_local_equals_a_loop_over_nodes(tasks: list[int]) -> None:
    net, x = make_net(), torch.randn(sum(tasks), 3, 8, 8, dtype=torch.float64)
    replicas = [copy.deepcopy(net) for _ in tasks]
    with normalising(norms_of(net), "local", tasks):
        out = net(x)
    out.square().sum().backward()
    parts, start = [], 0
    for replica, count in zip(replicas, tasks, strict=True):
        if count:
            parts.append(replica(x[start : start + count]))
        start += count
    torch.testing.assert_close(out, torch.cat(parts))
    torch.cat(parts).square().sum().backward()
    for name, parameter in net.named_parameters():
        gradients = [dict(r.named_parameters())[name].grad for r, c in zip(replicas, tasks, strict=True) if c]
        torch.testing.assert_close(parameter.grad, sum(gradients), rtol=1e-7, atol=1e-8)
    for name, buffer in net.named_buffers():
        if buffer.is_floating_point():
            held = [dict(r.named_buffers())[name] * c for r, c in zip(replicas, tasks, strict=True)]
            torch.testing.assert_close(buffer, sum(held) / sum(tasks))
        else:
            assert buffer == 1


def test_a_node_with_one_value_a_channel_uses_the_running_statistics() -> None:
    norm = nn.BatchNorm1d(4).double()
    x = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    with normalising([norm], "local", [4, 1]):
        out = norm(x)
    torch.testing.assert_close(out[4:], x[4:] / (1 + norm.eps) ** 0.5)
    out[4].sum().backward()  # with the statistics of then, not those of after the step
    torch.testing.assert_close(x.grad[4], torch.full((4,), (1 + norm.eps) ** -0.5, dtype=torch.float64))
    assert torch.isfinite(norm.running_var).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_many_segments_at_once_equal_one_by_one(dtype: torch.dtype) -> None:
    """Single values a channel among them; affine or not, with running statistics or without."""
    torch.manual_seed(0)
    segments = [1, 2, 1, 3] * 8
    for options in ({}, {"affine": False}, {"track_running_stats": False}, {"momentum": None}):
        norm = nn.BatchNorm1d(4, **options).double()
        nn.init.normal_(norm.weight) if norm.weight is not None else None
        if norm.running_mean is None:
            segments = [count + 1 for count in segments]
        x = (10 + torch.randn(sum(segments), 4, dtype=torch.float64)).to(dtype)
        local = _Local(norm.to(dtype) if dtype is torch.float64 else norm.float(), _Segments(segments))
        tolerance = 1e-7 if dtype is torch.float64 else 0.05
        for got, expected in zip(local._at_once(x), local._one_by_one(x), strict=True):
            torch.testing.assert_close(got, expected.to(got.dtype), rtol=tolerance, atol=tolerance)


def test_a_cumulative_average_of_the_running_statistics() -> None:
    norm = nn.BatchNorm1d(3, momentum=None).double()
    replicas = [copy.deepcopy(norm) for _ in range(2)]
    for _ in range(3):
        x = torch.randn(8, 3, dtype=torch.float64)
        with normalising([norm], "local", [6, 2]):
            norm(x)
        for replica, part in zip(replicas, x.split([6, 2]), strict=True):
            replica(part)
    for name in ("running_mean", "running_var"):
        expected = 0.75 * getattr(replicas[0], name) + 0.25 * getattr(replicas[1], name)
        torch.testing.assert_close(getattr(norm, name), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("tasks", [[5, 3], [1, 2] * 15])
def test_a_layer_neither_waits_for_the_device_nor_copies_to_it(
    tasks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What all layers share is brought there once; a number is read from no tensor."""
    made: list[Any] = []
    make = torch.tensor
    monkeypatch.setattr(torch, "tensor", lambda *a, **k: made.append(a) or make(*a, **k))
    for name in ("__float__", "item", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, lambda self: pytest.fail("reads a tensor"))
    counts = []
    for layers in (1, 4):
        norms = [nn.BatchNorm1d(4, momentum=None) for _ in range(layers)]
        made.clear()
        with normalising(norms, "local", tasks):
            nn.Sequential(*norms)(torch.randn(sum(tasks), 4))
        counts.append(len(made))
    assert counts[0] == counts[1]


class Tokens(nn.Module):
    """Normalises tokens [B * T, C]."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x.flatten(0, 1)).view_as(x)


@pytest.mark.parametrize("tasks", [[5, 3], [1, 2] * 15])
def test_rows_that_are_not_samples_are_refused(tasks: list[int]) -> None:
    net, samples = Tokens(), sum(tasks)
    x = torch.randn(samples, 3, 6, dtype=torch.float64)
    reason = rf"BatchNorm1d\(6\) is called with {3 * samples} rows in a step of {samples} samples.*\"shared\""
    with normalising([net.norm], "local", tasks), pytest.raises(StrategyError, match=reason):
        net(x)
    with normalising([net.norm], "frozen", tasks):
        net(x)


def test_rows_of_a_single_node_are_its_own() -> None:
    net, reference = Tokens(), Tokens()
    x = torch.randn(4, 3, 6, dtype=torch.float64)
    with normalising([net.norm], "local", [0, 4]):
        torch.testing.assert_close(net(x), reference(x))
    torch.testing.assert_close(net.norm.running_var, reference.norm.running_var)


def test_frozen_needs_running_statistics() -> None:
    norm, x = nn.BatchNorm1d(6, track_running_stats=False), torch.randn(4, 6)
    with normalising([norm], "frozen", [4]):
        with pytest.raises(StrategyError, match=r"BatchNorm1d\(6\) has none \(track_running_stats=False\)"):
            norm(x)
        evaluated = norm.eval()(x)
    torch.testing.assert_close(evaluated, norm(x))


@pytest.mark.parametrize("mode", ["local", "frozen"])
def test_a_forward_of_the_users_own_stays(mode: Any) -> None:
    norm, other = nn.BatchNorm1d(4), nn.BatchNorm1d(4)
    norm.forward = own = lambda x: x + 1  # type: ignore[method-assign]
    with normalising([norm, other], mode, [2, 2]):
        torch.testing.assert_close(norm(torch.zeros(4, 4)), torch.ones(4, 4))
        assert "forward" in other.__dict__
    assert norm.__dict__["forward"] is own
    assert "forward" not in other.__dict__


@pytest.mark.parametrize("mode", ["local", "frozen"])
def test_evaluation_and_afterwards_are_as_ever(mode: Any) -> None:
    net, x = make_net(), torch.randn(6, 3, 8, 8, dtype=torch.float64)
    expected = copy.deepcopy(net).eval()(x)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with normalising(norms_of(net), mode, [3, 3]):
        torch.testing.assert_close(net.eval()(x), expected)
        net.train()
        if mode == "frozen":
            torch.testing.assert_close(net(x), expected)
    if mode == "frozen":
        for name, value in net.state_dict().items():
            torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert all("forward" not in vars(module) for module in net.modules())


def test_training_routes_the_samples_to_their_nodes(tmp_path: Path) -> None:
    """One step by hand: each node's share through its own batch norm, the joined features through the cloud."""
    torch.manual_seed(1)
    net = SmallNet(norm=True)
    reference, module = copy.deepcopy(net).train(), OtherModule(net, lr=0.1, momentum=0.0, weight_decay=0.0)
    strategy = make_strategy(3, batch_norm="local", edge_loss_weight=0.0)
    make_trainer(tmp_path, strategy, max_steps=1, max_epochs=1).fit(module, loader())
    assert strategy.record is not None
    node = strategy.record.assignment.node
    assert len(np.unique(node)) > 1
    x, y = next(iter(loader()))
    features = torch.empty(len(x), 8)
    block = reference.block
    for index in np.unique(node):
        mine = torch.from_numpy(node == index)
        h = torch.relu(reference.stem(x[mine]))
        inner = block.conv2(torch.relu(block.conv1(h)))
        normed = nn.functional.batch_norm(inner, None, None, block.norm.weight, block.norm.bias, True)
        features[mine] = torch.relu(h + normed).mean((2, 3))
    loss = nn.functional.cross_entropy(reference.head(torch.relu(reference.hidden(features))), y)
    loss.backward()
    for (name, trained), own in zip(net.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(trained, own - 0.1 * own.grad, msg=name)


def test_unknown_mode_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match="frozen, local, shared"):
        make_strategy(2, batch_norm="global")


def test_a_second_pass_of_another_size_is_refused(tmp_path: Path) -> None:
    class Twice(OtherModule):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x, _ = batch
            return self(x).sum() + self(x[:3]).sum()

    with pytest.raises(StrategyError, match="16 and then 3"):
        make_trainer(tmp_path, make_strategy(3, batch_norm="local")).fit(Twice(SmallNet(norm=True)), loader())


def test_frozen_keeps_the_running_statistics(tmp_path: Path) -> None:
    pl.seed_everything(0)
    module = OtherModule(SmallNet(norm=True))
    make_trainer(tmp_path, make_strategy(3, batch_norm="frozen")).fit(module, loader())
    assert not module.net.block.norm.running_mean.any()
