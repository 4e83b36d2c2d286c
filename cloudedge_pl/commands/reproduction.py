"""The folder of a reproduction: a part is kept while its settings are the same, and made anew when they change."""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cloudedge_pl.errors import lookup
from cloudedge_pl.files import new_folder, written_whole
from cloudedge_pl.paper.part import Part, PartResult, Report
from cloudedge_pl.paper.setting import PaperSetting
from cloudedge_pl.reports.paper import FIGURES

RESULT, MARK, ERROR = "result.json", "fingerprint.txt", "error.txt"
"""Files in the folder of a part: what it found, the settings that it is made with, and why it failed."""

MADE, KEPT, FAILED, STOPPED, ABSENT = "made", "kept", "failed", "stopped", "not made"


class PartsFailed(RuntimeError):
    """Some parts raised an error; the others are made."""


@dataclass(eq=False, kw_only=True)
class Outcome:
    """What became of a part.

    Attributes:
        part: which one.
        state: made now, kept from an earlier call, failed, stopped by a signal, or not made.
        result: what it found; None unless it is made or kept.
        seconds: how long that took.
        made_on: date and time of the end, of the machine's clock.
        machine: on which it was made.
        error: one line, if it failed.
    """

    part: Part
    state: str = ABSENT
    result: PartResult | None = None
    seconds: float | None = None
    made_on: str = ""
    machine: str = ""
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns what summary.json says of the part."""
        verdicts = () if self.result is None else self.result.verdicts
        return {
            "state": self.state,
            "error": self.error or None,
            "seconds": self.seconds,
            "made_on": self.made_on or None,
            "verdicts": [
                {
                    "claim": each.claim,
                    "state": each.state,
                    "at_setting": each.at_setting,
                    "measured": each.measured,
                }
                for each in verdicts
            ],
        }


def fingerprint(part: Part, content: Mapping[str, Any], folder: Path, version: str) -> str:
    """Returns a digest of all that a part's result depends on.

    Args:
        part: which one.
        content: the resolved config.
        folder: of the reproduction; paths below it do not count, so that it can be moved.
        version: of the package.

    Raises:
        ValueError: if the part needs a key that the config does not have.
    """
    needed = {name: lookup(content, name, f"key that {part.name} needs,") for name in part.needs}
    text = json.dumps([part.name, version, needed], sort_keys=True, default=str)
    return hashlib.sha256(text.replace(json.dumps(str(folder))[1:-1], ".").encode()).hexdigest()


class Reproduction:
    """The folder with the parts' files.

    Args:
        folder: of the reproduction.
        fingerprints: by the parts' names.
        machine: on which parts are made.
    """

    def __init__(self, folder: Path, fingerprints: Mapping[str, str], machine: str) -> None:
        self.folder = folder
        self._fingerprints = fingerprints
        self._machine = machine

    def find(self, part: Part) -> Outcome:
        """Returns the part as an earlier call left it; not made if that had other settings, or did not finish."""
        try:
            content = json.loads((self.folder / part.name / RESULT).read_text(encoding="utf-8"))
            if content["fingerprint"] != self._fingerprints[part.name]:
                return Outcome(part=part)
            return Outcome(
                part=part,
                state=KEPT,
                result=PartResult.from_json(content),
                seconds=content["seconds"],
                made_on=content["made_on"],
                machine=content["machine"],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return Outcome(part=part)

    def make(self, part: Part, setting: PaperSetting, report: Report, *, anew: bool = False) -> Outcome:
        """Makes a part, and writes its result.

        Files of an unfinished part of the same settings stay in its folder for it to go on; those of other settings are
        moved to ``<name>-earlier``.

        Args:
            part: which one.
            setting: what it is made with.
            report: who is told of the progress.
            anew: whether to begin anew in any case.

        Returns:
            The part, made or failed. A signal is not caught.
        """
        folder = self._prepared(part, anew)
        started = time.perf_counter()
        try:
            result = part.measure(setting, report)
        except Exception as error:
            return Outcome(part=part, state=FAILED, error=self._noted(error, folder))
        context = {
            "part": part.name,
            "fingerprint": self._fingerprints[part.name],
            "seconds": time.perf_counter() - started,
            "made_on": datetime.now().isoformat(sep=" ", timespec="minutes"),
            "machine": self._machine,
        }
        result.save(folder / RESULT, context)
        found = self.find(part)  # read back, so that a kept part and one that is made now give the same page
        found.state = MADE
        return found

    def publish(self, found: Outcome) -> Path | None:
        """Writes the tables of a part as CSV, and its picture.

        Args:
            found: the part; it becomes failed if it cannot be drawn.

        Returns:
            The picture; None if there is no result, or no drawing of it.
        """
        name, result = found.part.name, found.result
        if result is None:
            return None
        for key, file in result.files(name).items():
            result.tables[key].save_csv(self.folder / file)
        draw = FIGURES.get(name)
        if draw is None:
            return None
        try:
            return draw(result, self.folder / f"{name}.png")
        except Exception as error:
            found.state, found.error = FAILED, self._noted(error, self.folder / name)
            return None

    def _noted(self, error: Exception, folder: Path) -> str:
        """Writes the traceback of an error to the part's folder, and returns the error as one line."""
        with written_whole(folder / ERROR) as path:
            path.write_text(traceback.format_exc(), encoding="utf-8")
        return f"{type(error).__name__}: {' '.join(str(error).split())} (traceback: {folder.name}/{ERROR})"

    def _prepared(self, part: Part, anew: bool) -> Path:
        """Returns the part's folder, without the files of other settings."""
        folder, own = self.folder / part.name, self._fingerprints[part.name]
        mark = folder / MARK
        same = mark.is_file() and mark.read_text(encoding="utf-8").strip() == own
        if folder.is_dir() and (anew or not same):
            for name in (RESULT, MARK, ERROR):
                (folder / name).unlink(missing_ok=True)
            if any(folder.iterdir()):
                folder.rename(new_folder(self.folder / f"{part.name}-earlier"))
        (folder / ERROR).unlink(missing_ok=True)
        with written_whole(mark) as path:
            path.write_text(own + "\n", encoding="utf-8")
        return folder
