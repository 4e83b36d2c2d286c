"""The simulator's system as a simpy model: a peer for its speed, and a second opinion on every time stamp.

It is written from the description of the system alone and shares none of the engine's code. Every task is a simpy
process that walks from station to station; stations are simpy resources. Nodes may fail, which interrupts the processes
on them. The scheduler is ``min_completion``.
"""

from .fleet import SimpyFleet
from .from_scenario import setup_of
from .records import AMOUNTS, STAMPS
from .setup import FAIL, JOIN, LEAVE, Setup

__all__ = ["AMOUNTS", "FAIL", "JOIN", "LEAVE", "STAMPS", "Setup", "SimpyFleet", "setup_of"]
