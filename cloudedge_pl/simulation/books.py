"""The books of an engine: what every machine did, drew and sent, and how busy every station was."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.costs.energy import static_joules
from cloudedge_pl.fleet import Fleet
from cloudedge_pl.simulation.accounts import Accounts
from cloudedge_pl.simulation.layout import (
    BACKHAUL,
    CLOUD_SERVERS,
    DOWNLINKS,
    EXIT_HEAD,
    RADIOS,
    RECEIVER,
    SENDER,
    Arrays,
)
from cloudedge_pl.simulation.station_records import StationRecord
from cloudedge_pl.simulation.summary import RunTotals, asleep_intervals


def up_seconds(arrays: Arrays) -> np.ndarray:
    """Time for which each node was switched on, float64 [num_nodes]."""
    nodes, clock = arrays.nodes, float(arrays.world["clock"][0])
    return np.asarray(nodes["up_seconds"] + np.where(nodes["available"], clock - nodes["up_since"], 0.0))


def accounts_of(
    arrays: Arrays, fleet: Fleet, probe_bytes: float = 0.0, apart_seconds: np.ndarray | float = 0.0
) -> Accounts:
    """The accounts of all machines since the start.

    Args:
        arrays: of the engine.
        fleet: its fleet.
        probe_bytes: of one probe.
        apart_seconds: time whose idle power is booked elsewhere, that of aggregations; [num_nodes + 1] or of all
            machines.
    """
    nodes, world = arrays.nodes, arrays.world[0]
    accounts = Accounts(fleet.num_nodes)
    exit_head = arrays.stations[3 * fleet.num_nodes + EXIT_HEAD]
    on = np.append(up_seconds(arrays), world["clock"])
    idle = static_joules(fleet.array("idle_watts", with_master=True), np.maximum(on - apart_seconds, 0.0))
    accounts.add(
        tasks=np.append(nodes["tasks"], 0),
        busy_seconds=np.append(nodes["busy_seconds"], exit_head["busy_seconds"]),
        joules=idle + np.append(nodes["joules"], world["master_joules"]),
        probe_bytes=np.append(np.zeros(fleet.num_nodes), world["probes"] * probe_bytes),
        **{
            name: np.append(nodes[name], 0.0)
            for name in ("upload_bytes", "download_bytes", "exit_upload_bytes", "exit_download_bytes")
        },
    )
    return accounts


def asleep_seconds(arrays: Arrays) -> float:
    """Virtual time in which the cloud slept."""
    world = arrays.world[0]
    since = world["clock"] - world["decided_at"] if not world["awake"] else 0.0
    return float(world["asleep_seconds"] + since)


def totals_of(arrays: Arrays, fleet: Fleet, probe_bytes: float = 0.0) -> RunTotals:
    """The totals that are in no task's record.

    Args:
        arrays: of the engine.
        fleet: its fleet.
        probe_bytes: of one probe.
    """
    accounts, world = accounts_of(arrays, fleet, probe_bytes), arrays.world[0]
    return RunTotals(
        clock_seconds=float(world["clock"]),
        joules=float(accounts.joules.sum()),
        probe_bytes=float(accounts.probe_bytes.sum()),
        asleep_seconds=asleep_seconds(arrays),
        switches=int(world["switches"]),
    )


def asleep_of(arrays: Arrays) -> np.ndarray | None:
    """Starts and ends of the cloud's sleeps, float64 [sleeps, 2]; None if there were too many to keep them."""
    world = arrays.world[0]
    kept = int(world["num_switches_kept"])
    if kept < world["switches"]:
        return None
    switches = arrays.switches[:kept]
    return asleep_intervals(switches["seconds"], switches["awake"], float(world["clock"]))


def stations_of(arrays: Arrays, fleet: Fleet) -> list[StationRecord]:
    """What every station did since the start; stations that no task can pass are left out."""
    num_nodes, world = fleet.num_nodes, arrays.world[0]
    clock = float(world["clock"])
    kinds = [("node", 0), ("radio", RADIOS * num_nodes)]
    if world["download_bytes"] > 0:
        kinds.append(("downlink", DOWNLINKS * num_nodes))
    names = [node.name for node in fleet.nodes]
    places = [(kind, name, first + at) for kind, first in kinds for at, name in enumerate(names)]
    single = [("cloud", CLOUD_SERVERS)]
    if np.isfinite(world["backhaul_bits_per_second"]):
        single.insert(0, ("backhaul", BACKHAUL))
    if world["exit_seconds"] > 0:
        single += [("receiver", RECEIVER), ("exit_head", EXIT_HEAD)]
        single += [("sender", SENDER)] if world["exit_download_bytes"] > 0 else []
    places += [(kind, "", 3 * num_nodes + at) for kind, at in single]
    found = []
    for kind, machine, at in places:
        station = arrays.stations[at]
        servers = int(station["servers"])
        running = clock - float(station["started"]) if station["busy"] and servers == 1 else 0.0
        found.append(
            StationRecord.over(
                kind,
                machine,
                elapsed_seconds=clock,
                busy_seconds=min(float(station["busy_seconds"]) + running, clock * servers),
                queue_seconds=float(
                    station["queue_seconds"] + station["length"] * (clock - station["changed"])
                ),
                servers=servers,
                jobs=int(station["jobs"]),
                max_queue=int(station["longest"]),
            )
        )
    return found
