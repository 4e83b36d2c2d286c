"""Figure 8: how many bytes a task sends to the cloud, with a cut, with dormancy, and in other forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from cloudedge_pl.costs.codec import CodecConfig
from cloudedge_pl.costs.units import format_bytes, format_factor
from cloudedge_pl.dormancy import DormancyRule
from cloudedge_pl.offloading import OffloadGoal
from cloudedge_pl.paper.part import PartResult, Report, Table
from cloudedge_pl.paper.runs import Outcome, Point, Runs, jpeg_of, lower, mean_of, planned_goal, values_of
from cloudedge_pl.paper.setting import PaperSetting
from cloudedge_pl.paper.verdict import Trial, Verdict, judge
from cloudedge_pl.systems import PRESETS, System

FORMS: Final = {
    "float32": CodecConfig("none"),
    "float16": CodecConfig("float16"),
    "int8": CodecConfig("int8"),
    "bottleneck": CodecConfig("bottleneck", ratio=0.25),
}
"""Forms of cut tensors. The network's own dtype is float32; the bottleneck keeps a quarter of the channels."""

CLOUD_ONLY, AWAKE, ASLEEP, PAPER_RULE = (
    "cloud only",
    "collaborative",
    "with dormancy",
    "with the paper's rule of dormancy",
)
"""The schemes of the figure, and dormancy by the bare rule that the paper states."""

