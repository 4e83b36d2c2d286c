"""What a checkpoint needs beyond Lightning's, for a resumed run to equal one that was not stopped."""

from __future__ import annotations

import pickle
import random
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.lightning import pl

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
    except (FileNotFoundError, IsADirectoryError, CheckpointError):
        raise
    except pickle.UnpicklingError as e:
        if "weights_only" not in str(e):
            raise _unreadable(checkpoint_path, e) from e
        raise CheckpointError(
            f"the checkpoint {checkpoint_path} holds objects that are not loaded from just any file; if "
            f"you trust it, give weights_only=False to fit, validate, test or predict. ({_shorten(str(e))})"
        ) from e
    except (
        RuntimeError,
        EOFError,
        LookupError,
        NotImplementedError,
        UnicodeError,
        ValueError,
        OSError,
        zipfile.BadZipFile,
    ) as e:
        raise _unreadable(checkpoint_path, e) from e


def _unreadable(checkpoint_path: Any, error: Exception) -> CheckpointError:
    reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'empty'}"
    return CheckpointError(
        f"the checkpoint {checkpoint_path} cannot be read; it is corrupt, truncated or no checkpoint ({reason}). Take "
        "another one of the run."
    )


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


def without(own: Sequence[Tensor], optimizer: Optimizer) -> dict[str, Any]:
    """``optimizer.state_dict()`` as if it did not step the parameters ``own``."""
    state, hidden = optimizer.state_dict(), {id(parameter) for parameter in own}
    entries: dict[int, Any] = {}
    groups, number = [], 0
    for packed, group in zip(state["param_groups"], optimizer.param_groups, strict=True):
        shown = [
            index for index, p in zip(packed["params"], group["params"], strict=True) if id(p) not in hidden
        ]
        renumbered = {index: number + at for at, index in enumerate(shown)}
        number += len(shown)
        entries |= {new: state["state"][old] for old, new in renumbered.items() if old in state["state"]}
        groups.append({**packed, "params": list(renumbered.values())})
    return {**state, "state": entries, "param_groups": groups}


def including(
    own: Sequence[Tensor], states: Sequence[Any], state: dict[str, Any], optimizer: Optimizer
) -> dict[str, Any]:
    """The inverse of :func:`without`.

    Args:
        own: parameters that ``state`` does not know.
        states: what the optimizer keeps for each of them; empty where nothing is known.
        state: of the others.
        optimizer: that is to load it all.
    """
    kept = dict(zip(map(id, own), states, strict=False))
    hidden = {id(parameter) for parameter in own}
    entries: dict[int, Any] = {}
    groups, number = [], 0
    for packed, group in zip(state["param_groups"], optimizer.param_groups, strict=False):
        theirs, indices = iter(packed["params"]), []
        for parameter in group["params"]:
            entry = (
                kept.get(id(parameter)) if id(parameter) in hidden else state["state"].get(next(theirs, None))
            )
            if entry:
                entries[number] = entry
            indices.append(number)
            number += 1
        indices += [number + at for at, _ in enumerate(theirs)]  # too many: the optimizer says so
        groups.append({**packed, "params": indices})
    return {**state, "state": entries, "param_groups": groups}


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
