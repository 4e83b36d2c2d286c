"""Why a request has no answer, with the HTTP status that says so."""

from __future__ import annotations

import math


class ServingError(RuntimeError):
    """A request that has no answer.

    Attributes:
        status: the HTTP status.
        retry_after_seconds: when to try again; None if that would not help.
    """

    status = 500
    retry_after_seconds: float | None = None


class Overloaded(ServingError):
    """A full queue, or a server that is ending: nothing was computed, and the client may try again."""

    status = 503

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TooLate(ServingError):
    """The deadline of a request has passed."""

    status = 504


class CallError(RuntimeError):
    """A call to another server that gave no usable answer.

    Args:
        message: who, and what happened.
        kind: "away" (no connection, or an error of the server), "slow" (no answer in time), "busy" (its queue is full),
            "refused" (what was sent is said to be wrong), "rubbish" (an answer that does not fit the model, or one of
            another export), or "asleep" (it was not made).
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def retry_after(seconds: float) -> str:
    """The value of the HTTP header Retry-After: whole seconds, at least 1."""
    return str(max(1, math.ceil(min(seconds, 3600.0))))
