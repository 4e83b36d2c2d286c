"""Compiled access to rows of structured arrays by their address.

numba counts references to every array that a compiled function takes, which costs more than all of the event loop's
work. A record is a bare pointer and costs nothing. The loop's functions therefore take one record, the world, which
holds the addresses of all arrays. Whoever calls them keeps the arrays alive.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

from cloudedge_pl.scheduling.compiled import compiled
from cloudedge_pl.simulation.layout import CHANGE, EVENT, NODE, SEGMENT, STATION, SWITCH, TASK


def _getter(dtype: np.dtype[Any]) -> Any:
    """Returns an intrinsic that takes an array's address and an index, and returns the record there."""
    record, size = numba.from_dtype(dtype), dtype.itemsize

    @intrinsic
    def get(typing_context: Any, address: Any, index: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            width = arguments[1].type(size)
            at = builder.add(arguments[0], builder.mul(arguments[1], width))
            return builder.inttoptr(at, context.get_value_type(record))

        return record(types.int64, types.int64), generate

    return get


_task, _node, _station = _getter(TASK), _getter(NODE), _getter(STATION)
_event, _segment, _change, _switch = _getter(EVENT), _getter(SEGMENT), _getter(CHANGE), _getter(SWITCH)


@compiled
def task_at(world: Any, row: int) -> Any:
    """Returns a row of the task table."""
    return _task(world.tasks_address, np.int64(row))


@compiled
def node_at(world: Any, node: int) -> Any:
    """Returns a node."""
    return _node(world.nodes_address, np.int64(node))


@compiled
def station_at(world: Any, station: int) -> Any:
    """Returns a station."""
    return _station(world.stations_address, np.int64(station))


@compiled
def event_at(world: Any, place: int) -> Any:
    """Returns the event at a place of the heap."""
    return _event(world.events_address, np.int64(place))


@compiled
def segment_at(world: Any, segment: int) -> Any:
    """Returns a segment of the link."""
    return _segment(world.segments_address, np.int64(segment))


@compiled
def change_at(world: Any, change: int) -> Any:
    """Returns an event of churn."""
    return _change(world.changes_address, np.int64(change))


@compiled
def switch_at(world: Any, switch: int) -> Any:
    """Returns a change of the cloud's state."""
    return _switch(world.switches_address, np.int64(switch))
