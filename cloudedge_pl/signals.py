"""SIGINT (Ctrl-C) and SIGTERM as an exception that ends the process with the exit status of the signal."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """A signal stops the run. If it is not caught, the process exits with 128 + the signal's number.

    Args:
        signum: number of the signal.
        at_once: whether the signal was repeated, so that nothing more is saved.
        checkpoint: path of the checkpoint that was saved because of it.
    """

    def __init__(self, signum: int, at_once: bool = False, checkpoint: Path | None = None) -> None:
        super().__init__(128 + signum)
        self.signal_name = signal.Signals(signum).name
        self.at_once, self.checkpoint = at_once, checkpoint


class SignalHandlers:
    """Passes SIGINT and SIGTERM to a function between :meth:`install` and :meth:`restore`.

    Processes forked in between, such as the workers of a DataLoader, ignore Ctrl-C and end on SIGTERM.

    Args:
        handle: called in the main thread with the signal's number.
    """

    def __init__(self, handle: Callable[[int], None]) -> None:
        self._handle = handle
        self._process = 0
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Installs the handlers. Outside the main thread, where Python allows no handlers, it does nothing."""
        if self._before or threading.current_thread() is not threading.main_thread():
            return
        self._process = os.getpid()
        self._before = {signum: signal.signal(signum, self._receive) for signum in STOPPING}

    def restore(self) -> None:
        """Restores the previous handlers; may be called more than once."""
        if threading.current_thread() is not threading.main_thread():
            return
        while self._before:
            signum, handler = self._before.popitem()
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)

    def _receive(self, signum: int, frame: Any) -> None:
        if os.getpid() == self._process:
            self._handle(signum)
        elif signum == signal.SIGTERM:
            os._exit(128 + signum)


class _Stopping:
    """How a command handles a signal: it is kept until :func:`release_signals`, and raises from then on.

    While Python imports modules and Hydra makes the run's folder, there is no place for a summary, and interrupting the
    import of C extensions is not safe.
    """

    def __init__(self) -> None:
        self._released = False
        self._kept: int | None = None

    def receive(self, signum: int) -> None:
        name = signal.Signals(signum).name
        if not self._released and self._kept is None:
            self._kept = signum
            print(f"\n{name}: stopping when the start-up is over; once more stops at once.", file=sys.stderr)
            return
        print(f"\n{name}: stopping.", file=sys.stderr)
        raise Interrupted(signum, at_once=self._kept is not None)

    def release(self) -> None:
        self._released = True
        signum, self._kept = self._kept, None
        if signum is not None:
            raise Interrupted(signum)


_stopping: list[_Stopping] = []


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Within the block, SIGINT and SIGTERM raise :class:`Interrupted`, but not before :func:`release_signals`."""
    stopping = _Stopping()
    handlers = SignalHandlers(stopping.receive)
    handlers.install()
    _stopping.append(stopping)
    try:
        yield
        stopping.release()
    finally:
        _stopping.remove(stopping)
        handlers.restore()


def release_signals() -> None:
    """From now on, a signal raises :class:`Interrupted` at any point; a kept signal raises it now.

    A command calls this once it can write a summary. Outside :func:`stopped_by_signals` it does nothing.
    """
    for stopping in _stopping:
        stopping.release()
