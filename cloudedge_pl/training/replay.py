"""A step of somebody's LightningModule evaluated once more, for the exit head's loss, as if it had not been.

The second evaluation draws the same random numbers as the first, so that augmentation and noise are the same for both
losses, and leaves no trace in logs, metrics and buffers.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from cloudedge_pl.lightning import pl
from cloudedge_pl.training.checkpoints import RandomState


@contextmanager
def unobserved(module: pl.LightningModule, backbone: nn.Module) -> Iterator[None]:
    """Runs a step of ``module`` without a trace: nothing is logged, no metric is updated, no buffer moves.

    What a step does to other attributes of the module, or to anything else, it does once more.

    Args:
        module: whose step runs.
        backbone: its part whose buffers the step does not reach.
    """
    muted: list[tuple[dict[str, Any], str]] = [(module.__dict__, name) for name in ("log", "log_dict")]
    for metric in module.modules():
        if isinstance(metric, Metric):
            muted += [(metric.__dict__, name) for name in ("forward", "update")]
    before = [attributes.get(name) for attributes, name in muted]
    for attributes, name in muted:
        attributes[name] = _silent
    # Copies stand in for the buffers: the first pass may need the originals, untouched, in its backward pass.
    buffers = [(each, dict(each._buffers)) for each in _outside(module, backbone) if each._buffers]
    for each, own in buffers:
        each._buffers.update({key: None if value is None else value.clone() for key, value in own.items()})
    try:
        yield
    finally:
        for each, own in buffers:
            each._buffers.update(own)
        for (attributes, name), earlier in zip(muted, before, strict=True):
            if earlier is None:
                del attributes[name]
            else:
                attributes[name] = earlier


def _outside(module: nn.Module, backbone: nn.Module) -> list[nn.Module]:
    inside = set(backbone.modules())
    return [each for each in module.modules() if each not in inside]


class Rewind:
    """The random states that a step of ``module`` may draw from: the global ones, and generators it has as attributes.

    Args:
        module: whose step is to be evaluated again.
        backbone: its part that draws from the global ones only.
        device: of the run.
    """

    def __init__(self, module: nn.Module, backbone: nn.Module, device: torch.device) -> None:
        self._device, self._state = device, RandomState.capture(device)
        own = [value for each in _outside(module, backbone) for value in vars(each).values()]
        self._generators = [
            (generator, _state_of(generator)) for generator in own if _is_generator(generator)
        ]

    def back(self) -> None:
        """Sets all back to what they were."""
        self._state.restore(self._device)
        for generator, state in self._generators:
            _set_state(generator, state)

    def again(self) -> Rewind:
        """The states of the same sources as they are now."""
        now = copy.copy(self)
        now._state = RandomState.capture(self._device)
        now._generators = [(generator, _state_of(generator)) for generator, _ in self._generators]
        return now


def _is_generator(value: object) -> bool:
    return isinstance(value, (torch.Generator, np.random.Generator, random.Random))


def _state_of(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state() if isinstance(generator, torch.Generator) else generator.getstate()


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif isinstance(generator, torch.Generator):
        generator.set_state(state)
    else:
        generator.setstate(state)


def _silent(*_args: Any, **_kwargs: Any) -> Tensor:
    return torch.zeros(())


def loss_of(output: Any) -> Tensor | None:
    """The loss in what a ``training_step`` returned: a tensor, a mapping with "loss", or None (a skipped step)."""
    return output.get("loss") if isinstance(output, dict) else output


def with_loss(output: Any, loss: Tensor) -> Any:
    """What a ``training_step`` returned, with another loss."""
    return {**output, "loss": loss} if isinstance(output, dict) else loss
