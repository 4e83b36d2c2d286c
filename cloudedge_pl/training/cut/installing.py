"""Puts a :class:`~cloudedge_pl.training.cut.forward.CutForward` in place of a backbone's ``forward``, and back."""

from __future__ import annotations

from typing import Any

from torch import nn

from cloudedge_pl.lightning import pl
from cloudedge_pl.training.cut.forward import CutForward

_PATCHED = ("forward", "__reduce_ex__")


def install(forward: CutForward) -> None:
    """Replaces the backbone's ``forward``. Pickles and copies of the backbone are those of the plain one."""
    backbone = forward.backbone
    remove(backbone)
    backbone.forward = forward
    # pickle and deepcopy look up the object before its class, so neither attribute is in what they write.
    backbone.__dict__["__reduce_ex__"] = _PlainPickle(backbone)


def remove(backbone: nn.Module) -> None:
    """Restores the backbone's own ``forward``."""
    for name in _PATCHED:
        backbone.__dict__.pop(name, None)


class _PlainPickle:
    """Reduces a cut backbone as its class reduces the plain one.

    Args:
        backbone: the backbone that is cut.
    """

    def __init__(self, backbone: nn.Module) -> None:
        self._backbone = backbone

    def __call__(self, protocol: Any) -> Any:
        attributes = self._backbone.__dict__
        patched = {name: attributes.pop(name) for name in _PATCHED if name in attributes}
        try:
            reduced = type(self._backbone).__reduce_ex__(self._backbone, protocol)
            if isinstance(
                reduced, tuple
            ):  # the state may be the dictionary itself, which is patched again below
                reduced = tuple(dict(part) if part is attributes else part for part in reduced)
        finally:
            attributes.update(patched)
        return reduced


def find_backbone(module: pl.LightningModule, name: str) -> nn.Module:
    """Returns the submodule of ``module`` with this name, dots allowed; the module itself for "".

    Raises:
        ValueError: if there is none; the message lists the submodules there are.
    """
    try:
        backbone = module.get_submodule(name)
    except AttributeError:
        names = [child for child, _ in module.named_children()]
        raise ValueError(
            f"{type(module).__name__} has no submodule {name!r}, the backbone to cut. Its submodules: "
            f"{', '.join(names) or 'none'}. Name one with CloudEdgeStrategy(backbone=...), or give "
            'backbone="" where the module\'s own forward is the network.'
        ) from None
    return backbone
