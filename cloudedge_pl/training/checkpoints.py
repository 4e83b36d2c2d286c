"""What a checkpoint needs beyond Lightning's, for a resumed run to equal one that was not stopped."""

from __future__ import annotations

import pickle
import random
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from cloudedge_pl.errors import CheckpointError

CHECKPOINT_KEY = "cloudedge"
"""Where a checkpoint holds the strategy's own state."""


@dataclass(frozen=True)
class RandomState:
    """Every global random state that a training step may draw from."""

    python: Any
    numpy: Any
    torch_cpu: Tensor
    torch_cuda: Tensor | None

    @classmethod
    def capture(cls, device: torch.device) -> RandomState:
        """Reads the states; no device is waited for."""
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        legacy = np.random.get_state()  # noqa: NPY002  # users' augmentations draw from it
        return cls(random.getstate(), legacy, torch.get_rng_state(), cuda)

    def restore(self, device: torch.device) -> None:
        """Sets the states back."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002  # likewise
        torch.set_rng_state(self.torch_cpu)
        if self.torch_cuda is not None:
            torch.cuda.set_rng_state(self.torch_cuda, device)

    def state_dict(self) -> dict[str, Any]:
        """The states as tensors and plain containers, which ``torch.load(weights_only=True)`` reads."""
        name, keys, *rest = self.numpy
        version, words, gauss = self.python
        return {
            "python": [version, list(words), gauss],
            "numpy": [name, keys.tolist(), *rest],
            "torch_cpu": self.torch_cpu,
            "torch_cuda": self.torch_cuda,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> RandomState:
        """The states that :meth:`state_dict` gave."""
        version, words, gauss = state["python"]
        name, keys, *rest = state["numpy"]
        return cls(
            (version, tuple(words), gauss),
            (name, np.array(keys, dtype=np.uint32), *rest),
            state["torch_cpu"].cpu(),
            None if state["torch_cuda"] is None else state["torch_cuda"].cpu(),
        )


@contextmanager
def reading(checkpoint_path: Any) -> Iterator[None]:
    """Says of a file that is no checkpoint, or no whole one, that it is none."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (
        RuntimeError,
        EOFError,
        KeyError,
        ValueError,
        OSError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as e:
        raise CheckpointError(
            f"the checkpoint {checkpoint_path} cannot be read; it is corrupt, truncated or no checkpoint "
            f"({type(e).__name__}: {str(e).splitlines()[0] if str(e) else 'empty'}). Take another one of the run."
        ) from e


@contextmanager
def loading_into(module: pl.LightningModule | None) -> Iterator[None]:
    """Says of weights that do not fit the module where they come from."""
    try:
        yield
    except RuntimeError as e:
        raise CheckpointError(
            f"the checkpoint does not fit {type(module).__name__}: it is of another backbone or number of classes. Use "
            f"the model that it was trained with. ({_shorten(str(e))})"
        ) from e


def validation_is_set_up(trainer: pl.Trainer) -> bool:
    """Whether the run has looked at its validation data, which draws a random number the first time."""
    return trainer.fit_loop.epoch_loop.val_loop._combined_loader is not None


def go_on(trainer: pl.Trainer, validated: bool, random_state: RandomState, device: torch.device) -> None:
    """Mends, at the start of a resumed training, what Lightning 2.6 leaves open.

    Args:
        trainer: that resumes.
        validated: whether the run that wrote the checkpoint had looked at its validation data.
        random_state: as it was when the checkpoint was written.
        device: of the run.
    """
    loop = trainer.fit_loop
    fetcher = loop._data_fetcher
    assert fetcher is not None, "training starts"
    # A module that asked for trainer.estimated_stepping_batches has set the loaders up before their state was read.
    if loop.restarting and loop._combined_loader_states_to_load:
        loop._load_combined_loader_states()
        iter(fetcher)
    # The first look at the validation data draws a random number: before the checkpoint then, after it now.
    if validated and not validation_is_set_up(trainer):
        trainer.validating = True
        loop.epoch_loop.val_loop.setup_data()
        trainer.training = True
    random_state.restore(device)
    # A new epoch shuffles from the random state that the checkpoint holds, not from the one before it was read.
    if not loop.restarting:
        iter(fetcher)


def _shorten(message: str, length: int = 300) -> str:
    words = " ".join(message.split())
    return words if len(words) <= length else words[: length - 1] + "…"
