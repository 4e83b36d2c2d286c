"""``cloudedge reproduce``: the paper's tables and figures, made again, with a verdict on each of its claims.

Everything is in one folder, ``reproduction/<experiment>``: a picture and tables of each part, and the page
``report.html`` with all of them. Called again, the command keeps what was made with the same settings.
"""

from __future__ import annotations

import shlex
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from cloudedge_pl.commands.checking import check_config
from cloudedge_pl.commands.machine import machine
from cloudedge_pl.commands.paper_setting import MEASURED_ON, paper_setting, setting_in_words
from cloudedge_pl.commands.part_progress import PartProgress
from cloudedge_pl.commands.reporting import Progress, summary_if_stopped
from cloudedge_pl.commands.reproduction import (
    FAILED,
    KEPT,
    MADE,
    STOPPED,
    Outcome,
    PartsFailed,
    Reproduction,
    fingerprint,
)
from cloudedge_pl.commands.running import (
    clear_errors,
    console,
    output_dir,
    resolved,
    run,
    versions,
    write_json,
)
from cloudedge_pl.costs.units import format_seconds
from cloudedge_pl.data.photographs import LARGEST
from cloudedge_pl.errors import lookup, require_range, require_types
from cloudedge_pl.paper.part import Part
from cloudedge_pl.paper.parts import PARTS
from cloudedge_pl.paper.verdict import STATES
from cloudedge_pl.reports.paper.page import About, Section, save_page
from cloudedge_pl.reports.paper.verdict_table import verdict_table
from cloudedge_pl.signals import Interrupted

NEEDED = (
    "data",
    "model",
    "fleet",
    "workload",
    "scenario",
    "offloading",
    "formulas",
    "codec",
    "exit_head",
    "scheduler",
    "dormancy",
    "seed",
)


def _keys(
    only: list[str] | None,
    force: bool,
    dir: str,
    seeds: int,
    num_tasks: int,
    node_counts: list[int],
    schedule_sizes: list[int],
    image_size: int,
    small_image_size: int,
    jpeg_pictures: str,
) -> None:
    """The keys of the config, as a signature."""


def reproduce(cfg: DictConfig) -> dict[str, Any]:
    """Makes the parts that the config names, and a page with all that are made.

    Args:
        cfg: the composed config; see ``conf/reproduce.yaml``.

    Returns:
        The content of summary.json.

    Raises:
        PartsFailed: at the end, if a part raised an error.
    """
    with summary_if_stopped() as progress:
        started = time.perf_counter()
        wanted = _checked(cfg)
        call = _begin(cfg)
        progress.done = call.summary
        try:
            _make(call, wanted, progress)
        except Interrupted as signal:
            if not signal.at_once:
                call.save_page(time.perf_counter() - started)
                call.say_how_to_go_on()
            raise
        progress.stage = "report"
        pages = call.save_page(time.perf_counter() - started)
        summary = call.summary() | {"interrupted": None, "wall_seconds": time.perf_counter() - started}
        write_json(call.reproduction.folder / "summary.json", summary)
        call.report(pages)
        return summary


def _checked(cfg: DictConfig) -> list[Part]:
    """Checks the config, and returns the parts that it asks for in the order of the paper."""
    check_config(cfg, NEEDED)
    content = resolved(cfg)
    require_types("", _keys, content)
    for size in ("image_size", "small_image_size"):
        require_range("", 1, 4096, whole=True, **{size: content[size]})
    lookup(MEASURED_ON, content["jpeg_pictures"], "choice of jpeg_pictures")
    if content["jpeg_pictures"] == "photographs" and content["image_size"] > LARGEST:
        raise ValueError(
            f"image_size is {content['image_size']}, and the photographs of jpeg_pictures=photographs have {LARGEST} "
            "pixels; give jpeg_pictures=data, or a smaller size."
        )
    if content["only"] is None:
        return list(PARTS.values())
    if not content["only"]:
        raise ValueError(f"only is []; name at least one of: {', '.join(PARTS)}; null makes all.")
    names = [lookup(list(PARTS), name, "part of the reproduction") for name in content["only"]]
    return [part for name, part in PARTS.items() if name in names]


