"""Checkpoint files that are written completely or not at all, and whose checksums are verified on reading."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from typing_extensions import override

from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.files import written_whole
from cloudedge_pl.lightning import pl
from cloudedge_pl.training.checkpoints.reading import reading


class CheckedCheckpointIO(pl.plugins.TorchCheckpointIO):
    """Lightning's checkpoint files, written to a temporary name and renamed, and read after a check of every record.

    A file of ``torch.save`` is a zip archive with a CRC-32 of each record, which ``torch.load`` does not verify. The
    checksums are part of the file, so it loads everywhere and there is no second file to lose. Paths with a scheme
    (``s3://``) are left to Lightning.
    """

    @override
    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with written_whole(path) as part, part.open("wb") as file:
            torch.save(checkpoint, file)

    @override
    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = lambda storage, loc: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        with reading(path):
            if "://" not in str(path):
                check_records(Path(path))
            return super().load_checkpoint(path, map_location, weights_only)


def check_records(path: Path) -> None:
    """Verifies the CRC-32 of every record of a checkpoint; a file from before torch 1.6 has none and passes.

    Raises:
        CheckpointError: if one differs.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise CheckpointError(
            f"the checkpoint {path} is corrupt: the checksum of its record {damaged} is wrong. Take another one of "
            "the run."
        )
