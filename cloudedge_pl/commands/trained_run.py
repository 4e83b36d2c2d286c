"""A run of ``cloudedge train`` as the basis of a simulation: its config, split point, outcomes and threshold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from cloudedge_pl.commands.run_config import TAKEN, own_keys_and_groups
from cloudedge_pl.errors import DataError
from cloudedge_pl.exits import ExitSettings, Outcomes

TRAINED_DORMANCY, RULE = "cloudedge_pl.training.CloudDormancy", "cloudedge_pl.dormancy.DormancyRule"


def simulation_config(folder: Path, config: str) -> tuple[DictConfig, list[str]]:
    """Makes the config of a simulation from that of a run.

    The phase is inference, the split point is that of the run, and the cloud sleeps by the rule of its callback.

    Args:
        folder: of the run.
        config: name of the command's config, whose keys and groups the run may not have.

    Returns:
        The config, and the groups that the run does not have, as overrides.

    Raises:
        FileNotFoundError: if there is no config or no plan in the folder.
        ValueError: if the network is not one that is known by name.
    """
    saved = OmegaConf.load(_file(folder / ".hydra" / "config.yaml"))
    assert isinstance(saved, DictConfig)
    plan = json.loads(_file(folder / "plan.json").read_text(encoding="utf-8"))
    own, groups = own_keys_and_groups(config)
    content = OmegaConf.merge(own, OmegaConf.masked_copy(saved, [key for key in TAKEN if key in saved]))
    assert isinstance(content, DictConfig)
    if OmegaConf.select(content, "model.backbone") is None:
        raise ValueError(
            f"{folder}: the run's model has no backbone that is known by name; only runs with model.backbone are "
            "simulated."
        )
    data = instantiate(saved.data, _convert_="all")
    content.run, content.num_classes = str(folder.resolve()), data.num_classes
    content.input_shape = plan["input_shape"]
    content.granularity = OmegaConf.select(saved, "strategy.granularity", default="layer")
    content.workload.phase, content.offloading.split_point = "inference", plan["split_point"]
    rule = OmegaConf.select(saved, "callbacks.dormancy")
    if rule is None or rule._target_ == TRAINED_DORMANCY:
        content.dormancy = {"_target_": RULE, "mode": "never"} if rule is None else {**rule, "_target_": RULE}
    return content, [
        f"{group}={option}" for group, option in groups.items() if option is not None and group not in content
    ]


@dataclass(frozen=True, eq=False, kw_only=True)
class Replay:
    """What the test of a run found, for tasks that replay its samples.

    Args:
        outcomes: the answers of exit head and cloud.
        threshold: above which a sample exits while the cloud is awake; None if none does.
        audit_share: of those samples, the share that goes to the cloud anyway.
    """

    outcomes: Outcomes
    threshold: float | None
    audit_share: float


def read_replay(folder: Path, exits: ExitSettings) -> Replay | None:
    """Reads the outcomes of a run's test, and the threshold that was calibrated in it; None if it wrote no outcomes.

    Args:
        folder: of the run.
        exits: a threshold that is given here takes the place of the run's.

    Raises:
        DataError: if the outcomes cannot be read, or samples are to exit and the run was not calibrated for that.
    """
    path = folder / "outcomes.npz"
    if not path.is_file():
        return None
    outcomes = Outcomes.load(path)
    if not exits.are_on:
        return Replay(outcomes=outcomes, threshold=None, audit_share=0.0)
    threshold = _threshold(folder, exits)
    return Replay(outcomes=outcomes, threshold=threshold, audit_share=exits.audit_share)


def _threshold(folder: Path, exits: ExitSettings) -> float:
    """The threshold that is given, or that of the run, whose scores must be those of the policy."""
    summary: dict[str, Any] = json.loads(_file(folder / "summary.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = summary.get("exits") or {}
    asked: dict[str, Any] = {"policy": exits.chosen_policy}
    if exits.threshold is None:
        asked |= {"risk": exits.risk, "method": exits.method}
        asked |= {"max_disagreement": exits.max_risk, "delta": exits.delta}
    elif found.get("policy") == "none":
        found = found | {"policy": "confidence"}  # by which a test without exits scores
    differing = [f"exits.{name}={value}" for name, value in asked.items() if found.get(name) != value]
    threshold = found.get("threshold") if exits.threshold is None else exits.threshold
    if differing or threshold is None:
        raise DataError(
            f"{folder}: the run was not trained and tested with {', '.join(differing) or 'exits'}; give exits=none, a "
            "threshold for its own policy (exits.threshold=0.9), or a run with these exits."
        )
    return float(threshold)


def _file(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no {path}; give run=DIR of a run of `cloudedge train` that cut a network."
        )
    return path
