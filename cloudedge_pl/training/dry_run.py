"""What reaches the backbone in a step: the module's own step, run up to there once, before anything is planned."""

from __future__ import annotations

import copy
import inspect
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_debug
from torch import Tensor, nn

from cloudedge_pl.lightning import pl
from cloudedge_pl.training.replay import Rewind, unobserved

_STEPS = {
    pl.trainer.states.TrainerFn.FITTING: "training_step",
    pl.trainer.states.TrainerFn.VALIDATING: "validation_step",
    pl.trainer.states.TrainerFn.TESTING: "test_step",
    pl.trainer.states.TrainerFn.PREDICTING: "predict_step",
}


class _Reached(BaseException):
    """Ends a dry run; not an Exception, which the module's own code might catch."""


def reaching_in_step(
    trainer: pl.Trainer,
    module: pl.LightningModule,
    backbone: nn.Module,
    batch: Any,
    precision: pl.plugins.Precision,
) -> Tensor | None:
    """The tensor that a step of ``module`` gives its backbone, for a batch as a loader gives it.

    What comes before the step, the batch's transfer with its hooks and the precision's conversion, runs too, on the
    device where the module is. See :func:`reaching` for what is put back.
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
    """The first tensor that ``run`` gives the backbone, where it stops; None where it fails or gives none.

    Random states, logs, metrics, buffers and the module's attributes are as before afterwards.
    """
    caught: list[Tensor] = []

    def stop(*args: Any, **kwargs: Any) -> None:
        caught.extend(value.detach() for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        raise _Reached

    rewind = Rewind(module, nn.Module(), module.device)
    loggers = trainer.loggers
    with pl.utilities.seed.isolate_rng(), _attributes_kept(module), unobserved(module, nn.Module()):
        before = backbone.__dict__.get("forward")
        backbone.__dict__["forward"] = stop
        trainer.loggers = [pl.loggers.logger.DummyLogger() for _ in loggers]
        try:
            run()
        except _Reached:
            pass
        except Exception as error:
            rank_zero_debug(f"cloudedge_pl: the step fails before it reaches the backbone ({error!r})")
        finally:
            trainer.loggers = loggers
            del backbone.__dict__["forward"]
            if before is not None:
                backbone.__dict__["forward"] = before
            rewind.back()
    return caught[0] if caught else None


@contextmanager
def _attributes_kept(module: nn.Module) -> Iterator[None]:
    """Afterwards every module has the attributes, and its lists, mappings and sets the items, that it had before."""
    attributes = [(vars(each), dict(vars(each))) for each in module.modules()]
    containers = [
        (value, value.copy())
        for _, before in attributes
        for value in before.values()
        if isinstance(value, (list, dict, set, deque))
    ]
    try:
        yield
    finally:
        for now, before in attributes:
            now.clear()
            now.update(before)
        for container, items in containers:
            container.clear()
            if isinstance(container, (dict, set)):
                container.update(items)
            else:
                container.extend(items)
