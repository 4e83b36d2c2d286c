"""One event engine on a virtual clock: tasks through windows, nodes, radios, link, cloud and exit head.

:mod:`~cloudedge_pl.simulation.engine` runs a stream of tasks, :mod:`~cloudedge_pl.simulation.simulator` the steps of a
trainer. What may vary is in :mod:`~cloudedge_pl.simulation.scenario`, with the links, churn and arrivals beside it.
"""

from cloudedge_pl.simulation.accounts import Accounts
from cloudedge_pl.simulation.records import Window, WindowRecord
from cloudedge_pl.simulation.scenario import Scenario
from cloudedge_pl.simulation.simulator import Simulator

__all__ = ["Accounts", "Scenario", "Simulator", "Window", "WindowRecord"]
