"""Data sets that the tests of shards and of their loaders share."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset


class Rows(Dataset):
    """Sample n is (n, n % 3); counts what is read."""

    def __init__(self, num_samples: int = 50) -> None:
        self.num_samples = num_samples
        self.reads = 0

    def __len__(self) -> int:
        return self.num_samples

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index >= self.num_samples:
            raise IndexError
        self.reads += 1
        return torch.tensor(float(index)), index % 3


class Stream(IterableDataset):
    """No length, no rows to ask for."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(3))
