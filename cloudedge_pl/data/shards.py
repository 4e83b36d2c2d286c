"""Where the data lives: who owns which training sample.

A sharding says which node owns each sample. Shards depend on (sharding, labels, seed) and on nothing else: no
global generator is drawn from. Batches of them are in :mod:`~cloudedge_pl.data.sharded_loading`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from operator import index
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from cloudedge_pl.data.loading import PictureDataset
from cloudedge_pl.errors import DataError, lookup, require_positive, require_range
from cloudedge_pl.files import written_whole

LABEL_ATTRIBUTES = ("targets", "labels", "y")
"""Where data sets keep the labels of all samples, in the order in which they are looked for."""

_OWNERS = 1_000_001  # so that shards, orders and augmentation draw from streams of their own


@dataclass(frozen=True, eq=False)
class Shards:
    """Who owns each training sample.

    Args:
        node: int64 [num_samples], the node that owns each sample; kept as a copy that cannot be written to.
        num_nodes: nodes there are; a node may own nothing.
        by: the name of the sharding that drew this, a key of :data:`SHARDINGS`; "given" if none did.
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
        labels = _checked_labels(labels, len(self.node))
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


class Sharding(Protocol):
    """Draws an owner for each sample; a frozen dataclass whose fields are its options."""

    needs_labels: ClassVar[bool]

    def owners(self, labels: np.ndarray, num_nodes: int, rng: np.random.Generator) -> np.ndarray:
        """Returns the owner of each sample.

        Args:
            labels: int64 [num_samples]; only their number counts where none are needed.
            num_nodes: at most num_samples.
            rng: decides every draw.

        Returns:
            int64 [num_samples], in 0..num_nodes - 1.
        """
        ...


@dataclass(frozen=True)
class IID:
    """Deals the shuffled samples out in turn: sizes differ by at most one."""

    needs_labels: ClassVar[bool] = False

    def owners(self, labels: np.ndarray, num_nodes: int, rng: np.random.Generator) -> np.ndarray:
        return rng.permutation(np.arange(len(labels)) % num_nodes)


@dataclass(frozen=True)
class Dirichlet:
    """Splits each class over the nodes in proportions drawn from a symmetric Dirichlet distribution.

    Sources: Hsu 2019 (arXiv:1909.06335) for the distribution; Li 2021 (arXiv:2102.02079, Sec. IV-B) for
    drawing it over the nodes, class by class, and drawing again where a node gets too little.

    Args:
        alpha: concentration; 0.1 leaves most nodes a few classes, 100 is nearly IID.
        min_size: samples that each node owns at least.
        max_tries: draws until then.
    """

    alpha: float = 0.5
    min_size: int = 1
    max_tries: int = 100

    needs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive("Dirichlet shards", alpha=self.alpha, max_tries=self.max_tries)
        require_range("Dirichlet shards", 0, float("inf"), min_size=self.min_size)

    def owners(self, labels: np.ndarray, num_nodes: int, rng: np.random.Generator) -> np.ndarray:
        """As of :class:`Sharding`.

        Raises:
            ValueError: if no draw gives every node ``min_size`` samples.
        """
        if self.min_size * num_nodes > len(labels):
            raise ValueError(
                f"Dirichlet shards: {num_nodes} nodes of at least {self.min_size} samples need "
                f"{self.min_size * num_nodes}, and there are {len(labels)}; lower min_size to "
                f"{len(labels) // num_nodes} or less, or take fewer nodes."
            )
        smallest = 0
        for _ in range(self.max_tries):
            node = _dirichlet_owners(labels, num_nodes, self.alpha, rng)
            smallest = max(smallest, int(np.bincount(node, minlength=num_nodes).min()))
            if smallest >= self.min_size:
                return node
        raise ValueError(
            f"Dirichlet shards: in {self.max_tries} draws with alpha {self.alpha:g}, the smallest of {num_nodes} "
            f"nodes got at most {smallest} samples, and min_size asks for {self.min_size}; take a larger alpha, "
            "a smaller min_size, fewer nodes or a larger max_tries."
        )


@dataclass(frozen=True)
class ByClass:
    """Gives each node samples of at most ``classes_per_node`` classes, in parts of nearly equal size.

    The pathological split of McMahan 2017 (arXiv:1602.05629, Sec. 3), with parts that never span two classes:
    a class is cut into as many parts as bring the parts of all classes closest in size.

    Args:
        classes_per_node: at most.
    """

    classes_per_node: int = 2

    needs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive("shards by class", classes_per_node=self.classes_per_node)

    def owners(self, labels: np.ndarray, num_nodes: int, rng: np.random.Generator) -> np.ndarray:
        """As of :class:`Sharding`.

        Raises:
            ValueError: if there are more classes than the nodes may hold together.
        """
        names, class_sizes = np.unique(labels, return_counts=True)
        slots = num_nodes * self.classes_per_node
        if slots < len(names):
            raise ValueError(
                f"shards by class: {num_nodes} nodes of at most {self.classes_per_node} classes hold "
                f"{slots}, and there are {len(names)}; raise classes_per_node to "
                f"{-(-len(names) // num_nodes)} or more, or take more nodes."
            )
        node = np.empty(len(labels), dtype=np.int64)
        parts = _parts_per_class(class_sizes, num_nodes, slots)
        left = np.full(num_nodes, self.classes_per_node)
        for name in rng.permutation(len(names)):
            # Those with most room first: room then never differs by more than one, and no class finds too little.
            holders = np.lexsort((rng.random(num_nodes), -left))[: parts[name]]
            left[holders] -= 1
            members = rng.permutation(np.flatnonzero(labels == names[name]))
            node[members] = holders[np.arange(len(members)) % len(holders)]
        return node


