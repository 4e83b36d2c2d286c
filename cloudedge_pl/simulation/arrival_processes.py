"""Arrivals by a law: settings, which make a process that gives the times at which tasks arrive.

Times are drawn in blocks, each from the seed and its number, so that it does not matter how many are asked for at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from cloudedge_pl.errors import CheckpointError, require_fields, require_positive, require_range, require_seed

BLOCK = 8192
"""Number of tasks that are drawn at once."""

STREAM = 0x61727269
"""Part of every seed here; it keeps the draws of arrivals apart from others that are made from the same seed."""

MAX_SWITCHES = 100.0
"""Largest mean number of changes of phase from one task to the next."""


class Place(NamedTuple):
    """Where a process stands: all that its present block depends on, besides settings and seed."""

    block: int = 0
    """Number of the block that is being given."""
    clock_seconds: float = 0.0
    """Time of the last task before the block."""
    phase: int = -1
    """Phase at that time, in processes with phases; -1 at the start."""


class Arrivals(NamedTuple):
    """Tasks in order of arrival."""

    seconds: np.ndarray
    """Times, float64 [num_tasks]."""
    kind: np.ndarray
    """Index in ``class_names`` of the settings, int32 [num_tasks]; -1 where they name no classes."""


@dataclass(frozen=True, kw_only=True)
class ArrivalSettings(ABC):
    """What all processes of arrivals have in common."""

    @property
    def _owner(self) -> str:
        """Name of these settings in messages."""
        return f"arrivals {type(self).__name__}"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes that the arrivals name themselves, in order of appearance; empty where they name none."""
        return ()

    def place_of(self, class_name: str) -> str:
        """Where a class is named, for messages."""
        return self._owner

    def process(self, seed: int = 0) -> ArrivalProcess:
        """Makes a process that starts at 0 s.

        Args:
            seed: of the draws.
        """
        return ArrivalProcess(self, seed)

    @abstractmethod
    def draw(self, seed: int, place: Place) -> tuple[Arrivals, int]:
        """Draws a block of :data:`BLOCK` tasks, which depends on nothing but the arguments.

        Returns:
            The block, shorter if the stream ends in it; and the phase at its last task.
        """


