"""The style of all figures: one palette, one layout, one way to save.

A colour has the same meaning in all figures, so that a reader learns it once. The colours are those of Okabe and Ito's
palette, which readers of every kind of colour vision can tell apart. Where colours meet, a marker, a dash or a label
repeats the distinction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import Formatter

from cloudedge_pl.costs.units import Writer, written_apart
from cloudedge_pl.files import written_whole

CLOUD: Final = "#0072B2"
EDGE: Final = "#D55E00"
EXIT: Final = "#E69F00"
ANSWERED: Final = "#009E73"
LINK: Final = "#56B4E9"
LIMIT: Final = "#B3245B"
ASLEEP: Final = "#E4E7F0"
INK: Final = "#1F2430"
MUTED: Final = "#7A8194"
STATIC: Final = "#B8BDC9"
GRID: Final = "#E3E6EC"

SERIES: Final = (CLOUD, EDGE, ANSWERED, EXIT, "#CC79A7", LINK)
"""Colours for series without a meaning of their own, in order."""

_STYLE: Final[Any] = {
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
    "savefig.dpi": 160,
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=SERIES),
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@contextmanager
def figure_style() -> Iterator[None]:
    """Applies the project's style to figures that are drawn and saved inside the context."""
    with mpl.rc_context(_STYLE):
        yield


def new_figure(width_inches: float = 8.0, height_inches: float = 4.5) -> Figure:
    """Returns an empty figure with automatic layout; it uses neither pyplot's global state nor a display."""
    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def legend_below_title(axes: Axes, *more: Artist, columns: int | None = None) -> None:
    """Puts the legend between title and plot, where it hides no data.

    Args:
        axes: axes with a title.
        *more: further entries, which come last.
        columns: entries in a row; None puts all of them into one row.
    """
    handles = [*axes.get_legend_handles_labels()[0], *more]
    columns = columns or len(handles)
    axes.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        borderaxespad=0.3,
        borderpad=0.0,
        handlelength=1.6,
        columnspacing=1.4,
    )
    axes.set_title(axes.get_title(loc="left"), pad=11 + 15 * math.ceil(len(handles) / columns))


class QuantityFormatter(Formatter):
    """Writes the ticks of an axis with a unit, and with as many digits as are needed to tell them apart."""

    def __init__(self, write: Writer) -> None:
        self.write = write

    def __call__(self, value: float, pos: int | None = None) -> str:
        return self.write(value)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """The texts of all ticks; values that differ from 0 by rounding only are written as 0."""
        step = float(np.diff(values).min()) if len(values) > 1 else 0.0
        return list(
            written_apart(self.write, (0.0 if abs(value) < 1e-9 * step else value for value in values))
        )


def seconds_scale(values: np.ndarray) -> tuple[float, str]:
    """A factor and a unit that make values in seconds easy to read."""
    highest = np.nanmax(np.abs(values), initial=0.0)
    if highest < 1:
        return 1e3, "ms"
    if highest < 600:
        return 1.0, "s"
    return (1 / 60, "min") if highest < 3 * 3600 else (1 / 3600, "h")


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes the figure as PNG, makes its folder if necessary, and returns the path."""
    with written_whole(path) as part:
        figure.savefig(part)
    return path
