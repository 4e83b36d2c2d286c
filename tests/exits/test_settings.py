"""What a user says about exits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cloudedge_pl.exits import ExitSettings


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ({}, "none"),
        ({"max_disagreement": 0.02}, "confidence"),
        ({"threshold": 0.8}, "confidence"),
        ({"policy": "entropy"}, "entropy"),
        ({"policy": "none", "max_disagreement": 0.02}, "none"),
    ],
)
def test_the_policy_follows_from_what_is_given(given: dict[str, Any], policy: str) -> None:
    settings = ExitSettings(**given)
    assert settings.chosen_policy == policy
    assert settings.are_on == (policy != "none")
    assert settings.max_risk == 0.02


def test_settings_calibrate_by_their_own_risk() -> None:
    scores = np.linspace(0, 1, 400)
    exit_classes, cloud_classes = np.zeros(400, int), np.zeros(400, int)
    exit_classes[200:210] = 1  # differ from the cloud, and are right
    labels = exit_classes.copy()
    by_class = ExitSettings(max_disagreement=0.02).calibrate(scores, exit_classes, cloud_classes)
    by_label = ExitSettings(max_disagreement=0.02, risk="accuracy_loss").calibrate(
        scores, exit_classes, cloud_classes, labels
    )
    assert by_class.threshold > scores[199]
    assert by_label.threshold == 0
    with pytest.raises(ValueError, match="needs labels"):
        ExitSettings(risk="accuracy_loss").calibrate(scores, exit_classes, cloud_classes)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"policy": "confident"}, "unknown exit policy 'confident'. Did you mean 'confidence'"),
        ({"max_disagreement": 2}, "max_disagreement is 2"),
        ({"max_disagreement": "small"}, "max_disagreement is 'small'"),
        ({"risk": "loss"}, "unknown risk of exits"),
        ({"method": "ltt"}, "method is 'ltt'"),
        ({"delta": 0.0}, "delta is 0.0"),
        ({"audit_share": -0.1}, "audit_share is -0.1"),
        ({"threshold": 1.5}, "threshold is 1.5"),
    ],
)
def test_what_is_out_of_range_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExitSettings(**given)
