"""Fleets from YAML and CSV: what they mean, and errors that name the row and the fix."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cloudedge_pl.fleet import CLOUDS, DEVICES, Fleet
from cloudedge_pl.fleet_files import load_fleet

CSV = """\
name, device, count, flops_per_second, memory_bytes, memory_bandwidth_bytes_per_second, max_energy_joules
pi, raspberry-pi-4, 3, , 200e6, ,
own, , , 10e9, 1e9, 5e9, inf
master, jetson-nano, , , , ,
"""

YAML = """\
nodes:
  - {name: pi, device: raspberry-pi-4, count: 2, memory_bytes: 200e6}
  - name: own
    flops_per_second: 10.0e+9
    memory_bytes: 1000000000
    memory_bandwidth_bytes_per_second: 5e9
    efficiency: 0.5
master: {device: jetson-nano}
cloud: a100
link:
  bandwidth_bits_per_second: 8e6
  uplink_bits_per_second: [1e6, 2.0e+6]
"""


def write(folder: Path, text: str, name: str = "fleet.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_csv_fleet(tmp_path):
    fleet = load_fleet(write(tmp_path, CSV), cloud="a100")
    assert [node.name for node in fleet.nodes] == ["pi-0", "pi-1", "pi-2", "own"]
    assert fleet.nodes[0].memory_bytes == 200e6
    assert fleet.nodes[0].flops_per_second == DEVICES["raspberry-pi-4"].flops_per_second
    assert fleet.nodes[3].max_energy_joules == math.inf
    assert fleet.coordinator.flops_per_second == DEVICES["jetson-nano"].flops_per_second
    assert fleet.cloud == CLOUDS["a100"]


def test_a_yaml_fleet(tmp_path):
    fleet = load_fleet(write(tmp_path, YAML, "fleet.yaml"))
    assert [node.name for node in fleet.nodes] == ["pi-0", "pi-1", "own"]
    assert fleet.nodes[2].efficiency == 0.5
    assert fleet.coordinator.name == "master"
    assert fleet.cloud == CLOUDS["a100"]
    assert fleet.link.bandwidth_bits_per_second == 8e6
    assert fleet.link.uplink_bits_per_second == (1e6, 2e6)
    assert fleet.link.propagation_seconds == Fleet.preset().link.propagation_seconds


def test_a_spreadsheets_byte_order_mark_is_no_part_of_a_column(tmp_path):
    path = tmp_path / "fleet.csv"
    path.write_bytes(b"\xef\xbb\xbfname,device\r\npi,raspberry-pi-4\r\n")
    assert load_fleet(path).nodes[0].name == "pi"


HEAD = "name,flops_per_second,memory_bytes,memory_bandwidth_bytes_per_second\n"
GOOD = "a,1e9,1e9,1e9\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty; the first line names the columns"),
        (HEAD, "it has no node"),
        (HEAD + "master,1e9,1e9,1e9\n", "it has no node"),
        (
            "name,flops_per_second,memory_bytes\na,1e9,1e9\n",
            r"line 2 \(a\): memory_bandwidth_bytes_per_second missing",
        ),
        (HEAD + GOOD + "b,1e9,,1e9\n", r"line 3 \(b\): memory_bytes missing; give it, or a device: esp32-s3"),
        (HEAD.replace("memory_bytes", "memory_gb") + GOOD, "unknown column in .*line 1: 'memory_gb'"),
        (
            HEAD + GOOD + "b,1e9,4 GB,1e9\n",
            r"line 3 \(b\): memory_bytes is '4 GB'; give a plain number of bytes, e.g. 4e9",
        ),
        (
            HEAD + "b,1e9,4,1e9\n",
            r"line 2 \(b\): memory_bytes is 4, which is no plausible number of bytes; is it in",
        ),
        (HEAD + "b,48,1e9,1e9\n", "flops_per_second is 48, which is no plausible number of FLOP/s"),
        (HEAD + "b,1e9,nan,1e9\n", r"line 2 \(b\): memory_bytes is nan"),
        (HEAD + "b,inf,1e9,1e9\n", r"line 2 \(b\): flops_per_second is inf"),
        (HEAD + "b,-1e9,1e9,1e9\n", r"line 2 \(b\): edge node 'b': flops_per_second is -1000000000.0"),
        (HEAD + "b,0,1e9,1e9\n", r"line 2 \(b\): edge node 'b': flops_per_second is 0.0"),
        (HEAD + GOOD + GOOD, "line 3: the name 'a' is taken by line 2"),
        (HEAD + ",1e9,1e9,1e9\n", "line 2: name is missing"),
        (HEAD + "a,1e9,1e9\n", "line 2: it has 3 cells, the header 4 columns"),
        (HEAD + "a,1e9,1e9,1e9,7\n", "line 2: it has 5 cells, the header 4 columns"),
        (
            "name,device\na,raspberry-pi-9\n",
            r"line 2 \(a\): unknown device preset 'raspberry-pi-9'. Did you mean",
        ),
        ("name,device,count\na,raspberry-pi-4,0\n", r"line 2 \(a\): count is 0; a row stands for"),
        ("name,device,count\na,raspberry-pi-4,1.5\n", "count is 1.5"),
        ("name,device,efficiency\na,raspberry-pi-4,30\n", r"efficiency is 30.0; it must lie in \(0, 1\]"),
    ],
)
def test_a_bad_csv_names_the_row_and_the_fix(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as error:
        load_fleet(path)
    assert str(path) in str(error.value)


NODE = "nodes: [{name: a, device: raspberry-pi-4}]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it holds NoneType; write 'nodes:'"),
        ("- a\n", "it holds list"),
        ("nodes: [\n", "it is not valid YAML"),
        ("nodes: []\n", "it has no node"),
        ("nodes: 3\n", "nodes is int; write a list"),
        ("nodes: [3]\n", r"nodes\[0\]: it is 3; write its fields"),
        ("node: []\n", "unknown key in .* 'node'. Did you mean 'nodes'"),
        (
            "nodes: [{name: a, device: raspberry-pi-4, memory_bytes: 4 GB}]\n",
            r"nodes\[0\] \(a\): memory_bytes is '4 GB'",
        ),
        (
            "nodes: [{name: a, device: raspberry-pi-4, memory_bytes: .nan}]\n",
            r"nodes\[0\] \(a\): memory_bytes is nan",
        ),
        ("nodes: [{name: a, device: raspberry-pi-4, memory_bytes: [1]}]\n", r"memory_bytes is \[1\]"),
        (
            "nodes: [{name: a, device: raspberry-pi-4, memory: 4e9}]\n",
            r"nodes\[0\]: 'memory'. Did you mean 'memory_bytes'",
        ),
        (NODE + "cloud: t5\n", "cloud: unknown cloud preset 't5'"),
        (NODE + "cloud: {flops: 1e12}\n", "key in .*cloud: 'flops'"),
        (
            NODE + "link: {bandwidth_bits_per_second: 50 Mbit/s}\n",
            "link: bandwidth_bits_per_second is '50 Mbit/s'",
        ),
        (
            NODE + "link: {bandwidth_bits_per_second: 50}\n",
            "link: bandwidth_bits_per_second is 50, which is no plausible",
        ),
        (NODE + "link: {uplink_bits_per_second: [1e6, 0]}\n", r"uplink_bits_per_second\[1\].* is 0"),
        (NODE + "link: {uplink_bits_per_second: 1e6}\n", "write a list of rates"),
        (NODE + "link: {uplink_bits_per_second: [1e6, .nan]}\n", r"uplink_bits_per_second\[1\]: .* is nan"),
    ],
)
def test_a_bad_yaml_names_the_row_and_the_fix(tmp_path, text, message):
    path = write(tmp_path, text, "fleet.yaml")
    with pytest.raises(ValueError, match=message) as error:
        load_fleet(path)
    assert str(path) in str(error.value)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_fleet(tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"unknown fleet file ending '.json'"):
        load_fleet(write(tmp_path, "{}", "fleet.json"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("twice.csv", b"name,name,device\na,b,raspberry-pi-4\n", "line 1: the column 'name' appears twice"),
        ("quote.csv", b'name,device\n"a,raspberry-pi-4\nb,raspberry-pi-4\n', "line 2: .*close every quote"),
        ("latin.csv", "name,device\nK\u00f6ln,raspberry-pi-4\n".encode("latin-1"), "byte 13 is not UTF-8"),
        ("wide.csv", "name,device\na,raspberry-pi-4\n".encode("utf-16"), "is not UTF-8"),
        ("nul.csv", "name,device\n".encode("utf-16-le"), "NUL characters"),
        ("master.csv", b"name,device,count\nmaster,raspberry-pi-4,3\n", "there is one master"),
        ("many.csv", b"name,device,count\na,raspberry-pi-4,1e9\n", r"count is 1e\+09; .* \[1, 100000\]"),
        ("empty.csv", b"\n\n", "it is empty"),
        (
            "keys.yaml",
            b"nodes:\n- name: a\n  device: raspberry-pi-4\n  name: b\n",
            "line 4: the key 'name' appears twice",
        ),
        ("lists.yaml", b"nodes: []\nnodes: []\n", "line 2: the key 'nodes' appears twice"),
    ],
)
def test_a_hostile_file_is_refused_with_its_name_and_line(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        load_fleet(tmp_path / name)
