"""The global random states that a training step may draw from, captured and restored together."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class RandomState:
    """Every global random state that a training step may draw from."""

    python: Any
    numpy: Any
    torch_cpu: Tensor
    torch_cuda: Tensor | None

    @classmethod
    def capture(cls, device: torch.device) -> RandomState:
        """Reads the global states, without waiting for the device."""
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        legacy = np.random.get_state()  # noqa: NPY002  # users' augmentations draw from it
        return cls(random.getstate(), legacy, torch.get_rng_state(), cuda)

    def restore(self, device: torch.device) -> None:
        """Sets the global states to these."""
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
        """Returns the states that :meth:`state_dict` returned."""
        version, words, gauss = state["python"]
        name, keys, *rest = state["numpy"]
        return cls(
            (version, tuple(words), gauss),
            (name, np.array(keys, dtype=np.uint32), *rest),
            state["torch_cpu"].cpu(),
            None if state["torch_cuda"] is None else state["torch_cuda"].cpu(),
        )
