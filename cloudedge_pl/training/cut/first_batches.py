"""Reads the first batch of each loader before a run, so that the run does not lose it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from cloudedge_pl.lightning import pl

_NOTHING = object()


class Unread:
    """A loader whose first epoch begins with a batch that was already read.

    Data that can be read only once, such as a stream, would lose the batch otherwise. From the second epoch on this is
    the loader itself.

    Args:
        loader: the loader that was read.
        first: the batch that was read.
        rest: the iterator that returned it.
    """

    def __init__(self, loader: Any, first: Any, rest: Iterator[Any]) -> None:
        self._loader = loader
        self._unread: Iterator[Any] | None = itertools.chain([first], rest)

    def __iter__(self) -> Iterator[Any]:
        unread, self._unread = self._unread, None
        if unread is None:
            return iter(self._loader)
        if isinstance(self._loader, DataLoader):  # each iterator draws a seed for its workers
            torch.empty((), dtype=torch.int64).random_(generator=self._loader.generator)
        return unread

    def __len__(self) -> int:
        return len(self._loader)

    def __getattr__(self, name: str) -> Any:
        if name == "_loader":  # while a copy is made
            raise AttributeError(name)
        return getattr(self._loader, name)


class FirstBatches:
    """The first batches of the loaders of a run.

    Args:
        source: a loader, or sequences, mappings and combinations of loaders.

    Attributes:
        batches: the first batch of each loader, in the structure of the loaders.
    """

    def __init__(self, source: Any) -> None:
        self._unread: list[Unread | None] = []
        self.batches = self._first_batches(source)

    def _first_batches(self, source: Any) -> Any:
        source = _parts(source)
        if isinstance(source, Mapping):
            return {key: self._first_batches(part) for key, part in source.items()}
        if isinstance(source, (list, tuple)):
            return [self._first_batches(part) for part in source]
        return self._first_batch(source)

    def _first_batch(self, loader: Any) -> Any:
        self._unread.append(None)
        if is_readable_again(loader):
            return loader.collate_fn([loader.dataset[0]])
        if not isinstance(loader, Iterable):
            return None
        stateful: Any = (
            loader if hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict") else None
        )
        place = None if stateful is None else stateful.state_dict()
        rest = iter(loader)
        first = next(rest, _NOTHING)
        if stateful is not None:
            stateful.load_state_dict(place)
        elif first is not _NOTHING:
            self._unread[-1] = Unread(loader, first, rest)
        return None if first is _NOTHING else first

    def give_back(self, loader: Any) -> Any:
        """Returns what the run reads in place of its next loader; called once for each loader, in order."""
        unread = self._unread.pop(0) if self._unread else None
        return loader if unread is None else unread


def _parts(source: Any) -> Any:
    return source.iterables if isinstance(source, pl.utilities.combined_loader.CombinedLoader) else source


def loaders_of(source: Any) -> Iterator[Any]:
    """Yields the loaders in sequences, mappings and combinations of loaders."""
    source = _parts(source)
    if isinstance(source, Mapping):
        source = list(source.values())
    if isinstance(source, (list, tuple)):
        for part in source:
            yield from loaders_of(part)
    else:
        yield source


def is_loader(source: Any) -> bool:
    """Whether ``source`` is one loader rather than a combination of several."""
    return not isinstance(source, (pl.utilities.combined_loader.CombinedLoader, Mapping, list, tuple))


def is_readable_again(loader: Any) -> bool:
    """Whether a sample can be read without taking it away from the run."""
    return (
        isinstance(loader, DataLoader)
        and loader.batch_size is not None
        and loader.collate_fn is not None
        and not isinstance(loader.dataset, IterableDataset)
    )
