"""The master's queues: it receives cut tensors, runs the exit head and sends gradients, first come, first served."""

from __future__ import annotations

import numpy as np

from cloudedge_pl.costs.first_come import serve_at_one
from cloudedge_pl.costs.split import SplitCosts
from cloudedge_pl.costs.transmission import master_rate_bits_per_second, sending_seconds
from cloudedge_pl.fleet import Fleet


class MasterQueue:
    """Receives on one link, answers one task after another, and sends on one link.

    Args:
        costs: of one task at the split point.
        fleet: nodes and master. A node that is slower than the master takes longer to send and to receive.

    Attributes:
        ready_seconds: when the master has finished receiving, running the exit head, and sending.
    """

    def __init__(self, costs: SplitCosts, fleet: Fleet) -> None:
        self.ready_seconds = [0.0, 0.0, 0.0]
        self._exit_seconds = costs.exit_seconds
        rate = master_rate_bits_per_second(fleet)
        self._node_sends = sending_seconds(costs.exit_upload_bytes, rate)
        self._node_receives = sending_seconds(costs.exit_download_bytes, rate)
        seconds_per_byte = float(sending_seconds(1, fleet.coordinator.throughput_bits_per_second))
        self._receives = costs.exit_upload_bytes * seconds_per_byte
        self._sends = costs.exit_download_bytes * seconds_per_byte

    def serve(self, done: np.ndarray, node: np.ndarray) -> np.ndarray:
        """Returns when the exit head's answer is out, or in training its gradient is at the node [num_tasks].

        Args:
            done: [num_tasks], when each task's edge part is done.
            node: [num_tasks] int64, the node of each task.
        """
        receiving_free, exit_free, sending_free = self.ready_seconds
        arrived = serve_at_one(done + self._node_sends[node] - self._receives, self._receives, receiving_free)
        out = serve_at_one(arrived, self._exit_seconds, exit_free)
        back = serve_at_one(out, self._sends, sending_free)
        self.ready_seconds = [float(each.max()) for each in (arrived, out, back)]
        return back + self._node_receives[node] - self._sends
