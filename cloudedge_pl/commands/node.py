"""``cloudedge node bundle=DIR``: serves the edge part of a bundle, over onnxruntime."""

from __future__ import annotations

from functools import partial

from cloudedge_pl.commands.serving import main_of, serve_part


def main() -> None:
    """Entry point of ``cloudedge node``."""
    main_of("node", partial(serve_part, "edge"))
