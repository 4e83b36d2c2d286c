"""What crosses a cut: tensors, which are sent, and whole numbers, which both sides know and nobody sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cloudedge_pl.errors import UntraceableBackboneError

Rebuild = Callable[[Any], Any]
"""Takes the number of samples, which may be symbolic, and returns a value that crosses."""


@dataclass(frozen=True, eq=False)
class Crossing:
    """The values that cross a cut, in the order in which the parts pass them.

    Args:
        values: for each value None if it is a tensor, else what makes it from the number of samples.
        tensors: shape without the batch dimension, and dtype, of each tensor.
        sizes: the values that are no tensors, by name: a number, or a multiple of the batch ("batch").
    """

    values: tuple[Rebuild | None, ...]
    tensors: tuple[tuple[tuple[int, ...], torch.dtype], ...]
    sizes: dict[str, int | str]

    def live(self, tensors: Sequence[Tensor]) -> tuple[Any, ...]:
        """The values that cross, from the tensors among them."""
        batch, rest = tensors[0].shape[0], iter(tensors)
        return tuple(next(rest) if rebuild is None else rebuild(batch) for rebuild in self.values)


def tensors_of(live: Sequence[Any]) -> tuple[Tensor, ...]:
    """The tensors among the values that cross a cut."""
    return tuple(value for value in live if isinstance(value, Tensor))


def find_crossing(names: Sequence[str], edge: Callable[[int], Sequence[Any]]) -> Crossing:
    """Finds out what crosses a cut, from two batches of different sizes.

    Args:
        names: of the values that cross.
        edge: runs the edge part on so many samples, and returns the values that cross.

    Raises:
        UntraceableBackboneError: if a value that is no tensor depends on more than the number of samples.
    """
    two, three = edge(2), edge(3)
    values: list[Rebuild | None] = []
    sizes: dict[str, int | str] = {}
    for name, first, second in zip(names, two, three, strict=True):
        if isinstance(first, Tensor):
            values.append(None)
        else:
            values.append(_rebuild(name, first, second, sizes))
    tensors = tuple((tuple(tensor.shape[1:]), tensor.dtype) for tensor in tensors_of(two))
    return Crossing(tuple(values), tensors, sizes)


def _rebuild(name: str, first: Any, second: Any, sizes: dict[str, int | str]) -> Rebuild:
    """What makes a value, given what it is for two and for three samples; enters its sizes."""
    if isinstance(first, (tuple, list)):
        parts = [
            _rebuild(f"{name}[{at}]", *each, sizes) for at, each in enumerate(zip(first, second, strict=True))
        ]
        return lambda batch: tuple(part(batch) for part in parts)
    if isinstance(first, int) and not isinstance(first, bool):
        factor, rest = second - first, 3 * first - 2 * second
        sizes[name] = _described(factor, rest)
        return lambda batch: factor * batch + rest if factor else rest
    if isinstance(first, Tensor) or first != second:
        raise UntraceableBackboneError(
            f"the value {name!r} that crosses the cut is a {type(first).__name__}, which cannot be sent; cut "
            "elsewhere: offloading.split_point=..."
        )
    return lambda _batch: first


def _described(factor: int, rest: int) -> int | str:
    if not factor:
        return rest
    return ("batch" if factor == 1 else f"{factor} * batch") + (f" + {rest}" if rest else "")
