"""Compilation of the kernels, and their random numbers. It imports numba, so import it only when needed."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np

PROCESS = uuid.uuid4().hex
"""A name that no other process has."""

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(kernel: Kernel) -> Kernel:
    """Compiles a kernel on its first call, and caches the machine code on disk if possible."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        function = numba.njit(cache=True, **options)(kernel)
    except RuntimeError:  # neither the package's folder nor the user's cache is writable
        return numba.njit(**options)(kernel)
    # numba stamps the cache with the kernel's own file. A kernel holds the code of those that it calls, so a change in
    # their files would go unnoticed; and what one numpy has pickled of a structured array, another may not read.
    file = function._cache._cache_file
    file._source_stamp = (file._source_stamp, np.__version__, sources_stamp())
    # numba numbers the files of a kernel's signatures. Two processes that compile at once may give one number to two
    # signatures, and either would then run the other's code; so the names are different in every process.
    file._data_name_pattern = file._data_name_pattern.replace("{number:d}", "{number:d}-" + PROCESS)
    return function


@functools.cache
def sources_stamp() -> tuple[tuple[str, int, int], ...]:
    """Returns name, time of change and size of every file of the package that kernels may come from."""
    package = Path(__file__).parents[1]
    files = [package / "dormancy.py", *package.glob("scheduling/*.py"), *package.glob("simulation/*.py")]
    stats = [(path.name, path.stat()) for path in sorted(files)]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


def stream(seed: int, window: int) -> np.ndarray:
    """Returns the state of a generator, uint64 [1], which depends on the seed and the number of the window only."""
    return np.random.SeedSequence([seed, window]).generate_state(1, np.uint64) | np.uint64(1)


@compiled
def uniform(state: np.ndarray) -> float:
    """Draws a number from [0, 1) and advances the generator (xorshift64*, Vigna 2016)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return float((x * np.uint64(2685821657736338717)) >> np.uint64(11)) / 9007199254740992.0


@compiled
def choose(weights: np.ndarray, state: np.ndarray) -> int:
    """Draws an index with probability in proportion to ``weights``, at least one of which is positive."""
    draw = uniform(state) * weights.sum()
    last = 0
    for index in range(len(weights)):
        if weights[index] > 0.0:
            last = index
            draw -= weights[index]
            if draw < 0.0:
                break
    return last
