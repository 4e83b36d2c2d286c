"""Gives a model's server an address, and ends it in order: no new requests, the running ones finished, then closed."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from cloudedge_pl.serving.model_server import ModelServer
from cloudedge_pl.serving.settings import ServerSettings
from cloudedge_pl.signals import STOPPING

BACKLOG = 512

KEEPALIVE_SECONDS = 75.0
"""An idle connection is closed after this; it is longer than our client keeps one, so that no call meets the end."""


def _is_the_servers(record: logging.LogRecord) -> bool:
    """Whether a record is of the server's own failure: clients that speak no HTTP must not fill the log."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


http_log = logging.getLogger(f"{__name__}.http")
http_log.addFilter(_is_the_servers)


@asynccontextmanager
async def listening(server: ModelServer) -> AsyncIterator[str]:
    """Runs a server within the block, and yields its URL. At the end, requests have ``drain_seconds`` to finish.

    Raises:
        ValueError: if the address is in use, or is none of this machine.
    """
    settings = server.settings
    runner = web.AppRunner(
        server.application(),
        access_log=None,
        handler_cancellation=True,  # a client that has gone is not computed for
        shutdown_timeout=settings.drain_seconds,
        handle_signals=False,
        keepalive_timeout=KEEPALIVE_SECONDS,
        auto_decompress=False,  # it would be done in the event loop, in which everybody waits
        logger=http_log,
    )
    await runner.setup()
    sweep = asyncio.ensure_future(_close_silent(runner, server))
    try:
        context = settings.ssl_context()
        site = web.TCPSite(runner, settings.host, settings.port, ssl_context=context, backlog=BACKLOG)
        with _clear_errors(settings):
            await site.start()
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        yield f"{'https' if context else 'http'}://{host}:{runner.addresses[0][1]}"
    finally:
        server.draining = True
        sweep.cancel()
        await runner.cleanup()


async def _close_silent(runner: web.AppRunner, server: ModelServer) -> None:
    """Closes connections on which no request has come, one to two ``read_seconds`` after they were opened.

    Each holds a file descriptor, of which a process has few: once they are used up, it hears no other client.
    """
    silent: set[object] = set()
    while True:
        await asyncio.sleep(server.settings.read_seconds)
        connections = runner.server.connections if runner.server else []
        server.heard &= set(connections)
        for each in connections:
            if each in silent and each not in server.heard:
                each.force_close()
        silent = {each for each in connections if each not in server.heard}


@contextmanager
def _clear_errors(settings: ServerSettings) -> Iterator[None]:
    """Turns the system's errors about an address into one that says what to give."""
    try:
        yield
    except (OSError, UnicodeError) as error:  # UnicodeError: a host that no name server could know
        busy = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
        advice = "another port=..., or port=0 for a free one" if busy else "a host=... of this machine"
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"server: {settings.host}:{settings.port} cannot be listened on ({reason}); give {advice}."
        ) from error


async def check_address(settings: ServerSettings) -> None:
    """Checks that a server could listen, before anything else is started.

    Raises:
        ValueError: if its address is in use, or is none of this machine, or a file of TLS cannot be read.
    """
    settings.ssl_context()
    with _clear_errors(settings):
        trial = await asyncio.get_running_loop().create_server(
            asyncio.Protocol, settings.host, settings.port, start_serving=False
        )
    trial.close()


async def serve_until_stopped(
    server: ModelServer,
    announce: Callable[[str], None],
    *,
    start: Callable[[], Awaitable[None]] | None = None,
    stop_with_stdin: bool = False,
) -> None:
    """Runs a server until SIGINT or SIGTERM, and lets its requests finish; a second signal ends it at once.

    Args:
        server: what is run.
        announce: called with the URL, once it is listening and ``start`` is done.
        start: what is to be done once it is listening, so that an address that is taken is known before.
        stop_with_stdin: whether it ends, too, when its standard input is closed, as it is when the process that
            started it has died.
    """
    stopped = stop_event(stop_with_stdin)
    async with listening(server) as url:
        end = asyncio.ensure_future(stopped.wait())
        if start is not None:
            starting = asyncio.ensure_future(start())
            await asyncio.wait((starting, end), return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                return
            starting.result()
        announce(url)
        await end


def stop_event(stop_with_stdin: bool = False) -> asyncio.Event:
    """An event that SIGINT and SIGTERM set, once; the next one ends the process. To be called in the event loop."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        stopped.set()
        for signum in STOPPING:
            with suppress(ValueError, RuntimeError):
                loop.remove_signal_handler(signum)
                signal.signal(signum, signal.SIG_DFL)

    for signum in STOPPING:
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not the main thread
            loop.add_signal_handler(signum, stop)
    if stop_with_stdin:
        _at_end_of_stdin(stop)
    return stopped


def _at_end_of_stdin(stop: Callable[[], None]) -> None:
    """Calls a function when standard input is closed."""
    loop, descriptor = asyncio.get_running_loop(), sys.__stdin__.fileno() if sys.__stdin__ else -1

    def read() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            stop()

    try:
        loop.add_reader(descriptor, read)
    except (OSError, ValueError) as error:  # epoll takes no files
        raise ValueError(
            f"stop_with_stdin=true waits for the end of standard input, which cannot be waited for ({error}); give a "
            "pipe or a terminal, or leave it out."
        ) from error
