"""Drawing shards: which node owns which training sample.

Shards depend on the sharding, the labels and the seed only: no global random generator is used. To add a sharding,
write a frozen dataclass with an ``owners`` method and enter it in :data:`SHARDINGS`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol

import numpy as np
from torch.utils.data import Dataset

from cloudedge_pl.data.labels import checked_labels, labels_of, num_samples_of
from cloudedge_pl.data.shards import Shards
from cloudedge_pl.errors import lookup, require_positive, require_range

_OWNERS = 1_000_001  # random stream of the owners, apart from those of orders and augmentation


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
        classes_per_node: at most; no more than there are classes.
    """

    classes_per_node: int = 2

    needs_labels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive("shards by class", classes_per_node=self.classes_per_node)

    def owners(self, labels: np.ndarray, num_nodes: int, rng: np.random.Generator) -> np.ndarray:
        """As of :class:`Sharding`.

        Raises:
            ValueError: if there are more classes than the nodes may hold together, or fewer than one node may hold.
        """
        names, class_sizes = np.unique(labels, return_counts=True)
        require_range("shards by class", 1, len(names), whole=True, classes_per_node=self.classes_per_node)
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
        labels = checked_labels(labels, num_samples)
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
