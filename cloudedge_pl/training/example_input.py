"""An input to trace the backbone with: what the user declared, else a sample of the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_utilities.core.rank_zero import rank_zero_debug
from pytorch_lightning.utilities.combined_loader import CombinedLoader
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from cloudedge_pl.errors import StrategyError


def example_input_of(trainer: pl.Trainer, module: pl.LightningModule) -> Tensor:
    """Returns zeros [1, ...] in the shape of one sample.

    Looked for in this order: the module's ``example_input_array``, the datamodule's ``input_shape``, the first sample
    of the trainer's data, of several loaders the first that has one. Random states are as before afterwards.

    Raises:
        StrategyError: where none of them holds a tensor [B, ...].
    """
    declared = module.example_input_array
    if isinstance(declared, Tensor):
        return torch.zeros_like(declared[:1], device="cpu")
    shape = getattr(trainer.datamodule, "input_shape", None)  # type: ignore[attr-defined]  # set by the data connector
    if shape is not None:
        return torch.zeros(1, *shape)
    with isolate_rng():
        sample = _first_sample(_first_batches(trainer))
    if sample is None:
        raise StrategyError(
            "no sample input to trace the backbone with: give CloudEdgeStrategy(example_input=torch.zeros(1, ...)), or "
            f"set {type(module).__name__}.example_input_array, or a datamodule with input_shape."
        )
    rank_zero_debug(
        f"cloudedge_pl traces the backbone with the shape of the first sample, {tuple(sample.shape[1:])}"
    )
    return torch.zeros(1, *sample.shape[1:], dtype=None if sample.is_floating_point() else sample.dtype)


def _first_sample(batches: Iterator[Any]) -> Tensor | None:
    """The first floating-point tensor [B, ...], or where there is none the first of indices."""
    indices = None
    for batch in batches:
        sample = first_tensor(batch, floating=True)
        if sample is not None:
            return sample
        indices = first_tensor(batch, floating=False) if indices is None else indices
    return indices


def _first_batches(trainer: pl.Trainer) -> Iterator[Any]:
    """The first batch of each loader that this stage of the trainer reads; made when asked for."""
    loops = (trainer.fit_loop, trainer.validate_loop, trainer.test_loop, trainer.predict_loop)
    for loop in loops:
        source = loop._data_source
        if source.is_defined():
            return map(_first_batch, _loaders(source.dataloader()))
    return iter(())


def _loaders(source: Any) -> Iterator[Any]:
    """The loaders in sequences, mappings and combinations of them."""
    if isinstance(source, CombinedLoader):
        source = source.iterables
    if isinstance(source, Mapping):
        source = list(source.values())
    if isinstance(source, (list, tuple)):
        for part in source:
            yield from _loaders(part)
    else:
        yield source


def _first_batch(loader: Any) -> Any:
    if (
        isinstance(loader, DataLoader)
        and loader.batch_size is not None
        and loader.collate_fn is not None
        and not isinstance(loader.dataset, IterableDataset)
    ):
        return loader.collate_fn([loader.dataset[0]])
    return next(iter(loader), None) if isinstance(loader, Iterable) else None


def first_tensor(batch: Any, floating: bool) -> Tensor | None:
    """The first tensor [B, ...] of samples in a batch of tensors, sequences and mappings.

    Args:
        batch: of any nesting.
        floating: look for floating-point numbers; else for indices, such as the tokens of a text.
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
