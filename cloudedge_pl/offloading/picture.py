"""Every cut against the simplest alternative: to send the picture to the cloud and run the whole network there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from cloudedge_pl.costs.input_codec import InputCodec
from cloudedge_pl.fleet import Workload
from cloudedge_pl.offloading.goal import OffloadGoal
from cloudedge_pl.offloading.plan import OffloadPlan


@dataclass(frozen=True, eq=False)
class PictureBaseline:
    """What it costs to send the picture, and which split points lose against that.

    The baseline is split point 0, which runs the whole network in the cloud. It never loses.

    Args:
        codec: the form in which the picture is sent.
        num_bytes: of one picture.
        delay_seconds: of one task on the slowest node.
        energy_joules: of one task, mean over all nodes.
        sends_more: [N + 1] bool, whether a split point sends more bytes to the cloud than the picture has.
        is_slower: [N + 1] bool, whether the delay of a split point is longer.
    """

    codec: InputCodec
    num_bytes: float
    delay_seconds: float
    energy_joules: float
    sends_more: np.ndarray
    is_slower: np.ndarray

    @property
    def loses(self) -> np.ndarray:
        """Whether a split point sends more or is slower [N + 1], bool."""
        return self.sends_more | self.is_slower


def picture_baseline(plan: OffloadPlan) -> PictureBaseline:
    """Compares every split point of a plan with sending the picture in the form that the goal names."""
    costs = plan.costs
    sent, delay = costs.upload_bytes, costs.delay_seconds
    return PictureBaseline(
        codec=plan.goal.picture,
        num_bytes=float(sent[0]),
        delay_seconds=float(delay[0]),
        energy_joules=float(costs.energy_joules[0]),
        sends_more=sent > sent[0],
        is_slower=delay > delay[0],
    )


def with_picture_bytes(
    workload: Workload, goal: OffloadGoal, measure: Callable[[InputCodec], float] | None = None
) -> Workload:
    """Returns a workload that knows the bytes of a picture in the form that the goal names.

    Args:
        workload: its ``picture_bytes`` stay, if it has them.
        goal: with the form of the picture; "raw" needs no bytes.
        measure: takes the form and returns the mean bytes of a picture; None if there are no pictures.

    Raises:
        ValueError: if the bytes are neither given nor measurable.
    """
    codec = goal.picture
    if codec.is_raw or workload.picture_bytes is not None:
        return workload
    if measure is None:
        raise ValueError(
            f"offloading: input_codec is {goal.input_codec!r}, and the bytes of a picture depend on the data. In "
            "cloudedge plan name the data (data=digits) or the bytes (workload.picture_bytes=900). In Python give "
            "Workload(picture_bytes=datamodule.picture_bytes(goal.picture)), or in training a data module with a "
            "method picture_bytes(codec), as those of cloudedge_pl.data have."
        )
    return replace(workload, picture_bytes=measure(codec))
