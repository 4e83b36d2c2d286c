"""What both paths answer to each sample of a test, as a table: to be summarised, or replayed by a simulator."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from cloudedge_pl.errors import DataError

_KINDS = {
    "sample": "i8",
    "label": "i8",
    "exit_class": "i8",
    "exit_score": "f8",
    "cloud_class": "i8",
    "path": "i1",
}
PATHS = ("cloud", "exit_asleep", "early_exit", "audited")
"""Who answered: the cloud; the exit head while the cloud slept; the exit head of a sure sample; the cloud for audit."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcomes:
    """Columns [num_samples], in the order of the test.

    Args:
        sample: number of the sample in the test, from 0.
        label: true class; -1 if it is not known.
        exit_class: class that the exit head gives.
        exit_score: how sure the exit head is, in [0, 1].
        cloud_class: class that the whole network gives.
        path: index in :data:`PATHS` of who answered in the test.

    Raises:
        DataError: if the columns differ in length.
    """

    sample: np.ndarray
    label: np.ndarray
    exit_class: np.ndarray
    exit_score: np.ndarray
    cloud_class: np.ndarray
    path: np.ndarray

    def __post_init__(self) -> None:
        lengths = {}
        for name, kind in _KINDS.items():
            column = np.asarray(getattr(self, name)).astype(kind)
            object.__setattr__(self, name, column)
            lengths[name] = column.shape
        if len(set(lengths.values())) > 1 or len(self.sample.shape) != 1:
            raise DataError(f"outcomes: columns have the shapes {lengths}; give columns of one length.")

    def __len__(self) -> int:
        return len(self.sample)

    @classmethod
    def concatenate(cls, parts: list[Outcomes]) -> Outcomes:
        """The rows of all parts, in order; none for no parts."""
        columns = {
            name: np.concatenate([np.zeros(0, kind), *(getattr(part, name) for part in parts)])
            for name, kind in _KINDS.items()
        }
        return cls(**columns)

    def exits(self, threshold: float) -> np.ndarray:
        """[n] bool: whether each sample passes a threshold."""
        return self.exit_score > threshold

    def accuracy_by_path(self) -> dict[str, dict[str, Any]]:
        """Samples, share and accuracy of every path; the accuracy is None without labelled samples."""
        exit_answers = (self.path == PATHS.index("exit_asleep")) | (self.path == PATHS.index("early_exit"))
        right = np.where(exit_answers, self.exit_class, self.cloud_class) == self.label
        found: dict[str, dict[str, Any]] = {}
        for number, name in enumerate(PATHS):
            on_path = self.path == number
            labelled = on_path & (self.label >= 0)
            found[name] = {
                "samples": int(on_path.sum()),
                "share": float(on_path.mean()) if len(self) else 0.0,
                "accuracy": float(right[labelled].mean()) if labelled.any() else None,
            }
        return found

    def save(self, path: Path) -> None:
        """Writes an .npz file."""
        with path.open("wb") as file:  # np.savez appends .npz to a path
            np.savez_compressed(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Outcomes:
        """Reads what :meth:`save` wrote.

        Raises:
            DataError: if a column is missing or the file is no .npz file.
        """
        try:
            with np.load(path, allow_pickle=False) as columns:
                return cls(**{name: columns[name] for name in _KINDS})
        except (OSError, KeyError, ValueError) as error:
            raise DataError(
                f"{path} holds no outcomes of a test ({error}); a test of `cloudedge train` writes outcomes.npz."
            ) from error
