"""A trained network as files that any model server runs: edge part, exit head and cloud part."""

from cloudedge_pl.export.bundle import Exported, export_bundle

__all__ = ["Exported", "export_bundle"]
