"""Arrivals, windows, schedule, queues, link, dormancy and accounts on a virtual clock."""

from cloudedge_pl.simulation.accounts import Accounts
from cloudedge_pl.simulation.simulator import Simulator, WindowRecord

__all__ = ["Accounts", "Simulator", "WindowRecord"]
