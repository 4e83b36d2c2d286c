"""Which samples the exit head answers although the cloud is awake, and how often it may be wrong to do so.

An exit policy scores how sure the exit head is of a sample; a sample whose score is above a threshold is answered at
once and its cut tensors are not sent. The threshold is calibrated on samples that were held back, so that a limit on
the risk holds with a stated probability (:func:`calibrate`), and an audit goes on measuring it (:class:`Audit`).

Whether the cloud sleeps is another question, of whole windows: see :mod:`cloudedge_pl.dormancy`.
"""

from __future__ import annotations

from cloudedge_pl.exits.audit import Audit, draw_audited
from cloudedge_pl.exits.intervals import binomial_interval, binomial_upper_bound
from cloudedge_pl.exits.outcomes import PATHS, Outcomes
from cloudedge_pl.exits.policies import EXIT_POLICIES, exit_scores, passes
from cloudedge_pl.exits.risk import RISKS, Calibration, RiskCurve, calibrate
from cloudedge_pl.exits.settings import ExitSettings

__all__ = [
    "EXIT_POLICIES",
    "PATHS",
    "RISKS",
    "Audit",
    "Calibration",
    "ExitSettings",
    "Outcomes",
    "RiskCurve",
    "binomial_interval",
    "binomial_upper_bound",
    "calibrate",
    "draw_audited",
    "exit_scores",
    "passes",
]
