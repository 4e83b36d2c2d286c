"""``cloudedge <command>``: finds and runs the command. It imports nothing else, so that help is fast."""

from __future__ import annotations

import re
import sys
from importlib import import_module

from cloudedge_pl.errors import lookup
from cloudedge_pl.signals import stopped_by_signals

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("cloudedge_pl.commands.train", "plan, cut, train, test and account for a network"),
    "plan": ("cloudedge_pl.commands.plan", "show where a network would be cut, and why; no training"),
    "simulate": (
        "cloudedge_pl.commands.simulate",
        "run a stream of tasks through a fleet: delays, queues, sleep, energy",
    ),
    "schedule": (
        "cloudedge_pl.commands.schedule",
        "compare schedulers on one window of tasks: table and figures",
    ),
    "compare": (
        "cloudedge_pl.commands.compare",
        "compare systems on the same tasks; run=FOLDER adds the accuracy of its network",
    ),
    "reproduce": (
        "cloudedge_pl.commands.reproduce",
        "make the paper's tables and figures again, with a verdict on each of its claims",
    ),
    "collect": (
        "cloudedge_pl.commands.collect",
        "gather the runs of a sweep: one table, and a figure of a metric: FOLDER",
    ),
    "calibrate": (
        "cloudedge_pl.commands.calibrate",
        "choose for a checkpoint which samples exit early: ckpt=PATH",
    ),
    "export": (
        "cloudedge_pl.commands.export",
        "write a checkpoint as parts for model servers: ckpt=PATH dir=FOLDER format=onnx",
    ),
    "evaluate": ("cloudedge_pl.commands.evaluate", "test a checkpoint of an earlier run: ckpt=PATH"),
    "up": (
        "cloudedge_pl.commands.up",
        "serve a bundle on this machine, as processes: bundle=DIR",
    ),
    "validate": (
        "cloudedge_pl.commands.validate",
        "compare the simulator with real servers behind slow links: bundle=DIR",
    ),
    "ask": ("cloudedge_pl.commands.ask", "send pictures to a served network: PICTURE... url=URL"),
    "serve": (
        "cloudedge_pl.commands.serve",
        "the master of nodes and cloud that are running: bundle=DIR nodes=[URL,...]",
    ),
    "node": ("cloudedge_pl.commands.node", "serve the edge part of a bundle: bundle=DIR"),
    "cloud": ("cloudedge_pl.commands.cloud", "serve the cloud part of a bundle: bundle=DIR"),
}

USAGE = """\
usage: cloudedge COMMAND [OVERRIDE ...]

commands:
{commands}

Overrides are Hydra's, e.g.  cloudedge train scheduler=fcfs fleet.num_nodes=20
                             cloudedge train -m fleet.num_nodes=10,20,30 scheduler=fcfs,atsa
Every key, with its meaning: cloudedge COMMAND --help    Version: cloudedge --version
"""

FOR_SERVING = ("aiohttp", "onnxruntime", "prometheus_client")
"""Packages that only the extra "serve" installs, as they are imported."""

_YAML_NUMBER = re.compile(r"(?<=[=,:\[( ])([+-]?)\.(inf|nan)(?=$|[,\])} ])", re.IGNORECASE)


def as_yaml(override: str) -> str:
    """Writes YAML's ``.inf`` and ``.nan`` in an override as Hydra's grammar does, where they are ``inf`` and ``nan``.

    Files of the config are YAML, and what they accept is to be accepted on the command line too. A quoted value stays.

    >>> as_yaml("fleet.max_energy_joules=.inf")
    'fleet.max_energy_joules=inf'
    """
    return override if {"'", '"'} & set(override) else _YAML_NUMBER.sub(r"\1\2", override)


def main() -> None:
    """The console script."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = (f"  {name:<10} {what}" for name, (_, what) in COMMANDS.items())
        print(USAGE.format(commands="\n".join(lines)), end="")
        return
    if arguments[0] == "--version":
        print(f"cloudedge_pl {import_module('cloudedge_pl').__version__}")
        return
    try:
        module, _ = lookup(COMMANDS, arguments[0], "command")
    except ValueError as error:
        sys.exit(f"cloudedge: {error}")
    if any(argument in ("-h", "--help") for argument in arguments[1:]):
        from cloudedge_pl.commands.help import show

        print(show(arguments[0], arguments[1:]), end="")
        return
    flags = [
        argument for argument in arguments[1:] if argument in ("-m", "--multirun")
    ]  # Hydra wants them first
    overrides = [as_yaml(argument) for argument in arguments[1:] if argument not in flags]
    sys.argv = [f"cloudedge {arguments[0]}", *flags, *overrides]
    with stopped_by_signals():
        try:
            command = import_module(module)
        except ModuleNotFoundError as error:
            if error.name not in FOR_SERVING:
                raise
            sys.exit(
                f"cloudedge {arguments[0]} needs the package {error.name!r}; pip install 'cloudedge_pl[serve]'."
            )
        command.main()
