"""Files that are written whole or not at all, folders that nobody else has, and values for JSON."""

from __future__ import annotations

import json
import math
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cloudedge_pl.files import json_values, new_folder, written_whole


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file of this process can grow beyond 4 KB, as on a full disk: the write raises OSError."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_takes_the_place_of_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "made" / "a.json"
    for content in ("old", "new"):
        with written_whole(path) as part:
            assert part.suffix == ".json"
            part.write_text(content)
    assert [each.name for each in path.parent.iterdir()] == ["a.json"]
    assert path.read_text() == "new"


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="File too large"), written_whole(path) as part:
        part.write_bytes(b"x" * 10_000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_every_caller_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    made: list[Path] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        made.append(new_folder(tmp_path / "day" / "12-00-00"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {path.name for path in made}
    assert names == {"12-00-00", *(f"12-00-00-{number}" for number in range(2, 9))}


def test_json_values_are_plain_and_finite() -> None:
    content = {
        1: np.float32(0.5),
        "a": (np.array([[1, 2]]), math.inf),
        "b": {"c": math.nan, "d": np.True_, "e": None},
    }
    plain = json_values(content)
    assert plain == {"1": 0.5, "a": [[[1, 2]], None], "b": {"c": None, "d": True, "e": None}}
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
