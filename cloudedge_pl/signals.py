"""SIGINT (Ctrl-C) and SIGTERM as an exception that ends the process with the status that such a signal stands for."""

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
    """A signal stops the run; nobody need catch it, the process then exits with 128 + the signal's number.

    Args:
        signum: of the signal.
        at_once: whether it was repeated, so that nothing is saved any more.
        checkpoint: that was saved for it.
    """

    def __init__(self, signum: int, at_once: bool = False, checkpoint: Path | None = None) -> None:
        super().__init__(128 + signum)
        self.signal_name = signal.Signals(signum).name
        self.at_once, self.checkpoint = at_once, checkpoint


class SignalHandlers:
    """Hands SIGINT and SIGTERM to a function between :meth:`install` and :meth:`restore`.

    Processes that are forked meanwhile, as a DataLoader's workers are, leave Ctrl-C to their parent and end on SIGTERM.

    Args:
        handle: called with the signal's number, in the main thread.
    """

    def __init__(self, handle: Callable[[int], None]) -> None:
        self._handle = handle
        self._process = 0
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Does nothing outside the main thread, where Python allows no handlers."""
        if self._before or threading.current_thread() is not threading.main_thread():
            return
        self._process = os.getpid()
        self._before = {signum: signal.signal(signum, self._receive) for signum in STOPPING}

    def restore(self) -> None:
        """Puts the handlers before it back; may be called more than once."""
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


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGINT and SIGTERM raise :class:`Interrupted` within the block, wherever it is."""

    def stop(signum: int) -> None:
        print(f"\n{signal.Signals(signum).name}: stopping.", file=sys.stderr)
        raise Interrupted(signum)

    handlers = SignalHandlers(stop)
    handlers.install()
    try:
        yield
    finally:
        handlers.restore()