VARIATIONS: Final = (0.0, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
LOADS: Final = (2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 80.0)
"""Tasks per second."""

MOST_REPETITIONS: Final = 5
PAPER: Final = DormancyRule(mode="paper")


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """What is sent, and when.

    Args:
        name: one of the schemes.
        system: that runs it.
        dormancy: its rule; None takes the setting's.
    """

    name: str
    system: System
    dormancy: DormancyRule | None = None


CUT_SCHEMES: Final = (
    Scheme(name=AWAKE, system=PRESETS["ours_awake"]),
    Scheme(name=ASLEEP, system=PRESETS["ours"]),
    Scheme(name=PAPER_RULE, system=PRESETS["ours"], dormancy=PAPER),
)


class Volumes:
    """Bytes that are uploaded, from the simulator.

    Args:
        setting: of the paper.
    """

    def __init__(self, setting: PaperSetting) -> None:
        self.setting, self._runs = setting, Runs(setting, MOST_REPETITIONS)

    def outcomes(self, scheme: Scheme, point: Point) -> list[Outcome] | None:
        """Returns every repetition; None where the plan finds no split point.

        One is enough while the cloud is awake, because all tasks then send equally many bytes.
        """
        once = None if scheme.system.sleeps else 1
        return self._runs.outcomes(scheme.system, replace(point, dormancy=scheme.dormancy), repetitions=once)

    def upload(self, scheme: Scheme, point: Point) -> float | None:
        """Returns the mean bytes of an answer; None where the plan finds no split point."""
        found = self.outcomes(scheme, point)
        return None if found is None else mean_of(found, "mean_upload_bytes")

    def last(self, *, small: bool) -> int:
        """Returns the last split point that cuts the network."""
        return (self.setting.small_profile if small else self.setting.profile).num_segments - 1

    def picture(self, *, small: bool) -> float:
        """Returns the bytes of a picture of 8 bits a value."""
        profile = self.setting.small_profile if small else self.setting.profile
        given = self.setting.workload.input_bytes
        return float(profile.input_elements if given is None else given)


def measure_fig8(setting: PaperSetting, report: Report) -> PartResult:
    """Measures the average data volume of the paper's Figure 8.

    Args:
        setting: of the paper; both of its profiles are used.
        report: is told of the progress.

    Source: Xu 2020, Sec. 4, Fig. 8; deviates: the paper says neither where the network is cut nor how many bytes a
    picture has, so every split point, several forms and two sizes of pictures are measured.
    """
    volumes = Volumes(setting)
    report.step("schemes at the planned cut", 0, 4)
    schemes = _schemes(volumes)
    report.step("every split point", 1, 4)
    cuts = _cuts(volumes)
    report.step("verdicts", 2, 4)
    verdicts = (_cut_verdict(volumes), _dormancy_verdict(volumes), _both_verdict(volumes))
    report.step("done", 4, 4)
    return PartResult(
        verdicts=verdicts,
        tables={"schemes": schemes, "cuts": cuts},
        notes=_notes(volumes),
        commands=(
            "cloudedge compare data.image_size=224 fleet=paper workload=paper codec=none "
            "'systems=[cloud_raw,cloud_jpeg,ours_awake,ours]'",
            "cloudedge compare data.image_size=224 fleet=paper workload=paper codec=int8 offloading.split_point=31 "
            "'systems=[cloud_raw,ours_awake,ours]'",
        ),
    )


def _schemes(volumes: Volumes) -> Table:
    """Every scheme and form, at the planned cut and at the last one, for both sizes of pictures."""
    setting, rows = volumes.setting, []
    for small in (True, False):
        size, point = _size(setting, small), Point(small=small)
        picture = volumes.picture(small=small)
        rows.append(_row(size, "raw", CLOUD_ONLY, "none", _pictures(volumes, "cloud_raw", point), picture))
        if setting.measure_picture is not None:
            jpeg = _pictures(volumes, "cloud_jpeg", point)
            rows.append(_row(size, str(jpeg_of(setting)), CLOUD_ONLY, "none", jpeg, picture))
        for cut, goal in _goals(volumes, small).items():
            for form, codec in FORMS.items():
                for scheme in CUT_SCHEMES:
                    found = volumes.outcomes(scheme, replace(point, codec=codec, goal=goal))
                    if found is not None:
                        rows.append(_row(size, form, scheme.name, cut, found, picture))
    return Table.of_rows("Data that a task sends to the cloud, by scheme", rows)


def _goals(volumes: Volumes, small: bool) -> dict[str, OffloadGoal]:
    """The planned cut, and the last one if that is another."""
    last = Point(small=small, goal=volumes.setting.goal).cut_at(volumes.last(small=small))
    goals = {"planned": planned_goal(volumes.setting)}
    if _at(volumes, CUT_SCHEMES[0], Point(small=small)) != volumes.last(small=small):
        goals["last"] = last.goal or OffloadGoal()
    return goals


def _pictures(volumes: Volumes, name: str, point: Point) -> list[Outcome]:
    found = volumes.outcomes(Scheme(name=name, system=PRESETS[name]), point)
    assert found is not None, "a system without a choice always has a plan"
    return found


def _row(
    size: int, form: str, scheme: str, cut: str, found: Sequence[Outcome], picture: float
) -> dict[str, float | int | str | None]:
    sent = values_of(found, "mean_upload_bytes")
    asleep = values_of(found, "share_asleep")
    return {
        "image_size": size,
        "scheme": scheme,
        "form": form,
        "cut": cut,
        "split_point": found[0].result.split_point,
        "upload_bytes": float(sent.mean()),
        "least_upload_bytes": float(sent.min()),
        "most_upload_bytes": float(sent.max()),
        "times_the_picture": float(sent.mean()) / picture,
        "asleep_share": float(asleep.mean()) if len(asleep) else None,
        "to_exit_head_bytes": mean_of(found, "mean_exit_bytes"),
    }


def _cuts(volumes: Volumes) -> Table:
    """Every split point that cuts: in every form while awake, and with dormancy in the setting's form."""
    setting, rows = volumes.setting, []
    lines: list[tuple[str, CodecConfig | None, Scheme]]
    lines = [(form, codec, CUT_SCHEMES[0]) for form, codec in FORMS.items()]
    lines += [(next(iter(FORMS)), None, scheme) for scheme in CUT_SCHEMES[1:]]
    for small in (True, False):
        profile = setting.small_profile if small else setting.profile
        picture = volumes.picture(small=small)
        for form, codec, scheme in lines:
            for at in range(1, profile.num_segments):
                sent = volumes.upload(scheme, Point(small=small, codec=codec).cut_at(at))
                assert sent is not None
                rows.append(
                    (_size(setting, small), form, scheme.name, at, profile.names[at], sent, sent / picture)
                )
    names = ("image_size", "form", "scheme", "split_point", "split_name", "upload_bytes", "times_the_picture")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return Table(title="Data that a task sends to the cloud, by split point", columns=columns)


def _size(setting: PaperSetting, small: bool) -> int:
    return setting.small_image_size if small else setting.image_size


def _cut_verdict(volumes: Volumes) -> Verdict:
    """Whether a cut sends less than the picture."""
    awake = CUT_SCHEMES[0]
    sent, picture = volumes.upload(awake, Point()), volumes.picture(small=False)
    split_point, axes = _at(volumes, awake, Point()), _axes(volumes, awake, CLOUD_ONLY)
    numbers = {"picture_bytes": picture, "cut_bytes": sent or np.nan, "split_point": split_point}
    measured = (
        f"Cut at {split_point}, where the plan puts it, a task sends {format_bytes(numbers['cut_bytes'])}, "
        f"{format_factor(numbers['cut_bytes'] / picture)} times the {format_bytes(picture)} of an 8-bit picture."
    )
    claim = "Cutting the network reduces the data that is uploaded, against sending the picture to the cloud."
    return judge(claim, measured, numbers, at_setting=lower(numbers["cut_bytes"], picture), axes=axes)


def _dormancy_verdict(volumes: Volumes) -> Verdict:
    """Whether dormancy sends less than the same cut without it."""
    awake, asleep, paper = CUT_SCHEMES
    without = volumes.upload(awake, Point()) or np.nan
    with_rule, with_paper = (volumes.upload(each, Point()) or np.nan for each in (asleep, paper))
    numbers = {"awake_bytes": without, "dormancy_bytes": with_rule, "paper_rule_bytes": with_paper}
    measured = (
        f"It saves {1 - with_rule / without:.1%} of the data with hysteresis, this project's rule, and "
        f"{1 - with_paper / without:.0%} with the bare rule of the paper; the exit head answers those tasks."
    )
    axes: dict[str, list[Trial]] = {
        "link variation": [
            _trial(volumes, asleep, Point(variation=each), AWAKE, {"link variation": each})
            for each in VARIATIONS
        ],
        "rule": [
            _trial(volumes, each, Point(), AWAKE, {"rule": name})
            for name, each in (("hysteresis", asleep), ("the paper's", paper))
        ],
        **{
            name: trials
            for name, trials in _axes(volumes, asleep, AWAKE).items()
            if name not in ("codec", "load in tasks/s")
        },
    }
    claim = "Dormancy reduces the uploaded data further."
    return judge(claim, measured, numbers, at_setting=lower(with_rule, without), axes=axes)


def _both_verdict(volumes: Volumes) -> Verdict:
    """Whether cut and dormancy together send less than the picture."""
    paper, picture = CUT_SCHEMES[2], volumes.picture(small=False)
    sent = volumes.upload(paper, Point()) or np.nan
    axes = {
        "link variation": [
            _trial(volumes, paper, Point(variation=each), CLOUD_ONLY, {"link variation": each})
            for each in VARIATIONS
        ],
        **_axes(volumes, paper, CLOUD_ONLY),
    }
    measured = (
        f"With the paper's rule of dormancy the same cut sends {format_bytes(sent)} a task, "
        f"{format_factor(sent / picture)} times the picture."
    )
    claim = "Cut and dormancy together upload less than sending the picture."
    numbers = {"picture_bytes": picture, "paper_rule_bytes": sent}
    return judge(claim, measured, numbers, at_setting=lower(sent, picture), axes=axes)


def _axes(volumes: Volumes, scheme: Scheme, against: str) -> dict[str, list[Trial]]:
    """What both claims depend on: the split point, the form, the pictures, the nodes and the load."""
    setting = volumes.setting
    last = volumes.last(small=False)
    points: dict[str, list[tuple[float | str, Point]]] = {
        "split point": [(at, Point().cut_at(at)) for at in range(1, last + 1)],
        "codec": [(name, Point(codec=codec)) for name, codec in FORMS.items()],
        "image size in pixels": [(_size(setting, small), Point(small=small)) for small in (True, False)],
        "nodes": [(nodes, Point(num_nodes=nodes)) for nodes in setting.node_counts],
        "load in tasks/s": [(rate, Point(tasks_per_second=rate)) for rate in LOADS],
    }
    tried = {
        axis: [
            _trial(volumes, scheme, point, against, {axis: value})
            for value, point in each
            if _exists(volumes, point)
        ]
        for axis, each in points.items()
    }
    return {axis: trials for axis, trials in tried.items() if trials}


def _exists(volumes: Volumes, point: Point) -> bool:
    return volumes.outcomes(CUT_SCHEMES[0], point) is not None


def _trial(
    volumes: Volumes, scheme: Scheme, point: Point, against: str, setting: Mapping[str, float | str]
) -> Trial:
    """Whether a scheme sends less at a point than the picture, or than the same cut awake."""
    sent = volumes.upload(scheme, point)
    other = (
        volumes.picture(small=point.small) if against == CLOUD_ONLY else volumes.upload(CUT_SCHEMES[0], point)
    )
    assert sent is not None
    assert other is not None
    return Trial(setting=setting, holds=lower(sent, other), value=sent / other)


def _at(volumes: Volumes, scheme: Scheme, point: Point) -> int:
    found = volumes.outcomes(scheme, point)
    return -1 if found is None else found[0].result.split_point


def _notes(volumes: Volumes) -> tuple[str, ...]:
    setting = volumes.setting
    notes = [
        "A cut counts what crosses it: two tensors inside a residual block. The planned cut is the deepest that keeps "
        "the limits and leaves each side a part; the last one is before the last layer.",
        f"The link's delay varies by a factor whose logarithm has a standard deviation of "
        f"{setting.base_fleet.link.variation:g}.",
        "While the cloud sleeps, cut tensors go to the exit head on the master instead; these bytes stay at the edge "
        "and are counted by themselves. Probes of the link are not counted; they are 64 bytes each.",
        "The codecs' effect on accuracy is not part of this figure.",
    ]
    if setting.measure_picture is not None:
        notes.append(
            "JPEG is measured on photographs that are scaled to the size of the pictures; with jpeg_pictures=data on "
            "the given data, whose pictures compress better if they are enlarged."
        )
    return tuple(notes)
