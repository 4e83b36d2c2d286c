"""The labels of any map-style data set, taken from where it keeps them together or read sample by sample."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from cloudedge_pl.data.loading import ImageDataset
from cloudedge_pl.errors import DataError

LABEL_ATTRIBUTES = ("targets", "labels", "y")
"""Attributes in which data sets keep the labels of all samples, in the order in which they are tried."""


def labels_of(dataset: Dataset[Any]) -> np.ndarray:
    """Returns the label of each sample: int64 [num_samples].

    Labels that are kept together are taken from there, and no image is decoded: those of our own data sets,
    of ``TensorDataset`` (its last tensor), of ``Subset`` and ``ConcatDataset`` (of what they hold), and of any
    data set with an attribute in :data:`LABEL_ATTRIBUTES`. Otherwise the whole data set is read once.

    Raises:
        DataError: if there is no whole number for each sample.
    """
    if isinstance(dataset, Subset):
        return labels_of(dataset.dataset)[np.asarray(dataset.indices, dtype=np.int64)]
    if isinstance(dataset, ConcatDataset):
        return np.concatenate([labels_of(part) for part in dataset.datasets])
    num_samples = num_samples_of(dataset)
    if isinstance(dataset, ImageDataset):
        return dataset.images.labels.numpy()
    if isinstance(dataset, TensorDataset):
        return checked_labels(dataset.tensors[-1], num_samples)
    transform = getattr(dataset, "target_transform", None)
    for name in LABEL_ATTRIBUTES:
        labels = getattr(dataset, name, None)
        if labels is None:
            continue
        try:
            labels = checked_labels(labels, num_samples)
            return (
                labels
                if transform is None
                else checked_labels([index(transform(int(label))) for label in labels])
            )
        except (DataError, TypeError):
            continue  # the attribute means something else; the samples themselves decide
    try:
        return checked_labels([index(dataset[row][1]) for row in range(num_samples)])
    except (TypeError, ValueError, LookupError) as error:
        raise DataError(
            f"{type(dataset).__name__} has no labels: none of its attributes {', '.join(LABEL_ATTRIBUTES)} holds "
            "a whole number for each sample, nor is the second entry of each sample one. Set `targets` on it, "
            'or shard by "iid", which needs none.'
        ) from error


def num_samples_of(dataset: Dataset[Any]) -> int:
    """Returns the length of a data set.

    Raises:
        DataError: if it has none.
    """
    try:
        return len(dataset)  # type: ignore[arg-type] # whether it has a length is what is asked
    except (TypeError, NotImplementedError) as error:
        raise DataError(
            f"{type(dataset).__name__} has no length. Use a map-style data set, with __getitem__ and __len__."
        ) from error


def checked_labels(labels: Any, num_samples: int | None = None) -> np.ndarray:
    """Returns ``labels`` as int64 [num_samples].

    Raises:
        DataError: if they are not one whole number, 0 or above, for each sample.
    """
    try:
        found = np.asarray(labels)
    except (TypeError, ValueError) as error:
        raise DataError(f"labels cannot be read ({error}).") from error
    right_kind = found.ndim == 1 and len(found) > 0 and found.dtype.kind in "iub"
    if not right_kind or found.min() < 0 or num_samples not in (None, len(found)):
        wanted = "" if num_samples is None else f" {num_samples}"
        raise DataError(
            f"labels are {found.dtype} of shape {found.shape}; they must be{wanted} whole numbers, 0 or above, "
            "one for each sample."
        )
    return found.astype(np.int64)
