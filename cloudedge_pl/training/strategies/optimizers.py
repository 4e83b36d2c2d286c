"""The user's optimizers: how exit head and codec join them, and which optimizers and callbacks cannot work, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from cloudedge_pl.errors import StrategyError
from cloudedge_pl.lightning import pl


def refuse_optimizers(optimizers: Sequence[Optimizer], own: Sequence[nn.Parameter]) -> None:
    """Raises StrategyError if an optimizer cannot train a cut network.

    Args:
        optimizers: the user's.
        own: parameters of exit head and codec, which are to join them.
    """
    if any(isinstance(optimizer, torch.optim.LBFGS) for optimizer in optimizers):
        raise StrategyError(
            "LBFGS evaluates its closure several times a step, and every evaluation would be another window of tasks; "
            "take another optimizer."
        )
    muon = getattr(torch.optim, "Muon", ())  # since torch 2.9
    if any(isinstance(optimizer, muon) for optimizer in optimizers):
        odd = sorted({parameter.ndim for parameter in own} - {2})
        if odd:
            raise StrategyError(
                f"Muon steps matrices (2-d parameters) alone, and exit head and codec have parameters of {odd} "
                "dimensions, which join your optimizer; take another optimizer, such as AdamW."
            )


def add_parameters(optimizers: Sequence[Optimizer], own: Sequence[nn.Parameter], name: str) -> None:
    """Adds parameters to the largest parameter group of the optimizers, unless they are in it.

    Args:
        optimizers: the user's.
        own: parameters of exit head and codec.
        name: prefix of their names, in groups that name parameters.
    """
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    if not groups:
        return
    largest = max(groups, key=lambda group: sum(parameter.numel() for parameter in group["params"]))
    known = {id(parameter) for parameter in largest["params"]}
    added = [parameter for parameter in own if id(parameter) not in known]
    largest["params"].extend(added)
    if "param_names" in largest:
        largest["param_names"].extend(f"{name}.{at}" for at, _ in enumerate(added))


def states_of(optimizers: Sequence[Optimizer], own: Sequence[nn.Parameter]) -> list[dict[str, Any]]:
    """What the optimizers keep for each of the parameters ``own``; empty where nothing is kept."""
    kept = [optimizer.state for optimizer in optimizers]
    return [next((dict(state[each]) for state in kept if each in state), {}) for each in own]


def refuse_callbacks(
    callbacks: Iterable[pl.Callback], has_own_parameters: bool, weights_differ: bool
) -> None:
    """Raises StrategyError if a callback of Lightning cannot work on a cut network.

    Args:
        callbacks: the trainer's.
        has_own_parameters: whether exit head or codec join the optimizer.
        weights_differ: whether nodes train their own weights between two aggregations.
    """
    averaging = (pl.callbacks.StochasticWeightAveraging, pl.callbacks.WeightAveraging)
    for callback in callbacks:
        name = type(callback).__name__
        if isinstance(callback, pl.callbacks.BaseFinetuning) and has_own_parameters:
            raise StrategyError(
                f"{name} wants every parameter of the optimizer to be the module's, and the exit head's are not. "
                "Freeze and unfreeze in on_train_epoch_start with requires_grad_ instead."
            )
        if isinstance(callback, averaging) and weights_differ:
            raise StrategyError(
                f"{name} averages the module's weights, which between two aggregations are not those that train; use "
                "WeightedAggregation(every_n_steps=1), or leave it out."
            )


def learning_rate_of(optimizers: Sequence[Optimizer]) -> float:
    """The learning rate of the first parameter group; 0 without optimizer."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    return float(groups[0]["lr"]) if groups else 0.0


def training_ends(trainer: pl.Trainer) -> bool:
    """Whether the optimizer step that has just run, and is not counted yet, is known to be the last of the training."""
    by_steps = trainer.max_steps != -1 and trainer.global_step + 1 >= trainer.max_steps
    epochs = trainer.max_epochs
    by_epochs = epochs not in (None, -1) and trainer.current_epoch + 1 == epochs and trainer.is_last_batch
    return by_steps or by_epochs
