"""Runs the module's own step up to the backbone once, before the plan, to see which tensor reaches it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_debug
from torch import Tensor, nn

from cloudedge_pl.lightning import pl
from cloudedge_pl.partition.standing_in import replaced
from cloudedge_pl.training.cut.replay import Rewind, Undo, unobserved

_STEPS = {
    pl.trainer.states.TrainerFn.FITTING: "training_step",
    pl.trainer.states.TrainerFn.VALIDATING: "validation_step",
    pl.trainer.states.TrainerFn.TESTING: "test_step",
    pl.trainer.states.TrainerFn.PREDICTING: "predict_step",
}


class _Reached(BaseException):
    """Ends a dry run. It is not an Exception, because the module's own code might catch that."""


def reaching_in_step(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    backbone: nn.Module,
    batch: Any,
    precision: pl.plugins.Precision,
) -> Tensor | None:
    """Returns the tensor that a step of ``module`` passes to its backbone, for a batch as a loader returns it.

    The batch's transfer, with its hooks, and the precision's conversion run as well, on the module's device. See
    :func:`reaching` for what is restored.
    """
    step = getattr(module, _STEPS.get(trainer.state.fn, "training_step"))  # type: ignore[arg-type]  # None outside runs

    def run() -> None:
        given = module._apply_batch_transfer_handler(copy.deepcopy(batch), device=module.device)
        given = precision.convert_input(given)
        numbers = {"batch_idx": 0, "dataloader_idx": 0}
        with precision.forward_context():
            step(given, **{name: 0 for name in inspect.signature(step).parameters if name in numbers})

    return reaching(trainer, module, backbone, run)


def reaching(
    trainer: pl.Trainer, module: pl.LightningModule, backbone: nn.Module, run: Callable[[], Any]
) -> Tensor | None:
    """Runs ``run`` until it calls the backbone, and returns the first tensor it passes; None if it fails before.

    Random states, logs, metrics, parameters, buffers and attributes of the module, and attributes of the datamodule,
    are restored.
    """
    caught: list[Tensor] = []

    def stop(*args: Any, **kwargs: Any) -> None:
        caught.extend(value.detach() for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        raise _Reached

    nothing = nn.Module()
    rewind = Rewind(module, nothing, module.device)
    undo = Undo(module, nothing, copies="all", also=trainer.datamodule)  # type: ignore[attr-defined]  # set by a connector
    try:
        with unobserved(module, nothing), replaced([(backbone, "forward", stop)]):
            run()
    except _Reached:
        pass
    except Exception as error:
        rank_zero_debug(f"cloudedge_pl: the step fails before it reaches the backbone ({error!r})")
    finally:
        undo.restore()
        rewind.restore()
    return caught[0] if caught else None
