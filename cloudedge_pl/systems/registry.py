"""The systems by name: :data:`PRESETS` is the one table that ``cloudedge compare`` chooses from.

All of them share fleet, link, tasks, network and weights. The joules are those of the fleet; the cloud's are not
modelled for any system. A system of your own is a :class:`~cloudedge_pl.systems.System`.
"""

from __future__ import annotations

from typing import Final

from cloudedge_pl.systems.services import LeastCost, WeightedTransmission
from cloudedge_pl.systems.system import BARGAINING, System

_SAME = "cut and scheduler are ours, so that the difference is that of the exits"

PRESETS: Final[dict[str, System]] = {
    "ours": System(
        title="ours",
        sleeps=True,
        source="Xu 2020",
        deviates="the scheduler and the rule of dormancy are those that are given, by default corrected ones",
    ),
    "ours_exits": System(
        title="ours, sure samples exit",
        sleeps=True,
        exits="confidence",
        source="Xu 2020, and Jazbec et al. 2024 for the threshold",
        deviates="the paper has no exits while the cloud is awake",
    ),
    "ours_awake": System(
        title="ours, cloud always awake",
        source="Xu 2020 without dormancy",
        deviates="nothing",
    ),
    "cloud_raw": System(
        title="cloud only, 8-bit pictures",
        cut="cloud",
        source="Xu 2020, Fig. 8",
        deviates="a picture goes through a node, whose radio sends it on",
    ),
    "cloud_jpeg": System(
        title="cloud only, JPEG",
        cut="cloud",
        input_codec="jpeg",
        source="the obvious alternative to a cut",
        deviates="seconds and joules of coding are not counted",
    ),
    "edge_only": System(
        title="edge only",
        cut="edge",
        source="the other end of every plan",
        deviates="it runs although it may break the limit on memory; the table says so",
    ),
    "branchynet": System(
        title="BranchyNet",
        exits="entropy",
        exit_method="crc",
        source="Teerapittayanon et al. 2016",
        deviates=f"one branch, the exit head on the master; the threshold keeps the limit on average; {_SAME}",
    ),
    "ddnn": System(
        title="DDNN",
        exits="entropy",
        exit_method="crc",
        exits_on_node=True,
        source="Teerapittayanon et al. 2017",
        deviates="one exit head instead of one on the devices and one at the edge; features have 8 bits instead of "
        f"1; no task is seen by several devices; limits do not count the nodes' exit heads; {_SAME}",
    ),
    "masm": System(
        title="MASM",
        service=LeastCost(),
        source="Zhang et al. 2019, as Xu 2020, Sec. 1, describes it",
        deviates="two services, exit head and cloud, behind our cut; half of the tasks need the cloud's accuracy",
    ),
    "neurosurgeon_delay": System(
        title="Neurosurgeon, least delay",
        cut="min_delay",
        source="Kang et al. 2017",
        deviates="planned once for the mean link, not anew for every task, and under the limits of the plan",
    ),
    "neurosurgeon_energy": System(
        title="Neurosurgeon, least energy",
        cut="min_energy",
        source="Kang et al. 2017",
        deviates="planned once for the mean link, not anew for every task, and under the limits of the plan",
    ),
    "work_stealing": System(
        title="DeepThings",
        scheduler="work_stealing",
        source="Zhao et al. 2018",
        deviates="whole tasks are stolen, not tiles of a layer; behind the cut the cloud goes on",
    ),
    "gws": System(
        title="GWS",
        scheduler=BARGAINING,
        source="Xiao et al. 2018, as Xu 2020, Sec. 1, describes it",
        deviates="nodes run one task at a time; the shares of the bargain follow from the mean rate",
    ),
    "transmission_aware": System(
        title="Huang 2018",
        service=WeightedTransmission(),
        source="Huang et al. 2018, as Xu 2020, Sec. 1, describes it",
        deviates="the weight is a price of 10 ms for a point of accuracy; transmissions keep the order of arrival",
    ),
}
"""The systems by name, in the order of the table."""
