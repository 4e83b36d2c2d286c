"""The schedulers that a config of ``cloudedge schedule`` asks for: checked and labelled before any of them runs."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cloudedge_pl.commands.checking import get_target
from cloudedge_pl.errors import lookup, require_seed
from cloudedge_pl.scheduling import SCHEDULERS, Assignment, NodeState, Scheduler, TaskWindow
from cloudedge_pl.scheduling.comparing import suits
from cloudedge_pl.scheduling.registry import make_scheduler

NAMES: dict[Callable[..., Any], str] = {make: name for name, make in SCHEDULERS.items()}
"""Names of the package's schedulers, by class."""

NOT_OPTIONS = ("_target_", "name", "label")
"""Keys of an entry that are not arguments of its scheduler."""


@dataclass(frozen=True)
class Entry:
    """A scheduler with all its options. Equal entries share one row of the table.

    Args:
        name: of the scheduler; a key of :data:`~cloudedge_pl.scheduling.SCHEDULERS`, or the name of your own class.
        make: its class.
        options: all of its options by name, including the seed.
        changed: the options that differ from their defaults.
        label: name of the row: the one in the config, or the scheduler's name, with the changed options if several
            entries have that name.
    """

    name: str
    make: Callable[..., Scheduler]
    options: dict[str, Any]
    changed: dict[str, Any]
    label: str = ""

    @classmethod
    def of(cls, content: Any, seed: int, where: str) -> Entry:
        """Makes an entry from the config and checks it.

        Args:
            content: a name, or a mapping of ``name`` or ``_target_``, options, and optionally ``label``.
            seed: of an entry that sets none.
            where: key of the config that holds the entry.

        Raises:
            ValueError: if the content is neither, or an option is unknown or out of range.
        """
        given = {"name": content} if isinstance(content, str) else content
        name, make = _find(given, content, where)
        options = {str(key): value for key, value in given.items() if key not in NOT_OPTIONS}
        require_seed(where, seed=options.get("seed", seed))
        defaults = {key: each.default for key, each in inspect.signature(make).parameters.items()}
        if "seed" in defaults:
            defaults["seed"] = seed
            options = {"seed": seed, **options}
        make_scheduler(make, name, options)
        changed = {key: value for key, value in options.items() if value != defaults.get(key)}
        return cls(name, make, {**defaults, **options}, changed, str(given.get("label") or ""))

    def describe(self) -> str:
        """Returns the name and the changed options: "aco ants=5, evaporation_rate=0.2"."""
        changes = ", ".join(f"{key}={value}" for key, value in self.changed.items())
        return f"{self.name} {changes}".rstrip()

    def build(self) -> Scheduler:
        """Makes a scheduler that has seen no window."""
        return self.make(**self.options)

    def assign(self, window: TaskWindow, state: NodeState) -> Assignment:
        """Schedules a window with a new scheduler."""
        return self.build().assign(window, state)


def _find(given: Any, content: Any, where: str) -> tuple[str, Callable[..., Scheduler]]:
    """Returns the name and the class of an entry."""
    if isinstance(given, Mapping) and "_target_" in given:
        make = get_target(where, given["_target_"])
        return NAMES.get(make, getattr(make, "__name__", str(make))), make
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise ValueError(
            f"{where} is {content!r}; it must be the name of a scheduler, or a mapping with a name, such as "
            "{name: aco, ants: 5}."
        )
    return given["name"], lookup(SCHEDULERS, given["name"], "scheduler")


@dataclass(frozen=True)
class Selection:
    """The schedulers that the config asks for, each with a unique label."""

    chosen: Entry
    baseline: Entry | None
    rows: list[Entry]
    convergence: list[Entry]

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Selection:
        """Checks and labels the schedulers of a config.

        Raises:
            ValueError: if an entry is not valid, or two entries have the same label.
        """
        require_seed("schedule", seed=options["seed"])
        seed = int(options["seed"])
        chosen = Entry.of(options["scheduler"], seed, "scheduler")
        rows = [
            chosen,
            *(Entry.of(entry, seed, f"compare[{at}]") for at, entry in _listed(options, "compare")),
        ]
        # The name of the chosen scheduler means that scheduler with the options it was given.
        known = {chosen.name: chosen} | {entry.label: entry for entry in rows if entry.label}

        def find(content: Any, where: str) -> Entry:
            named = known.get(content) if isinstance(content, str) else None
            return named or Entry.of(content, seed, where)

        baseline = [find(options["baseline"], "baseline")] if options["baseline"] else []
        rows = _distinct([*rows, *baseline])
        drawn = [find(entry, f"convergence[{at}]") for at, entry in _listed(options, "convergence")]
        everything = _distinct([*rows, *drawn])
        labelled = _labelled(everything)
        return cls(
            labelled[0],
            labelled[everything.index(baseline[0])] if baseline else None,
            labelled[: len(rows)],
            [labelled[everything.index(entry)] for entry in _distinct(drawn)],
        )

    def suited(self, num_pairs: int) -> tuple[Selection, list[str]]:
        """Leaves out the schedulers that are too slow for a matrix of ``num_pairs`` entries, except the chosen one.

        Returns:
            The schedulers that remain, and the labels of the others.
        """

        def keeps(entry: Entry) -> bool:
            return entry == self.chosen or suits(entry.name, num_pairs)

        everything = [*self.rows, *self.convergence]
        left_out = list(dict.fromkeys(entry.label for entry in everything if not keeps(entry)))
        kept = replace(
            self,
            baseline=self.baseline if self.baseline and keeps(self.baseline) else None,
            rows=list(filter(keeps, self.rows)),
            convergence=list(filter(keeps, self.convergence)),
        )
        return kept, left_out


def _listed(options: Mapping[str, Any], key: str) -> Iterator[tuple[int, Any]]:
    content = options[key] if options[key] is not None else []
    if not isinstance(content, list):
        raise ValueError(f"{key} is {content!r}; it must be a list, such as {key}=[lpt,atsa].")
    return enumerate(content)


def _distinct(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for at, entry in enumerate(entries) if entry not in entries[:at]]


def _labelled(entries: Sequence[Entry]) -> list[Entry]:
    """Gives every entry a unique label: its name, with the changed options if several entries have that name."""
    names = Counter(entry.name for entry in entries)
    labels = [
        entry.label or (entry.name if names[entry.name] == 1 else entry.describe()) for entry in entries
    ]
    label, count = Counter(labels).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} schedulers are called {label!r}; give each a label of its own.")
    return [replace(entry, label=label) for entry, label in zip(entries, labels, strict=True)]