SHARDINGS: dict[str, type[Sharding]] = {"iid": IID, "dirichlet": Dirichlet, "class": ByClass}


def make_shards(
    by: str,
    num_nodes: int,
    *,
    num_samples: int | None = None,
    labels: np.ndarray | None = None,
    seed: int = 0,
    **options: Any,
) -> Shards:
    """Draws who owns each sample; the same arguments give the same shards.

    Args:
        by: a key of :data:`SHARDINGS`.
        num_nodes: at most as many as there are samples.
        num_samples: needed where there are no labels.
        labels: int [num_samples]; IID needs none.
        seed: of the draw.
        **options: of the sharding: its fields.

    Raises:
        ValueError: on an unknown name or option, a value out of range, or a split that cannot be had.
    """
    require_positive("shards", num_nodes=num_nodes)
    require_range("shards", 0, float("inf"), seed=seed)
    kind = lookup(SHARDINGS, by, "sharding")
    known = {entry.name for entry in fields(kind)}  # type: ignore[arg-type] # every sharding is a dataclass
    if unknown := sorted(options.keys() - known):
        raise ValueError(f"shards: {by!r} has no option {unknown[0]!r}. There are: {sorted(known)}.")
    sharding = kind(**options)
    if labels is not None:
        labels = _checked_labels(labels, num_samples)
    elif kind.needs_labels or num_samples is None:
        raise ValueError(
            f"shards: {by!r} needs {'labels' if kind.needs_labels else 'num_samples or labels'}."
        )
    else:
        labels = np.zeros(num_samples, dtype=np.int64)
    if len(labels) < num_nodes:
        raise ValueError(
            f"shards: {len(labels)} samples do not go round {num_nodes} nodes; "
            f"lower num_nodes to {len(labels)} or less."
        )
    node = sharding.owners(labels, num_nodes, np.random.default_rng([seed, _OWNERS]))
    return Shards(node, num_nodes, by, seed, asdict(sharding))  # type: ignore[call-overload] # as above


def shard_dataset(dataset: Dataset[Any], by: str, num_nodes: int, *, seed: int = 0, **options: Any) -> Shards:
    """Draws who owns each sample of a map-style data set; reads its labels only where they are needed.

    Args, Raises: as of :func:`make_shards` and :func:`labels_of`.
    """
    if not lookup(SHARDINGS, by, "sharding").needs_labels:
        return make_shards(by, num_nodes, num_samples=num_samples_of(dataset), seed=seed, **options)
    return make_shards(by, num_nodes, labels=labels_of(dataset), seed=seed, **options)


def labels_of(dataset: Dataset[Any]) -> np.ndarray:
    """Returns the label of each sample: int64 [num_samples].

    Labels that are kept together are taken from there, and no picture is decoded: those of our own data sets,
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
    if isinstance(dataset, PictureDataset):
        return dataset.pictures.labels.numpy()
    if isinstance(dataset, TensorDataset):
        return _checked_labels(dataset.tensors[-1], num_samples)
    transform = getattr(dataset, "target_transform", None)
    for name in LABEL_ATTRIBUTES:
        labels = getattr(dataset, name, None)
        if labels is None:
            continue
        try:
            labels = _checked_labels(labels, num_samples)
            return (
                labels
                if transform is None
                else _checked_labels([index(transform(int(label))) for label in labels])
            )
        except (DataError, TypeError):
            continue  # the attribute means something else; the samples themselves decide
    try:
        return _checked_labels([index(dataset[row][1]) for row in range(num_samples)])
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


def _dirichlet_owners(
    labels: np.ndarray, num_nodes: int, alpha: float, rng: np.random.Generator
) -> np.ndarray:
    node = np.empty(len(labels), dtype=np.int64)
    for name in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == name))
        ends = np.cumsum(rng.dirichlet(np.full(num_nodes, alpha)))
        middles = (np.arange(len(members)) + 0.5) / len(members)
        node[members] = np.searchsorted(ends[:-1], middles)
    return node


def _parts_per_class(class_sizes: np.ndarray, num_nodes: int, slots: int) -> np.ndarray:
    """Into how many parts each class is cut, at most ``slots`` together: int64 [num_classes].

    One each, then one at a time to the class of the largest parts (D'Hondt's rule). No class gets more parts
    than it has samples or than there are nodes, so that no part is empty and no node holds two of a class.
    """
    parts = np.ones_like(class_sizes)
    limit = np.minimum(class_sizes, num_nodes)
    for _ in range(slots - len(parts)):
        part_sizes = np.where(parts < limit, class_sizes / parts, 0.0)
        largest = int(part_sizes.argmax())
        if part_sizes[largest] == 0:
            break
        parts[largest] += 1
    return parts


def _checked_labels(labels: Any, num_samples: int | None = None) -> np.ndarray:
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
