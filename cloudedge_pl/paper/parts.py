"""The parts of the reproduction: the paper's tables and figures, and a map of where its system pays."""

from __future__ import annotations

from cloudedge_pl.paper.delays import measure_fig6
from cloudedge_pl.paper.learning import measure_fig9
from cloudedge_pl.paper.memory import measure_fig5
from cloudedge_pl.paper.part import Part
from cloudedge_pl.paper.positions import measure_table1
from cloudedge_pl.paper.schedules import measure_fig7
from cloudedge_pl.paper.systems import measure_table2
from cloudedge_pl.paper.volume import measure_fig8
from cloudedge_pl.paper.wins import measure_map

PLANNED_WITH = ("data", "model", "fleet", "workload", "formulas", "codec", "exit_head", "image_size")
"""Keys of the config on which the costs of the split points depend."""

TRAINED_WITH = (
    "data",
    "model",
    "trainer",
    "fleet",
    "link_process",
    "codec",
    "exit_head",
    "offloading",
    "scheduler",
    "strategy",
    "callbacks",
    "training",
)
"""Keys of the config on which a training depends."""

SIMULATED_WITH = (
    *PLANNED_WITH,
    "jpeg_pictures",
    "offloading",
    "scenario",
    "link_process",
    "churn",
    "dormancy",
    "scheduler",
    "node_counts",
    "num_tasks",
    "seeds",
    "seed",
)
"""Keys on which the simulated systems depend."""

ALL: tuple[Part, ...] = (
    Part(
        name="table1",
        title="Table 1: the offloading position on 10, 20 and 30 nodes",
        measure=measure_table1,
        needs=(*PLANNED_WITH, "offloading", "node_counts"),
    ),
    Part(
        name="fig5",
        title="Figure 5: memory over the offloading positions",
        measure=measure_fig5,
        needs=(*PLANNED_WITH, "small_image_size"),
    ),
    Part(
        name="fig6",
        title="Figure 6: delay over the offloading positions",
        measure=measure_fig6,
        needs=PLANNED_WITH,
    ),
    Part(
        name="fig7",
        title="Figure 7: execution time and convergence of the schedulers",
        measure=measure_fig7,
        needs=("data", "model", "fleet", "image_size", "seeds", "seed", "schedule_sizes"),
    ),
    Part(
        name="fig8",
        title="Figure 8: data that a task sends to the cloud",
        measure=measure_fig8,
        needs=(*SIMULATED_WITH, "small_image_size"),
    ),
    Part(
        name="table2",
        title="Table 2: delay and energy of the systems",
        measure=measure_table2,
        needs=SIMULATED_WITH,
    ),
    Part(
        name="fig9",
        title="Figure 9: error over training",
        measure=measure_fig9,
        needs=TRAINED_WITH,
    ),
    Part(
        name="map",
        title="Map: where a cut wins",
        measure=measure_map,
        needs=SIMULATED_WITH,
    ),
)

PARTS: dict[str, Part] = {part.name: part for part in ALL}
"""By name, in the order of the paper."""
