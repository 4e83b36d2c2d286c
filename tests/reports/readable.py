"""Whether a figure can be read: no words over words, no words off the page, no legend over data."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SLACK_PIXELS = 1.0

Drawn = list[tuple[Figure, dict[str, Bbox]]]


def watch(monkeypatch: pytest.MonkeyPatch, modules: Iterable[ModuleType]) -> Drawn:
    """Every figure that the modules save from now on, with the boxes of the texts that were drawn, ticks out of sight
    left out."""
    boxes: dict[int, tuple[Text, Bbox]] = {}
    figures: Drawn = []
    draw = Text.draw

    def watched(self: Text, renderer: Any, *more: Any, **options: Any) -> Any:
        if self.get_visible() and self.get_text().strip():
            boxes[id(self)] = self, self.get_window_extent(renderer)
        return draw(self, renderer, *more, **options)

    def save(figure: Figure, path: Path) -> Path:
        figure.draw_without_rendering()  # settles the layout
        boxes.clear()
        figure.savefig(path, dpi=figure.dpi)
        shown = {f"{text.get_text()} ({number})": box for number, (text, box) in enumerate(boxes.values())}
        figures.append((figure, shown))
        return path

    monkeypatch.setattr(Text, "draw", watched)
    for module in modules:
        monkeypatch.setattr(module, "save_figure", save)
    return figures


def assert_readable(figure: Figure, texts: dict[str, Bbox]) -> None:
    assert texts
    page = figure.bbox
    for words, box in texts.items():
        assert page.x0 - 1 <= box.x0, words
        assert box.x1 <= page.x1 + 1, words
    overlapping = [
        (one, other)
        for (one, first), (other, second) in combinations(texts.items(), 2)
        if min(first.x1, second.x1) - max(first.x0, second.x0) > SLACK_PIXELS
        and min(first.y1, second.y1) - max(first.y0, second.y0) > SLACK_PIXELS
    ]
    assert not overlapping
    for axes in figure.axes:
        assert_legend_beside_data(axes)


def assert_legend_beside_data(axes: Axes) -> None:
    legend = axes.get_legend()
    if legend is None:
        return
    box = legend.get_window_extent()
    for line in axes.lines:
        points = line.get_transform().transform(line.get_xydata().astype(float))
        inside = [box.contains(x, y) for x, y in points if np.isfinite([x, y]).all()]
        assert not any(inside), line.get_label()
