"""``cloudedge collect FOLDER``: gathers the runs of a sweep into one CSV file, a table, and a figure of a metric.

Runs that failed, were interrupted or never started are listed, and stay in the file with their error.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig

from cloudedge_pl.commands.reporting import clear_errors, console, quoted, resolved, run
from cloudedge_pl.errors import lookup, require_types
from cloudedge_pl.reports.sweep_figure import save_sweep_figure
from cloudedge_pl.reports.sweep_groups import SPREADS, Runs, grouped
from cloudedge_pl.reports.sweep_tables import states_text, sweep_table, unfinished_table

CSV_FILE = "runs.csv"


def _keys(
    folders: list[str],
    metric: str | list[str] | None,
    x: str | None,
    lines: str | None,
    spread: str,
    to: str | None,
) -> None:
    """The keys of the config, as a signature."""


def collect(cfg: DictConfig) -> Runs:
    """Collects as the config says; writes runs.csv and figures.

    Args:
        cfg: the composed config; see ``conf/collect.yaml``.

    Returns:
        The runs that were found.

    Raises:
        ValueError: if there is no run, no such metric, or no such parameter.
    """
    folders = _folders(cfg)
    runs = Runs.below(folders)
    to = folders[0] if cfg.to is None else Path(cfg.to)
    table = runs.save(to / CSV_FILE)
    unfinished = [each for each in runs.runs if not each.row.is_done]
    console().print(states_text(runs), markup=False)
    if unfinished:
        console().print(unfinished_table(unfinished))
    figures = _drawn(cfg, runs, to) if runs.done else []
    written = ", ".join(str(path) for path in (table, *figures))
    console().print(f"Written: {written}", soft_wrap=True, markup=False)
    return runs


def _folders(cfg: DictConfig) -> list[Path]:
    content = resolved(cfg)
    if not content["folders"] or content["folders"] == "???":
        raise ValueError(
            "no folder is given; write cloudedge collect FOLDER, such as that of a sweep in multirun."
        )
    require_types("", _keys, content)
    lookup(SPREADS, content["spread"], "spread")
    folders = [Path(each) for each in content["folders"]]
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder; give that of a sweep or of a run.")
    return folders


def _drawn(cfg: DictConfig, runs: Runs, to: Path) -> list[Path]:
    """Shows and draws each metric, and returns the figures' paths."""
    names = [cfg.metric] if cfg.metric is None or isinstance(cfg.metric, str) else list(cfg.metric)
    paths = []
    for name in names:
        found = grouped(runs, metric=name, x=cfg.x, lines=cfg.lines)
        console().print(sweep_table(found))
        if found.x is None:
            console().print("Nothing was swept, so nothing is drawn.")
            continue
        path = to / "figures" / f"{re.sub('[^A-Za-z0-9_.-]', '_', found.metric)}.png"
        paths.append(save_sweep_figure(found, path, spread=cfg.spread))
    return paths


def with_folders(arguments: Sequence[str]) -> list[str]:
    """Returns a command line on which what is no override is a folder.

    >>> with_folders(["multirun/a", "metric=test_loss"])
    ["folders=['multirun/a']", 'metric=test_loss']
    """
    bare = [each for each in arguments if each[:1] not in "-+~" and ("=" not in each or Path(each).is_dir())]
    rest = [each for each in arguments if each not in bare]
    return [f"folders=[{','.join(map(quoted, bare))}]", *rest] if bare else rest


@hydra.main(version_base="1.3", config_path="pkg://cloudedge_pl.conf", config_name="collect")
@clear_errors
def _app(cfg: DictConfig) -> None:
    collect(cfg)


def main() -> None:
    """Entry point of ``cloudedge collect``."""
    sys.argv[1:] = with_folders(sys.argv[1:])
    run(_app)
