"""What is measured: the rate of a link by its definition, and a server whose times are set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudedge_pl.serving.client import Access, ModelClient
from cloudedge_pl.serving.link_proxy import LinkProxy, LinkShape
from cloudedge_pl.serving.listening import listening
from cloudedge_pl.serving.model_server import ModelServer
from cloudedge_pl.serving.session import OnnxPart, Queue, paced, served_part
from cloudedge_pl.validation.measured import FASTEST_LINK, mean_overhead, measure_run, measure_server, rate_of
from tests.serving.fleets import local, run, write_bundle


@given(rate=st.floats(1e3, 1e10), sample_bytes=st.floats(1, 1e6), fixed=st.floats(0, 1))
def test_the_rate_is_the_slope_over_the_bytes(rate: float, sample_bytes: float, fixed: float) -> None:
    samples = (1, 4, 8)
    seconds = [8 * sample_bytes * number / rate for number in samples]
    assert rate_of(samples, seconds, sample_bytes) == pytest.approx(rate, rel=1e-6)
    later = [fixed + each for each in seconds]
    assert rate_of(samples, later, sample_bytes) == pytest.approx(rate, rel=1e-3) or seconds[0] < 1e-9 * fixed


def test_a_link_on_which_more_takes_no_longer_has_the_fastest_rate() -> None:
    assert rate_of((1, 4), (0.3, 0.3), 100.0) == FASTEST_LINK
    assert rate_of((1, 4), (0.3, 0.2), 100.0) == FASTEST_LINK
    assert rate_of((1,), (0.3,), 100.0) == FASTEST_LINK


def test_the_master_s_own_time_is_read_off_its_metrics() -> None:
    text = "# TYPE x\ncloudedge_overhead_seconds_count 8.0\ncloudedge_overhead_seconds_sum 0.02\n"
    assert mean_overhead(text) == 0.0025
    assert mean_overhead("cloudedge_overhead_seconds_count 0.0\n") == 0
    assert mean_overhead("") == 0


def test_a_server_behind_a_link(tmp_path: Path) -> None:
    manifest, _ = write_bundle(tmp_path)
    spec = manifest.parts["cloud"]

    async def work() -> None:
        queue = Queue(paced(OnnxPart(manifest, "cloud", threads=1), 0.02))
        server = ModelServer(served_part(manifest, "cloud", queue), local())
        async with listening(server) as url, Access().session() as session:
            proxy = LinkProxy(url, LinkShape(delay_seconds=0.015))
            async with proxy.listening() as front:
                client = ModelClient(front, "cloud", spec.inputs, spec.outputs, session)
                found = await measure_server(
                    client,
                    lambda: (proxy.there.carried_bytes, proxy.back.carried_bytes),
                    calls=3,
                    samples=(1, 2),
                )
        queue.close()
        assert found.service_seconds >= 0.02
        assert found.link_seconds >= 2 * 0.015 - 0.002  # a proxy is exact to about a millisecond
        assert found.jitter >= 0
        assert found.sent_bytes > client.sample_bytes
        assert found.received_bytes > manifest.num_classes * 4

    run(work())


def test_a_computation_in_this_process_is_run_and_timed() -> None:
    given_inputs = []
    inputs = {"x": np.zeros(1)}
    assert measure_run(lambda inputs: given_inputs.append(inputs) or {}, inputs, calls=4) >= 0  # type: ignore[func-returns-value]
    assert given_inputs == [inputs] * 7
