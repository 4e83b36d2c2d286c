"""Backbones by name: torchvision's classification models, untrained unless ``weights`` is given."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torchvision
from torch import nn
from torchvision.models import VisionTransformer

from cloudedge_pl.errors import lookup, require_positive

_VISION_TRANSFORMERS: dict[str, dict[str, int]] = {
    "vit_b_16": {"patch_size": 16, "num_layers": 12, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072},
    "vit_b_32": {"patch_size": 32, "num_layers": 12, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072},
    "vit_l_16": {"patch_size": 16, "num_layers": 24, "num_heads": 16, "hidden_dim": 1024, "mlp_dim": 4096},
    "vit_l_32": {"patch_size": 32, "num_layers": 24, "num_heads": 16, "hidden_dim": 1024, "mlp_dim": 4096},
    "vit_h_14": {"patch_size": 14, "num_layers": 32, "num_heads": 16, "hidden_dim": 1280, "mlp_dim": 5120},
}
# Their auxiliary classifiers would make the training output a tuple.
_WITHOUT_AUXILIARY_HEADS = {"googlenet", "inception_v3"}


def _vision_transformer(name: str, **options: Any) -> nn.Module:
    """torchvision's vision transformer, but with any ``image_size`` and ``patch_size``, for small images."""
    if "patch_size" not in options:
        return torchvision.models.get_model(name, **options)
    return VisionTransformer(**{"image_size": 224, **_VISION_TRANSFORMERS[name], **options})


def _builder(name: str) -> Callable[..., nn.Module]:
    if name in _VISION_TRANSFORMERS:
        return partial(_vision_transformer, name)
    if name in _WITHOUT_AUXILIARY_HEADS:
        return partial(torchvision.models.get_model, name, aux_logits=False, init_weights=True)
    return partial(torchvision.models.get_model, name)


BACKBONES: dict[str, Callable[..., nn.Module]] = {
    name: _builder(name) for name in torchvision.models.list_models(module=torchvision.models)
}


def build_backbone(name: str, num_classes: int = 1000, **options: Any) -> nn.Module:
    """Builds a classification backbone [B, 3, H, W] -> logits [B, num_classes].

    Args:
        name: a key of :data:`BACKBONES`.
        num_classes: number of logits.
        options: further keywords of the builder, such as ``weights="DEFAULT"`` (which downloads) or, for vision
            transformers, ``image_size`` and ``patch_size``.

    Raises:
        ValueError: if a name or an option is unknown, or the number of classes is below 1.
    """
    builder = lookup(BACKBONES, name, "backbone")
    require_positive(f"backbone {name!r}", num_classes=num_classes)
    try:
        return builder(num_classes=num_classes, **options)
    except (KeyError, TypeError) as error:
        raise ValueError(f"backbone {name!r} does not take the options {options}: {error}") from error
