"""What ``/metrics`` shows, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper ends of the histograms' buckets."""


class ServerMetrics:
    """Figures of one server: requests by status, their time, and their bytes.

    Attributes:
        registry: everything that ``/metrics`` shows; others may add to it.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "cloudedge_requests", "Requests for inference by HTTP status.", ["status"], registry=self.registry
        )
        self._seconds = Histogram(
            "cloudedge_request_seconds",
            "Time from the head of an answered request to its answer.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._received = Counter("cloudedge_received_bytes", "Bodies of requests.", registry=self.registry)
        self._sent = Counter("cloudedge_sent_bytes", "Bodies of answers.", registry=self.registry)
        self._answered = self._requests.labels("200")

    def answered(self, seconds: float, received_bytes: int, sent_bytes: int) -> None:
        """Counts a request that is answered."""
        self._answered.inc()
        self._seconds.observe(seconds)
        self._received.inc(received_bytes)
        self._sent.inc(sent_bytes)

    def refused(self, status: int | str) -> None:
        """Counts a request that is not; "gone" for a client that did not wait."""
        self._requests.labels(str(status)).inc()


class MasterMetrics(ServerMetrics):
    """Figures of the master besides: answers by path, nodes, the cloud's sleep, and the master's own time.

    Args:
        paths: names of the paths, in the order of their numbers.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__()
        registry = self.registry
        answers = Counter(
            "cloudedge_answers", "Samples that were answered, by path.", ["path"], registry=registry
        )
        self._answers = [answers.labels(path) for path in paths]
        self._overhead = Histogram(
            "cloudedge_overhead_seconds",
            "Of requests of one sample: their time but for waiting for a node and the calls of the parts.",
            buckets=SECONDS,
            registry=registry,
        )
        self._retried = Counter(
            "cloudedge_retried",
            "Tasks that were given to a second node, or a further one.",
            registry=registry,
        )
        self._uploaded = Counter(
            "cloudedge_uploaded_bytes", "Cut tensors sent to the cloud.", registry=registry
        )
        self._failed = Counter(
            "cloudedge_cloud_failures", "Calls of the cloud that failed.", ["kind"], registry=registry
        )
        self._audited = Counter("cloudedge_audited", "Samples that were audited.", registry=registry)
        self._disagreed = Counter(
            "cloudedge_disagreed",
            "Audited samples to which cloud and exit head gave two classes.",
            registry=registry,
        )
        self._nodes = {
            name: Gauge(f"cloudedge_node_{name}", what, ["node"], registry=registry)
            for name, what in (
                ("up", "1 while the node gets tasks."),
                ("seconds", "Measured time of the node for a sample."),
                ("outstanding", "Tasks that wait for the node, or are being run."),
            )
        }
        self._values = {
            name: Gauge(f"cloudedge_{name}", what, registry=registry)
            for name, what in (
                ("cloud_asleep", "1 while the cloud sleeps."),
                ("cloud_delay_seconds", "The newest delay T_rd to the cloud and back."),
                ("cloud_average_seconds", "The delay T0 with which it is compared."),
                ("unanswered", "Samples that are not answered yet."),
            )
        }

    def answered_on(self, path: int) -> None:
        """Counts a sample that is answered on a path."""
        self._answers[path].inc()

    def retried(self, tasks: int) -> None:
        """Counts tasks that are given to another node."""
        self._retried.inc(tasks)

    def uploaded(self, num_bytes: int) -> None:
        """Counts bytes sent to the cloud."""
        self._uploaded.inc(num_bytes)

    def cloud_failed(self, kind: str) -> None:
        """Counts a call of the cloud that failed."""
        self._failed.labels(kind).inc()

    def audited(self, samples: int, disagreed: int) -> None:
        """Counts audited samples."""
        self._audited.inc(samples)
        self._disagreed.inc(disagreed)

    def overhead(self, seconds: float) -> None:
        """Takes the master's own time for a request of one sample."""
        self._overhead.observe(seconds)

    def show_node(self, node: str, name: str, value: Callable[[], float]) -> None:
        """Shows a figure of a node: up, seconds or outstanding; it is asked for when the metrics are."""
        self._nodes[name].labels(node).set_function(value)

    def show(self, name: str, value: Callable[[], float]) -> None:
        """Shows a figure of the master: cloud_asleep, cloud_delay_seconds, cloud_average_seconds or unanswered."""
        self._values[name].set_function(value)
