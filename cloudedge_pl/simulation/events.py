"""Numbers of the event loop: kinds of events and of churn, and why the loop returns to Python."""

from __future__ import annotations

(
    WINDOW_OPENS,
    AT_NODE,
    NODE_DONE,
    RADIO_DONE,
    RADIO_MORE,
    BACKHAUL_DONE,
    AT_CLOUD,
    CLOUD_DONE,
    DOWN_DONE,
    DOWN_MORE,
    RECEIVER_DONE,
    EXIT_DONE,
    SENDER_DONE,
    BACK,
) = range(14)
"""Kinds of events."""

IDLE, NEED_TASKS, NEED_LINK, NEED_CHURN, NEED_ROWS, NEED_DECISION, REACHED = range(7)
"""Why the loop returns: nothing is left to happen, what it needs, or the time that it was asked for is reached."""

JOIN, LEAVE, FAIL = range(3)
"""Kinds of churn."""
