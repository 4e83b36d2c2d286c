"""Who owns each training sample, as an object that counts and that is saved to and loaded from a file.

Shards are drawn in :mod:`~cloudedge_pl.data.sharding`; batches of them are in
:mod:`~cloudedge_pl.data.sharded_loading`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cloudedge_pl.data.labels import checked_labels
from cloudedge_pl.errors import DataError, require_positive, require_range
from cloudedge_pl.files import written_whole


@dataclass(frozen=True, eq=False)
class Shards:
    """Who owns each training sample.

    Args:
        node: int64 [num_samples], the node that owns each sample; kept as a copy that cannot be written to.
        num_nodes: nodes there are; a node may own nothing.
        by: the sharding that drew this, a key of :data:`~cloudedge_pl.data.sharding.SHARDINGS`; "given" if none did.
        seed: of that draw.
        options: of that sharding, such as ``alpha``.

    Raises:
        ValueError: on an owner that is not there.
    """

    node: np.ndarray
    num_nodes: int
    by: str = "given"
    seed: int = 0
    options: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_positive("shards", num_nodes=self.num_nodes)
        require_range("shards", 0, float("inf"), seed=self.seed)
        node = np.array(self.node)
        if node.ndim != 1 or not len(node) or node.dtype.kind not in "iu":
            raise ValueError(
                f"shards: node is {node.dtype} of shape {node.shape}; "
                "it must hold one whole number for each sample."
            )
        require_range(
            "shards", 0, self.num_nodes - 1, lowest_node=int(node.min()), highest_node=int(node.max())
        )
        node = node.astype(np.int64)
        node.flags.writeable = False
        object.__setattr__(self, "node", node)

    @property
    def sizes(self) -> np.ndarray:
        """Samples that each node owns: int64 [num_nodes]."""
        return np.bincount(self.node, minlength=self.num_nodes)

    def class_counts(self, labels: np.ndarray, num_classes: int | None = None) -> np.ndarray:
        """Counts the samples of each class on each node.

        Args:
            labels: int [num_samples].
            num_classes: None takes the highest label plus one.

        Returns:
            int64 [num_nodes, num_classes].

        Raises:
            ValueError: if the labels are not one for each sample in 0..num_classes - 1.
        """
        labels = checked_labels(labels, len(self.node))
        highest = int(labels.max())
        num_classes = highest + 1 if num_classes is None else num_classes
        require_range("shards", 0, num_classes - 1, highest_label=highest)
        cells = np.bincount(self.node * num_classes + labels, minlength=self.num_nodes * num_classes)
        return cells.reshape(self.num_nodes, num_classes)

    def save(self, path: str | Path) -> Path:
        """Writes one JSON object that holds every field by its name; makes the folder; returns the path."""
        path = Path(path)
        content = {
            "by": self.by,
            "seed": self.seed,
            "options": dict(self.options),
            "num_nodes": self.num_nodes,
            "node": self.node.tolist(),
        }
        with written_whole(path) as part:
            part.write_text(json.dumps(content) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Shards:
        """Reads what :meth:`save` wrote.

        Raises:
            DataError: if the file holds no shards.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(**content)
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path} holds no shards ({error}). Draw them anew and save them there."
            ) from error
