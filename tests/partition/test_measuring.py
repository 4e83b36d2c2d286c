"""Measured seconds: their shape and sign, what they are divided by, and that nothing of the backbone moves."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from cloudedge_pl.partition import measure_segments, measuring, trace
from tests.partition.nets import Residual, Tokens

SAMPLE = torch.zeros(1, 3, 8, 8)


@pytest.mark.parametrize("kind", [Residual, Tokens])
def test_every_segment_takes_its_time(kind):
    chain = trace(kind(), SAMPLE)
    seconds = measure_segments(chain, SAMPLE, repeats=3, warm_up=1)
    assert seconds.shape == (chain.num_segments,)
    assert (seconds > 0).all()


def test_a_segment_has_the_median_of_its_counted_passes_by_sample(monkeypatch):
    """A clock that advances by what the test says: two segments, one warm-up pass and three that count."""
    passes = [[100, 100], [3, 10], [1, 30], [2, 20]]
    readings = iter([time for row in passes for spent in row for time in (0, spent)])
    monkeypatch.setattr(measuring, "_now", lambda device: float(next(readings)))
    chain = trace(nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Linear(4, 2)), SAMPLE)
    seconds = measure_segments(chain, SAMPLE.repeat(4, 1, 1, 1), repeats=3, warm_up=1)
    np.testing.assert_array_equal(seconds, [2 / 4, 20 / 4])


def test_modes_buffers_input_and_gradients_stay_as_they_are():
    net = Residual()
    net.norm.eval()
    before, x = copy.deepcopy(net.state_dict()), torch.randn(2, 3, 8, 8)
    given = x.clone()
    measure_segments(trace(net, SAMPLE), x, repeats=1, warm_up=0)
    assert net.training
    assert not net.norm.training
    assert torch.equal(x, given)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_no_pass_at_all_is_refused():
    with pytest.raises(ValueError, match=r"repeats is 0; it must lie in \[1"):
        measure_segments(trace(Residual(), SAMPLE), SAMPLE, repeats=0)
