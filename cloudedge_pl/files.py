"""Files that are written completely or not at all, so that a failure keeps earlier ones; values for JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path in the same folder, and moves the file there to ``path`` if the block succeeds.

    If the block fails, the file at ``path`` is unchanged and the temporary file is removed.

    Args:
        path: of the file; its folder is made.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Some writers choose the format by the suffix, so it is kept.
    part = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix}")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(
                file.fileno()
            )  # a rename that reaches the disk before the content would leave an empty file
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def new_folder(path: str | os.PathLike[str]) -> Path:
    """Makes a new folder: ``path``, or ``path-2``, ``path-3`` and so on if it exists."""
    first = Path(path)
    first.parent.mkdir(parents=True, exist_ok=True)
    folder, number = first, 1
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            folder = first.with_name(f"{first.name}-{number}")
        else:
            return folder


def json_values(value: Any) -> Any:
    """Returns a value as plain containers that JSON can hold.

    Keys become text, tuples become lists, arrays and their numbers become Python's, and a number that is not finite
    becomes None.
    """
    if hasattr(value, "tolist"):  # of numpy or torch
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): json_values(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_values(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON that any parser reads: what is not a finite number becomes null."""
    with written_whole(path) as part:
        part.write_text(json.dumps(json_values(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")
