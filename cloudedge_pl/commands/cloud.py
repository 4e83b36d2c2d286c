"""``cloudedge cloud bundle=DIR``: serves the cloud part of a bundle, over onnxruntime."""

from __future__ import annotations

from functools import partial

from cloudedge_pl.commands.serving import main_of, serve_part


def main() -> None:
    """Entry point of ``cloudedge cloud``."""
    main_of("cloud", partial(serve_part, "cloud"))