class ArrivalProcess:
    """Arrivals of tasks, drawn when they are asked for.

    Args:
        settings: of the process.
        seed: of the draws.
    """

    def __init__(self, settings: ArrivalSettings, seed: int = 0) -> None:
        require_seed("arrivals", seed=seed)
        self.settings, self.seed = settings, seed
        self._place, self._given = Place(), 0
        self._block, self._phase = settings.draw(seed, self._place)

    def next(self, num_tasks: int) -> Arrivals:
        """Returns the arrivals behind the last ones given.

        Args:
            num_tasks: how many; there are fewer only where the stream has ended.
        """
        require_range("arrivals", 0, math.inf, open_high=True, whole=True, num_tasks=num_tasks)
        parts, missing = [self._take(num_tasks)], num_tasks
        while (missing := missing - len(parts[-1].seconds)) and len(self._block.seconds) == BLOCK:
            last = Place(self._place.block + 1, float(self._block.seconds[-1]), self._phase)
            self._place, self._given = last, 0
            self._block, self._phase = self.settings.draw(self.seed, last)
            parts.append(self._take(missing))
        return Arrivals(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _take(self, num_tasks: int) -> Arrivals:
        taken = slice(self._given, self._given + num_tasks)
        part = Arrivals(*(column[taken] for column in self._block))
        self._given += len(part.seconds)
        return part

    def state_dict(self) -> dict[str, Any]:
        """Where the process stands: a few plain values."""
        return {"settings": type(self.settings).__name__, "given": self._given, **self._place._asdict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what :meth:`state_dict` returned.

        Raises:
            CheckpointError: if the state belongs to a process of another kind.
        """
        ours, theirs = type(self.settings).__name__, state.get("settings")
        if theirs != ours:
            raise CheckpointError(
                f"the checkpoint's arrivals are {theirs}, this run's are {ours}; resume with those of the checkpoint."
            )
        self._place = Place(**{field: state[field] for field in Place._fields})
        self._given = state["given"]
        self._block, self._phase = self.settings.draw(self.seed, self._place)


def _without_classes(seconds: np.ndarray) -> Arrivals:
    return Arrivals(seconds, np.full(len(seconds), -1, dtype=np.int32))


@dataclass(frozen=True, kw_only=True)
class PoissonArrivals(ArrivalSettings):
    """Tasks that arrive independently of each other.

    Args:
        tasks_per_second: mean rate.

    Raises:
        ValueError: if a value is outside its range.
    """

    tasks_per_second: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self._owner, tasks_per_second=self.tasks_per_second)

    def draw(self, seed: int, place: Place) -> tuple[Arrivals, int]:
        gaps = np.random.default_rng([seed, place.block, STREAM]).standard_exponential(BLOCK)
        return _without_classes(place.clock_seconds + np.cumsum(gaps) / self.tasks_per_second), place.phase


@dataclass(frozen=True, kw_only=True)
class ConstantArrivals(ArrivalSettings):
    """Tasks at equal distances, the first at 0 s.

    Args:
        tasks_per_second: rate.

    Raises:
        ValueError: if a value is outside its range.
    """

    tasks_per_second: float = 1.0

    def __post_init__(self) -> None:
        require_positive(self._owner, tasks_per_second=self.tasks_per_second)

    def draw(self, seed: int, place: Place) -> tuple[Arrivals, int]:
        index = np.arange(place.block * BLOCK, (place.block + 1) * BLOCK)
        return _without_classes(index / self.tasks_per_second), place.phase


@dataclass(frozen=True, kw_only=True)
class MmppArrivals(ArrivalSettings):
    """Tasks of a Poisson process whose rate alternates between two values (Markov-modulated, two phases).

    The times in a phase are exponential. At 0 s the process is in its stationary state.

    Args:
        tasks_per_second: rate in either phase; one of them may be 0.
        holding_seconds: mean time in either phase.

    Raises:
        ValueError: if a value is outside its range.
    """

    tasks_per_second: Sequence[float] = (0.5, 2.0)
    holding_seconds: Sequence[float] = (60.0, 30.0)

    def __post_init__(self) -> None:
        require_fields(self._owner, self)
        for name in ("tasks_per_second", "holding_seconds"):
            pair = tuple(getattr(self, name))
            object.__setattr__(self, name, pair)
            if len(pair) != 2:
                raise ValueError(f"{self._owner}: {name} is {list(pair)}; give two values, one per phase.")
            for phase, value in enumerate(pair):
                low_open = name == "holding_seconds"
                values: dict[str, Any] = {f"{name}[{phase}]": value}
                require_range(self._owner, 0, math.inf, open_low=low_open, open_high=True, **values)
        _check_phases(self._owner, self.tasks_per_second, self.holding_seconds)

    def draw(self, seed: int, place: Place) -> tuple[Arrivals, int]:
        return _draw_phases(seed, place, self.tasks_per_second, self.holding_seconds)


@dataclass(frozen=True, kw_only=True)
class OnOffArrivals(ArrivalSettings):
    """Tasks of a Poisson process that is switched on and off (interrupted Poisson process).

    The times on and off are exponential. At 0 s the process is in its stationary state.

    Args:
        tasks_per_second: rate while it is on; the mean rate is its share of the time times this.
        on_seconds: mean time that it is on.
        off_seconds: mean time that it is off.

    Raises:
        ValueError: if a value is outside its range.
    """

    tasks_per_second: float = 2.0
    on_seconds: float = 30.0
    off_seconds: float = 30.0

    def __post_init__(self) -> None:
        require_positive(
            self._owner,
            tasks_per_second=self.tasks_per_second,
            on_seconds=self.on_seconds,
            off_seconds=self.off_seconds,
        )
        _check_phases(self._owner, (self.tasks_per_second, 0.0), (self.on_seconds, self.off_seconds))

    def draw(self, seed: int, place: Place) -> tuple[Arrivals, int]:
        return _draw_phases(seed, place, (self.tasks_per_second, 0.0), (self.on_seconds, self.off_seconds))


def _check_phases(owner: str, rates: Sequence[float], holding: Sequence[float]) -> None:
    cycle, tasks = sum(holding), rates[0] * holding[0] + rates[1] * holding[1]
    if tasks == 0:
        raise ValueError(f"{owner}: tasks_per_second is 0 in both phases; give one of them a rate above 0.")
    if 2 / tasks > MAX_SWITCHES:
        raise ValueError(
            f"{owner}: the phase changes {2 / tasks:.3g} times from one task to the next, and at most "
            f"{MAX_SWITCHES:g} times are simulated; use poisson with tasks_per_second={tasks / cycle:.3g}, which is "
            "almost the same."
        )


def _draw_phases(
    seed: int, place: Place, rates: Sequence[float], holding: Sequence[float]
) -> tuple[Arrivals, int]:
    """Draws a block of a process of two phases.

    Points of a Poisson process of rate 1 are the integrals of the rate up to each task. The time left in a phase is
    drawn anew at the start of a block, which changes no law, since it is exponential.
    """
    random = np.random.default_rng([seed, place.block, STREAM])
    targets = np.maximum(np.cumsum(random.standard_exponential(BLOCK)), np.finfo(np.float64).tiny)
    phase = place.phase
    if phase < 0:
        phase = int(random.random() < holding[1] / sum(holding))
    pair = [phase, 1 - phase]
    rate, mean = np.array(rates)[pair], np.array(holding)[pair]
    per_cycle = float(rate @ mean)
    lengths: list[np.ndarray] = []
    covered = 0.0
    while covered < targets[-1]:
        cycles = int((targets[-1] - covered) / per_cycle * 1.1) + 8
        lengths.append(random.standard_exponential((cycles, 2)) * mean)
        covered += float((lengths[-1] * rate).sum()) * (1 - 1e-9)  # the sums below round differently
    held = np.concatenate(lengths)
    edges = np.concatenate([[0.0], np.cumsum(held)])
    integral = np.concatenate([[0.0], np.cumsum(held * rate)])
    at = np.searchsorted(integral[1:], targets)
    seconds = edges[at] + (targets - integral[at]) / rate[at % 2]
    seconds = np.maximum.accumulate(np.minimum(seconds, edges[at + 1]))  # against rounding
    return _without_classes(place.clock_seconds + seconds), pair[int(at[-1]) % 2]
