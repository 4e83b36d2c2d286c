"""``cloudedge export ckpt=PATH dir=FOLDER``: writes a trained network as a bundle that model servers run.

The config of the run (``.hydra/config.yaml`` in a folder above the checkpoint) is the config of this command, and every
key can be overridden: ``cloudedge export ckpt=outputs/.../best.ckpt dir=bundle exits.threshold=0.9``. What is written
is in :mod:`cloudedge_pl.export`, and docs/serve.md describes it.
"""

from __future__ import annotations

from pathlib import Path

import hydra
from omegaconf import DictConfig, open_dict
from rich.table import Table

from cloudedge_pl.commands.checkpoint_command import run_on_checkpoint
from cloudedge_pl.commands.running import build, clear_errors, console
from cloudedge_pl.data import ImageDataModule
from cloudedge_pl.errors import StrategyError, lookup, require_types
from cloudedge_pl.export import Exported, export_bundle
from cloudedge_pl.export.bundle import require_bundle_or_nothing
from cloudedge_pl.lightning import pl
from cloudedge_pl.reports.wording import bytes_text
from cloudedge_pl.serving import Preprocessing
from cloudedge_pl.serving.manifest import FORMATS
from cloudedge_pl.training.strategies.hooks import RunHooks


def export(cfg: DictConfig) -> Exported:
    """Exports ``cfg.ckpt`` to ``cfg.export.dir`` and prints how far each part is from the module.

    Raises:
        StrategyError: if the run's network is not cut.
        BundleError: if a part cannot be exported, or differs from the module.
        ValueError: if the format is unknown.
    """
    own = {str(key): value for key, value in cfg.export.items()}
    lookup(FORMATS, own["format"], "format of a bundle")
    require_types("export", _own_types, own)
    require_bundle_or_nothing(Path(own["dir"]))
    _one_batch_only(cfg)
    datamodule, module, trainer, _ = build(cfg)
    strategy = trainer.strategy
    if not isinstance(strategy, RunHooks):
        raise StrategyError("the run's network is not cut (strategy=auto), so there are no parts to export.")
    # A test of one batch plans and cuts the network, and loads all that the checkpoint holds.
    trainer.test(module, datamodule=datamodule, ckpt_path=cfg.ckpt, verbose=False, weights_only=True)
    module.cpu()
    exported = export_bundle(
        strategy,
        own["dir"],
        format=own["format"],
        whole=own["whole"],
        class_names=getattr(datamodule, "class_names", None),
        preprocessing=_preprocessing(datamodule),
        run={"seed": cfg.seed, "checkpoint": Path(cfg.ckpt).name},
    )
    _report(exported)
    return exported


def _own_types(dir: str, format: str, whole: bool) -> None:
    """The types of the command's own keys."""


def _one_batch_only(cfg: DictConfig) -> None:
    """Turns off what a test writes and shows."""
    with open_dict(cfg):
        cfg.logger, cfg.trainer.limit_test_batches, cfg.trainer.enable_progress_bar = {}, 1, False
        for name in ("progress", "outcomes"):
            if name in cfg.callbacks:
                cfg.callbacks[name] = None


def _preprocessing(datamodule: pl.LightningDataModule) -> Preprocessing | None:
    """What the data does to a picture; None if it is no pictures."""
    if not isinstance(datamodule, ImageDataModule):
        return None
    mean, std = (
        tuple(round(value, 9) for value in each.tolist()) for each in (datamodule.mean, datamodule.std)
    )
    return Preprocessing(input_shape=datamodule.input_shape, mean=mean, std=std)


def _report(exported: Exported) -> None:
    """Prints the parts, how far they are from the module, and which samples will exit."""
    manifest, differences = exported.manifest, exported.differences
    assert manifest.folder is not None
    table = Table(title=f"{manifest.model}, cut at {manifest.split_point}, {manifest.split_name}", box=None)
    for column in ("part", "file", "size", "weights", "largest difference"):
        table.add_column(column, justify="left" if column in ("part", "file") else "right")
    for name, part in manifest.parts.items():
        size, weights = manifest.path(name).stat().st_size, exported.weight_bytes[name]
        table.add_row(
            name, part.file, bytes_text(size), bytes_text(weights), f"{part.largest_difference:.1e}"
        )
    console().print(table)
    sent = sum(tensor.sample_bytes for tensor in manifest.cut)
    lines = [
        "Compared with the module on the same inputs, at batches of 1, 2 and 7. Edge and cloud file in a row: "
        f"{differences.chained:.1e}.",
        f"Sent to the cloud: {bytes_text(sent)} a sample ({', '.join(each.name for each in manifest.cut)}).",
    ]
    if differences.sent:
        lines.append(
            f"The codec rounded {differences.rounded_otherwise} of {differences.sent} elements to the neighbouring "
            "value."
        )
    lines += [
        f"Exits: {manifest.exits.guarantee or _threshold(exported)}",
        f"The bundle {manifest.id[:12]} is in {manifest.folder}; {manifest.folder / 'manifest.json'} describes it.",
    ]
    for line in lines:
        console().print(line, soft_wrap=True, highlight=False, markup=False)


def _threshold(exported: Exported) -> str:
    exits = exported.manifest.exits
    if exits.are_on:
        return f"samples of a {exits.policy} above {exits.threshold:g}, by a threshold that was given."
    return "no sample exits while the cloud is awake."


@hydra.main(version_base="1.3", config_path=None)
@clear_errors
def _app(cfg: DictConfig) -> None:
    export(cfg)


def main() -> None:
    """Entry point of ``cloudedge export``."""
    run_on_checkpoint("export", _app)
