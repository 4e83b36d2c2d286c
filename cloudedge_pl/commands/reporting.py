"""Output of the commands: console, files and clear errors instead of tracebacks. It imports nothing heavy."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError
from rich.console import Console

from cloudedge_pl.commands.quiet import quiet_lightning
from cloudedge_pl.commands.sweeps import is_job_of_sweep, list_failed, list_stopped, note_failure
from cloudedge_pl.errors import InfeasiblePlanError
from cloudedge_pl.files import new_folder, write_json
from cloudedge_pl.signals import Interrupted, release_signals

OmegaConf.register_new_resolver(
    "new_folder", lambda path: str(new_folder(path)), use_cache=True, replace=True
)


def console() -> Console:
    """Returns the console for tables; it is wide enough for a plan if the output is not a terminal."""
    return Console(width=None if sys.stdout.isatty() else 120)


def output_dir() -> Path:
    """Returns Hydra's directory of this run."""
    return Path(HydraConfig.get().runtime.output_dir)


@dataclass
class Progress:
    """Progress of a command, for the summary of an interrupted one.

    Attributes:
        stage: the current stage.
        done: returns a summary of what is done so far.
    """

    stage: str = "set-up"
    done: Callable[[], dict[str, Any]] = dict

    def stopped(self, signal: Interrupted) -> dict[str, Any]:
        """Returns the summary of a command that a signal stops."""
        return self.done() | {"interrupted": signal.signal_name, "interrupted_during": self.stage}


@contextlib.contextmanager
def summary_if_stopped() -> Iterator[Progress]:
    """Yields a record of the block's progress, which is written to summary.json if a signal stops the block."""
    started, progress = time.perf_counter(), Progress()
    try:
        with _signals_of_kernels():
            release_signals()
            yield progress
    except Interrupted as signal:
        if not signal.at_once:
            summary = progress.stopped(signal) | {"wall_seconds": time.perf_counter() - started}
            write_json(output_dir() / "summary.json", summary)
            say_stopped(progress, signal)
        raise


@contextlib.contextmanager
def _signals_of_kernels() -> Iterator[None]:
    """Raises the signal that came in a compiled function, which Python turns into a chain of SystemErrors."""
    try:
        yield
    except SystemError as error:
        cause: BaseException | None = error
        while isinstance(cause, SystemError):
            cause = cause.__cause__
        if isinstance(cause, Interrupted):
            raise cause from None
        raise


def say_stopped(progress: Progress, signal: Interrupted) -> None:
    """Prints the last line of a command that a signal stops."""
    console().print(
        f"Interrupted by {signal.signal_name} during the {progress.stage}; summary.json in {output_dir()} "
        "says what was done.",
        soft_wrap=True,
        markup=False,
    )


def clear_errors(command: Callable[[DictConfig], Any]) -> Callable[[DictConfig], Any]:
    """Shows only the message of an error and exits with 1; CLOUDEDGE_TRACE=1 shows the traceback."""

    @functools.wraps(command)
    def wrapper(cfg: DictConfig) -> Any:
        elsewhere = multiprocessing.parent_process() is not None  # a job of a sweep that a launcher started
        try:
            with quiet_lightning() if elsewhere else contextlib.nullcontext():
                return command(cfg)
        except Exception as error:
            if os.environ.get("CLOUDEDGE_TRACE"):
                raise
            message = described(error)
            if is_job_of_sweep():
                note_failure(message)
                return None
            sys.exit(f"{message}\nSet CLOUDEDGE_TRACE=1 for the traceback.")

    return wrapper


def run(app: Callable[[], Any]) -> None:
    """Runs a Hydra command; errors of the command line itself are also shown as one line."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them and exiting
    try:
        with quiet_lightning():
            app()
    except Interrupted as signal:
        list_stopped(signal)
        raise
    except Exception as error:
        list_failed()
        if os.environ.get("CLOUDEDGE_TRACE"):
            raise
        sys.exit(f"{described(error)}\nSet CLOUDEDGE_TRACE=1 for the traceback.")
    finally:
        with contextlib.suppress(KeyError):
            del os.environ["HYDRA_FULL_ERROR"]
        if before is not None:
            os.environ["HYDRA_FULL_ERROR"] = before


def quoted(value: str) -> str:
    """Quotes the value of an override, so that Hydra does not parse ``=``, braces and other characters in it.

    Within quotes Hydra reads a backslash only before a quote, and OmegaConf only before an interpolation.

    >>> print(quoted("it's"), quoted("${x}"), quoted("a" + chr(92)))
    'it\\'s' '\\${x}' 'a\\\\'
    """
    plain = re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", value)
    inner = re.sub(r"(\\*)(')", lambda found: 2 * found[1] + r"\'", plain)
    return "'" + re.sub(r"(\\+)\Z", lambda found: 2 * found[1], inner) + "'"


def described(error: BaseException) -> str:
    """Returns an error as one line: class, message, and the key of the config if it is known."""
    cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
    key = error.args[0].splitlines()[-1] if cause is not error and error.args else ""
    where = f" (in {key})" if key else ""
    if isinstance(cause, InfeasiblePlanError):  # a table with a line per split point
        return f"{type(cause).__name__}: {cause}"
    message = " ".join(
        str(cause).partition("Config search path:")[0].partition("See https://hydra")[0].split()
    )
    advice = ""
    if "No match in the defaults list" in message:
        advice = " This command has no such group; experiments that set it are for `cloudedge train`."
    if message.startswith("Config group override must be"):
        given = [each for each in sys.argv[1:] if "." not in each.partition("=")[0]]
        message = f"a group is given no name in: {' '.join(given)}"
        advice = " Write group=NAME; `cloudedge COMMAND --help` lists the names there are."
    if isinstance(cause, AssertionError) and not message:
        message = "the command line cannot be parsed"
        advice = (
            " Write overrides as key=value, group=option, +key=value or ~key; see `cloudedge COMMAND --help`."
        )
    if isinstance(cause, OverrideParseException):
        advice = (
            " Put a value with = { } [ ] ( ) , : # or a blank in it into quotes within quotes: 'key=\"a=b\"'."
        )
    return f"{type(cause).__name__}: {message}{where}{advice}"


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Returns the composed config as plain containers.

    Raises:
        ValueError: if a value refers to a key that is left out.
    """
    with clear_references():
        content = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def require_keys(content: Mapping[str, Any], needed: Iterable[str]) -> None:
    """Checks that a config has the groups and keys that a command needs.

    Raises:
        ValueError: naming the first that is left out.
    """
    for name in needed:
        if name not in content:
            raise ValueError(f"{name} is left out of the config; the command needs it.")


@contextlib.contextmanager
def clear_references() -> Iterator[None]:
    """Turns OmegaConf's error about a reference to a key that is left out into one that says so."""
    try:
        yield
    except InterpolationKeyError as error:
        absent = str(error.msg).partition("'")[2].partition("'")[0]
        raise ValueError(
            f"{absent} is left out of the config, and {error.full_key} refers to it; leave it in, or give "
            f"{error.full_key} a value of its own."
        ) from error