@dataclass(eq=False, kw_only=True)
class _Call:
    """One call of the command.

    Attributes:
        cfg: the composed config.
        reproduction: the folder.
        outcomes: what became of every part so far, by name.
        versions: of the packages.
        machine: in words.
    """

    cfg: DictConfig
    reproduction: Reproduction
    outcomes: dict[str, Outcome]
    versions: dict[str, str]
    machine: str

    def summary(self) -> dict[str, Any]:
        """Returns what summary.json holds so far."""
        states = Counter(
            verdict.state
            for found in self.outcomes.values()
            if found.result is not None
            for verdict in found.result.verdicts
        )
        return {
            "experiment": HydraConfig.get().runtime.choices.get("experiment"),
            "claims": {state: states[state] for state in STATES},
            "parts": {name: found.to_dict() for name, found in self.outcomes.items()},
            "seed": self.cfg.seed,
            "machine": self.machine,
            "versions": self.versions,
        }

    def save_page(self, wall_seconds: float) -> list[Path]:
        """Writes tables, pictures and the page of all parts that are made."""
        sections = []
        for name, found in self.outcomes.items():
            picture = self.reproduction.publish(found)
            sections.append(
                Section(
                    name=name,
                    title=found.part.title,
                    state=found.state,
                    result=found.result,
                    picture=picture,
                    seconds=found.seconds,
                    made_on=found.made_on,
                    machine=found.machine,
                    error=found.error,
                )
            )
        overrides = HydraConfig.get().overrides.task
        about = About(
            command=shlex.join(["cloudedge", "reproduce", *overrides]),
            setting=setting_in_words(self.cfg),
            machine=self.machine,
            versions=self.versions,
            wall_seconds=wall_seconds,
            made_on=datetime.now().isoformat(sep=" ", timespec="minutes"),
        )
        return save_page(sections, about, self.reproduction.folder)

    def say_how_to_go_on(self) -> None:
        """Says after a signal what the next call does."""
        made = [name for name, found in self.outcomes.items() if found.result is not None]
        text = f"Made so far: {', '.join(made) or 'nothing'}. The same command goes on from there."
        console().print(text, soft_wrap=True, markup=False)

    def report(self, pages: list[Path]) -> None:
        """Shows the verdicts and where everything is.

        Raises:
            PartsFailed: if there are any.
        """
        made = {name: found.result for name, found in self.outcomes.items() if found.result is not None}
        console().print(
            verdict_table((name, verdict) for name, each in made.items() for verdict in each.verdicts)
        )
        for page in pages:
            console().print(str(page), soft_wrap=True, markup=False, highlight=False)
        failed = [found for found in self.outcomes.values() if found.state == FAILED]
        if failed:
            errors = "; ".join(f"{found.part.name}: {found.error}" for found in failed)
            raise PartsFailed(
                f"{len(failed)} of {len(self.outcomes)} parts failed, and all others are kept. {errors}. The same "
                "command makes only what is missing."
            )


def _begin(cfg: DictConfig) -> _Call:
    """Looks up what earlier calls left."""
    folder, content, used = output_dir(), resolved(cfg), versions()
    marks = {name: fingerprint(part, content, folder, used["cloudedge_pl"]) for name, part in PARTS.items()}
    here = machine()
    reproduction = Reproduction(folder, marks, here)
    outcomes = {name: reproduction.find(part) for name, part in PARTS.items()}
    return _Call(cfg=cfg, reproduction=reproduction, outcomes=outcomes, versions=used, machine=here)


def _make(call: _Call, wanted: list[Part], progress: Progress) -> None:
    """Makes the parts one after the other; one that fails does not stop the others."""
    todo = [part for part in wanted if call.cfg.force or call.outcomes[part.name].state != KEPT]
    setting = paper_setting(call.cfg, call.reproduction.folder) if todo else None
    with PartProgress(console(), len(wanted)) as bar:
        for part in wanted:
            if part not in todo or setting is None:
                made_on = call.outcomes[part.name].made_on
                bar.end(f"{part.name}: kept, made on {made_on} with the same settings")
                continue
            progress.stage = f"part {part.name}"
            bar.begin(part)
            call.outcomes[part.name] = Outcome(part=part, state=STOPPED)  # until it is made
            found = call.reproduction.make(part, setting, bar, anew=call.cfg.force)
            call.outcomes[part.name] = found
            made = found.state == MADE
            bar.end(
                f"{part.name}: made in {format_seconds(found.seconds or 0.0)}"
                if made
                else f"{part.name}: failed: {found.error}"
            )


@hydra.main(version_base="1.3", config_path="pkg://cloudedge_pl.conf", config_name="reproduce")
@clear_errors
def _app(cfg: DictConfig) -> None:
    reproduce(cfg)


def main() -> None:
    """Entry point of ``cloudedge reproduce``."""
    run(_app)
