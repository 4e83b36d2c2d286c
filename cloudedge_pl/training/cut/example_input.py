"""The input to trace the backbone with: the declared one, else the shape of a sample of the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from lightning_utilities.core.rank_zero import rank_zero_debug
from torch import Tensor, nn

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.cut.dry_run import reaching, reaching_in_step
from cloudedge_pl.training.cut.first_batches import FirstBatches, is_loader, is_readable_again, loaders_of


def example_input_of(
    trainer: pl.Trainer, module: pl.LightningModule, backbone: nn.Module, precision: pl.plugins.Precision
) -> tuple[Tensor, FirstBatches | None]:
    """Returns zeros [1, ...] in the shape and dtype of a sample as it reaches the backbone, and the batches read.

    The sources are tried in this order: the module's ``example_input_array``, the first sample of the trainer's data if
    it can be read repeatedly, the datamodule's ``input_shape``, the first batch. With the array the module's
    ``forward`` runs up to the backbone, with data its step, so that resizing and selection in them count. If that
    fails, the shape is the declared one, else that of the batch's first tensor. Random states and the module are
    unchanged afterwards, and so is the data once the batches are given back.

    Raises:
        StrategyError: if no source holds a tensor [B, ...].
    """
    declared = module.example_input_array
    if declared is not None:
        given = reaching(trainer, module, backbone, lambda: _called_with(module, declared))
        if given is None and isinstance(declared, Tensor):
            given = declared
        if given is not None and given.ndim >= 2:
            return _zeros_like(given), None
    shape = getattr(trainer.datamodule, "input_shape", None)  # type: ignore[attr-defined]  # set by the data connector
    source = _source(trainer)
    if shape is not None and not all(map(is_readable_again, loaders_of(source))):
        return torch.zeros(1, *shape), None
    with pl.utilities.seed.isolate_rng():
        first_batches = FirstBatches(source)
        batch = first_batches.batches
        one = (
            batch
            if trainer.training or not isinstance(batch, (list, tuple)) or is_loader(source)
            else batch[0]
        )
        sample = reaching_in_step(trainer, module, backbone, one, precision)
    if sample is None or sample.ndim < 2:
        if shape is not None:
            return torch.zeros(1, *shape), first_batches
        sample = first_tensor(batch, floating=True)
        if sample is None:
            sample = first_tensor(batch, floating=False)
    if sample is None:
        raise StrategyError(
            "no sample input to trace the backbone with: give CloudEdgeStrategy(example_input=torch.zeros(1, ...)), or "
            f"set {type(module).__name__}.example_input_array, or a datamodule with input_shape."
        )
    rank_zero_debug(
        f"cloudedge_pl traces the backbone with the shape of the first sample, {tuple(sample.shape[1:])}"
    )
    return _zeros_like(sample), first_batches


def _zeros_like(samples: Tensor) -> Tensor:
    return torch.zeros(1, *samples.shape[1:], dtype=samples.dtype)


def _called_with(module: pl.LightningModule, declared: Any) -> Any:
    if isinstance(declared, Mapping):
        return module(**declared)
    return module(*declared) if isinstance(declared, tuple) else module(declared)


def _source(trainer: pl.Trainer) -> Any:
    """The loaders that this stage of the trainer reads, as they were given; None if there are none."""
    for loop in (trainer.fit_loop, trainer.validate_loop, trainer.test_loop, trainer.predict_loop):
        if loop._data_source.is_defined():
            return loop._data_source.dataloader()
    return None


def first_tensor(batch: Any, floating: bool) -> Tensor | None:
    """The first tensor [B, ...] of samples in a batch of tensors, sequences and mappings.

    Args:
        batch: of any nesting.
        floating: whether to look for floating-point numbers, or for indices such as the tokens of a text.
    """
    if isinstance(batch, Tensor):
        return batch if batch.is_floating_point() == floating and batch.ndim >= 2 else None
    if isinstance(batch, Mapping):
        batch = batch.values()
    if isinstance(batch, Iterable) and not isinstance(batch, str):
        for part in batch:
            found = first_tensor(part, floating)
            if found is not None:
                return found
    return None
