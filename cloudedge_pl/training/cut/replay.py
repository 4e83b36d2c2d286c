"""A second evaluation of a user's training step, for the exit head's loss, without a trace.

It draws the same random numbers as the first, so that augmentation and noise are the same for both losses, and changes
nothing in logs, metrics and buffers.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.partition.standing_in import replaced
from cloudedge_pl.training.checkpoints.random_state import RandomState


@contextmanager
def unobserved(module: pl.LightningModule, backbone: nn.Module) -> Iterator[None]:
    """Inside, a step of ``module`` logs nothing, updates no metric and changes no buffer.

    :class:`Undo` restores other attributes of the module. Effects on anything else happen once more.

    Args:
        module: whose step runs.
        backbone: its part whose buffers the step does not change.
    """
    muted: list[tuple[object, str, Any]] = [(module, name, _silent) for name in ("log", "log_dict")]
    for metric in module.modules():
        if isinstance(metric, Metric):
            muted += [(metric, name, _silent) for name in ("forward", "update")]
    # Copies replace the buffers: the first pass may need the originals unchanged in its backward pass.
    buffers = [(each, dict(each._buffers)) for each in _outside(module, backbone) if each._buffers]
    for each, own in buffers:
        each._buffers.update({key: None if value is None else value.clone() for key, value in own.items()})
    try:
        with replaced(muted):
            yield
    finally:
        for each, own in buffers:
            each._buffers.update(own)


def _outside(module: nn.Module, backbone: nn.Module) -> list[nn.Module]:
    inside = set(backbone.modules())
    return [each for each in module.modules() if each not in inside]


class Undo:
    """Undoes what a step changes in a module: numbers, containers, references, modes and tensors.

    Args:
        module: whose step is evaluated; its loggers are muted meanwhile.
        backbone: its part that holds no state of the step.
        copies: tensors outside the backbone of which copies are kept. Without a copy, a write is known from the
            tensor's version alone, which is cheap; with copies :meth:`restore` waits for the device.
        also: another object, such as a datamodule, whose attributes are restored; tensors in it are not.
    """

    def __init__(
        self,
        module: pl.LightningModule,
        backbone: nn.Module,
        copies: Literal["none", "parameters", "all"],
        also: object | None = None,
    ) -> None:
        self._module = module
        self._attributes: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._containers: list[tuple[Any, Any]] = []
        self._tensors: list[tuple[str, Tensor, int, Tensor | None]] = []
        self._copies = copies == "all"
        self._seen: set[int] = set()
        names = {each: name for name, each in module.named_modules()}
        for each in _outside(module, backbone):
            prefix = f"{names[each]}." if names[each] else ""
            for key, parameter in each._parameters.items():
                if parameter is not None:
                    self._note_tensor(prefix + key, parameter, copied=copies != "none")
            self._attributes.append((vars(each), dict(vars(each))))
            for key, value in vars(each).items():
                if key not in _FRAMEWORK and not isinstance(each, Metric):
                    self._note(prefix + key, value)
                elif isinstance(value, _CONTAINERS):
                    self._containers.append((value, copy.copy(value)))
        tensors = list(self._tensors)
        self._note("", also)
        self._tensors = tensors
        self._loggers, module.trainer.loggers = (
            module.trainer.loggers,
            [pl.loggers.logger.DummyLogger() for _ in module.trainer.loggers],
        )

    def _note(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            self._note_tensor(name, value, self._copies)
        elif isinstance(value, _CONTAINERS) and id(value) not in self._seen:
            self._seen.add(id(value))
            self._containers.append((value, copy.copy(value)))
            inner = value.values() if isinstance(value, dict) else value
            for each in itertools.islice(inner, _MOST_INNER):
                self._note(name, each)
        elif _is_users(value) and id(value) not in self._seen:
            self._seen.add(id(value))
            self._attributes.append((vars(value), dict(vars(value))))
            for key, each in vars(value).items():
                self._note(f"{name}.{key}", each)

    def _note_tensor(self, name: str, tensor: Tensor, copied: bool) -> None:
        if not tensor.is_inference():
            copied_ = tensor.detach().clone() if copied else None
            self._tensors.append((name, tensor, tensor._version, copied_))

    def restore(self) -> list[str]:
        """Undoes all changes, except in tensors without a copy; returns the names of tensors that were written to."""
        self._module.trainer.loggers = self._loggers
        for attributes, own in self._attributes:
            for key in attributes.keys() - own.keys():
                del attributes[key]
            attributes.update(own)
        for container, before in self._containers:
            container.clear()
            (container.update if isinstance(container, (dict, set)) else container.extend)(before)
        written = []
        for name, tensor, version, copied in self._tensors:
            if tensor._version != version or (copied is not None and not torch.equal(tensor, copied)):
                written.append(name)
                if copied is not None:
                    tensor.detach().copy_(copied)
        return written

    def restore_or_refuse(self) -> None:
        """Undoes all changes.

        Raises:
            StrategyError: if a tensor was written to.
        """
        for name in self.restore():
            raise StrategyError(
                f"{type(self._module).__name__}.training_step writes to its {name}, and for the joint loss it has "
                "to be evaluated twice, which would write twice. Move that to on_train_batch_end, or train without "
                "exit head: CloudEdgeStrategy(edge_loss_weight=0)."
            )


_CONTAINERS = (list, dict, set, deque)

_MOST_INNER = 100
"""Number of elements of a container that are inspected."""

_FRAMEWORK = {*vars(nn.Module()), *vars(pl.LightningModule())}
"""Attributes of torch and Lightning in a module."""


def _is_users(value: Any) -> bool:
    """Whether it is an object of a class outside torch and Lightning, such as a running mean."""
    if isinstance(value, (nn.Module, type)) or callable(value) or not hasattr(value, "__dict__"):
        return False
    owner = type(value).__module__.partition(".")[0]
    return owner not in {
        "torch",
        "lightning",
        "pytorch_lightning",
        "lightning_fabric",
        "torchmetrics",
        "numpy",
    }


class Rewind:
    """The random states that a step of ``module`` may draw from: global ones, and generators among its attributes.

    Args:
        module: whose step is evaluated.
        backbone: its part that draws from the global ones only.
        device: of the run.
    """

    def __init__(self, module: nn.Module, backbone: nn.Module, device: torch.device) -> None:
        self._device, self._state = device, RandomState.capture(device)
        own = [value for each in _outside(module, backbone) for value in vars(each).values()]
        self._generators = [
            (generator, _state_of(generator)) for generator in own if _is_generator(generator)
        ]

    def restore(self) -> None:
        """Sets the sources to these states."""
        self._state.restore(self._device)
        for generator, state in self._generators:
            _set_state(generator, state)

    def now(self) -> Rewind:
        """The present states of the same sources."""
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


def is_compiled(module: pl.LightningModule) -> bool:
    """Whether ``torch.compile`` runs a part of it, which a record cannot see into."""
    compiled = getattr(module, "_compiler_ctx", None) is not None
    return compiled or any(isinstance(each, torch._dynamo.OptimizedModule) for each in module.modules())


def loss_of(output: Any) -> Tensor | None:
    """The loss in what a ``training_step`` returned: a tensor, a mapping with "loss", or None (a skipped step)."""
    return output.get("loss") if isinstance(output, dict) else output


def with_loss(output: Any, loss: Tensor) -> Any:
    """What a ``training_step`` returned, with another loss."""
    return {**output, "loss": loss} if isinstance(output, dict) else loss
