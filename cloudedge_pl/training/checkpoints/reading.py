"""Clear errors for checkpoint files that cannot be read and for weights that do not fit the module."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cloudedge_pl.errors import CheckpointError
from cloudedge_pl.lightning import pl


@contextmanager
def reading(checkpoint_path: Any) -> Iterator[None]:
    """Inside, errors of reading a file that is not a complete checkpoint become CheckpointError."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, CheckpointError):
        raise
    except pickle.UnpicklingError as e:
        if "Unsupported operand" in str(
            e
        ):  # no pickle, of which torch says much that does not concern the user
            raise _unreadable(checkpoint_path, ValueError("torch.save did not write it")) from e
        if "weights_only" not in str(e):
            raise _unreadable(checkpoint_path, e) from e
        raise CheckpointError(
            f"the checkpoint {checkpoint_path} holds objects that are not loaded from just any file; if "
            f"you trust it, give weights_only=False to fit, validate, test or predict. ({_shorten(str(e))})"
        ) from e
    except (
        RuntimeError,
        EOFError,
        LookupError,
        NotImplementedError,
        UnicodeError,
        ValueError,
        OSError,
        zipfile.BadZipFile,
    ) as e:
        raise _unreadable(checkpoint_path, e) from e


def _unreadable(checkpoint_path: Any, error: Exception) -> CheckpointError:
    reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'empty'}"
    return CheckpointError(
        f"the checkpoint {checkpoint_path} cannot be read; it is corrupt, truncated or no checkpoint ({reason}). Take "
        "another one of the run."
    )


def require_lightning_checkpoint(checkpoint: Mapping[str, Any], path: Any) -> None:
    """Raises CheckpointError if a file holds something other than a checkpoint of Lightning."""
    if not {"state_dict", "pytorch-lightning_version"} <= set(checkpoint):
        raise CheckpointError(
            f"{path} is no checkpoint of Lightning, but perhaps a state_dict alone; load that into the backbone with "
            "load_state_dict."
        )


@contextmanager
def loading_into(module: pl.LightningModule | None) -> Iterator[None]:
    """Inside, errors of loading weights that do not fit the module become CheckpointError."""
    try:
        yield
    except RuntimeError as e:
        raise CheckpointError(
            f"the checkpoint does not fit {type(module).__name__}: it is of another backbone or number of classes. Use "
            f"the model that it was trained with. ({_shorten(str(e))})"
        ) from e


def _shorten(message: str, length: int = 300) -> str:
    words = " ".join(message.split())
    return words if len(words) <= length else words[: length - 1] + "…"
