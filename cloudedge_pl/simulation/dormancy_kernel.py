"""The dormancy rule as a compiled function, for the event engine's loop."""

from __future__ import annotations

from cloudedge_pl import dormancy
from cloudedge_pl.scheduling.compiled import compiled

advance = compiled(dormancy.advance)
"""Takes the arrays of a rule and of a state, the delay, its limit and the clock; changes the state in place."""
