"""Hostile inputs to the commands that serve: node, cloud, serve, up, ask and validate; see inputs.py.

``{folder}`` is a folder that :func:`served_files` filled, and ``{network}`` and other names are URLs of servers.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.fuzz import pictures
from tests.fuzz.bundles import write_bundles
from tests.fuzz.servers import SAYS

Case = tuple[str, list[str], str]

SERVER = {
    "port": ["-1", "70000", "abc", "true"],
    "host": ["3", "null", ""],
    "token": ["3", "''", "'a\nb'", "é"],
    "insecure": ["maybe", "1", "null"],
    "max_body_bytes": ["0", "1.5"],
    "max_reading_bytes": ["1"],
    "read_seconds": ["0", "nan"],
    "drain_seconds": ["inf"],
    "stop_with_stdin": ["maybe", "3"],
    "certificate_key": ["3"],
}
"""Wrong values of conf/_server.yaml."""

MASTER = {
    "master.max_tasks": ["0", "1.5", "null"],
    "master.deadline_seconds": ["0", "nan"],
    "master.window_seconds": ["inf"],
    "master.batch_size": ["0", "1e9"],
    "master.calls_per_node": ["true"],
    "master.smoothing": ["0", "2"],
    "master.patience": ["0.5", "inf"],
    "master.retry_seconds": ["100"],
    "master.max_retry_seconds": ["inf"],
    "master.audit_share": ["-1", "2"],
    "master.count_computation": ["maybe"],
    "master.seed": ["-1"],
    "scheduler.ants": ["0", "abc"],
    "scheduler.evaporation_rate": ["1"],
    "exit_threshold": ["-0.1", "1.5", "nan", "true"],
    "threads": ["0", "1025", "abc"],
    "seed": ["-1", "1.5"],
}
"""Wrong values of the master's keys."""

VALUES: dict[str, dict[str, list[str]]] = {
    "node": {
        **SERVER,
        "bundle": ["null", "3", "[a]"],
        "threads": ["0", "1025", "1.5", "true"],
        "max_waiting": ["0", "1.5", "1000001"],
        "providers": ["[]", "[Foo]", "CPUExecutionProvider", "[3]", "null"],
        "least_seconds": ["-1", "inf", "nan", "abc", "null", "1e9"],
    },
    "cloud": {
        "port": ["-1", "70000", "abc"],
        "threads": ["0"],
        "providers": ["[Foo]"],
        "least_seconds": ["inf"],
    },
    "serve": {
        **MASTER,
        "port": ["-1", "70000", "abc"],
        "access_token": ["3", "[a]", "''"],
        "cloud": ["3", "[a]"],
    },
    "up": {
        "bundle": ["null"],
        "port": ["-1", "70000"],
        "token": ["''"],
        "threads": ["0", "null"],
        "exit_threshold": ["1.5"],
        "master.max_tasks": ["0"],
        "scheduler.ants": ["abc"],
        "num_nodes": ["0", "1.5", "1e9", "1000000000", "abc"],
        "with_cloud": ["maybe", "1", "null"],
    },
    "ask": {
        "timeout_seconds": ["0", "inf", "nan", "abc"],
        "token": ["3", "'a\nb'", "é", "''"],
        "authority": ["3"],
        "url": ["null", "3"],
        "pictures": ["3", "[3]"],
    },
    "validate": {
        "bundle": ["null", "3"],
        "hosts": ["foo", "3", "[auto]"],
        "conditions": ["[]", "[3]", "idle", "null"],
        "node_seconds": ["[]", "[0]", "[nan,1]", "[inf,1]", "[a]", "0.1", "[0.1]", "[1e6,1]"],
        "cloud_seconds": ["0", "1e6", "abc"],
        "node_delay_seconds": ["nan", "1e6"],
        "node_bits_per_second": ["0", "1e-9"],
        "cloud_delay_seconds": ["-1", "inf"],
        "cloud_bits_per_second": ["-1", "1e-9"],
        "seconds": ["0", "nan", "1e9"],
        "warmup_seconds": ["-1", "inf", "1e9"],
        "calls": ["0", "10001"],
        "seed": ["-1"],
        "dir": ["null", "3"],
        "master.max_tasks": ["0", "abc"],
        "master.deadline_seconds": ["0", "inf"],
        "scheduler.ants": ["0", "abc"],
        "dormancy.smoothing": ["0", "2"],
    },
}
"""Wrong values; the answer names the last part of the key."""

GROUPS: list[tuple[str, str]] = [
    ("master=foo", "master/foo"),
    ("master=null", "master"),
    ("master=3", "master"),
    ("~master", "master is left out of the config|master._target_ is None"),
    ("+master.foo=3", "'foo'"),
    ("master.foo=3", "foo"),
    ("master._target_=foo", "foo"),
    ("master._target_=builtins.dict", "master.*dict"),
    ("~master._target_", "master"),
    ("scheduler=foo", "scheduler/foo"),
    ("scheduler=null", "scheduler"),
    ("~scheduler", "scheduler is left out of the config"),
    ("+scheduler.foo=3", "'foo'"),
    ("scheduler._target_=no.such", "no.such"),
    ("scheduler._target_=cloudedge_pl.dormancy.DormancyRule", "scheduler"),
    ("scheduler=exact scheduler.gap=2", "gap is 2"),
    ("dormancy=foo", "dormancy/foo"),
    ("dormancy=3", "dormancy"),
    ("dormancy=never dormancy.mode=nap", "'nap'"),
    ("dormancy=hysteresis dormancy.wake_ratio=9", "sleep_ratio is 1.5"),
    ("dormancy=deadline +dormancy.foo=3", "'foo'"),
    ("dormancy=deadline dormancy._target_=builtins.dict", "dormancy.*dict"),
]
"""Wrong groups of the commands that run a master: serve, up and validate."""

SERVING: list[tuple[str, str]] = [
    ("bundle=???", "bundle is not given"),
    ("bundle={folder}/nope", "no manifest.json"),
    ("bundle={folder}/bundles/format_torch", "format=onnx"),
    ("bundle={folder}/bundles/deep", "cannot be read"),
    ("~bundle", "bundle is left out of the config"),
    ("foo=3", "foo"),
]
"""Wrong in all commands but ask."""

NODE: list[tuple[str, str]] = [
    ("bundle={folder}/text.csv", "no manifest.json"),
    ("bundle=", "bundle is ''"),
    ("bundle={folder}/bundle/manifest.json", "no manifest.json"),
    ("bundle={folder}/bundles/id", "its id is"),
    ("bundle={folder}/bundles/absent_edge", "has no edge.onnx"),
    ("bundle={folder}/bundles/other_edge", "not the part 'edge'"),
    ("bundle={folder}/bundles/no_onnx", "cannot be loaded by onnxruntime"),
    ("bundle={folder}/bundles/inputs_shape_huge", "1000000000"),
    ("{folder}", "="),
    ("-m", "-m"),
    ("experiment=paper_quick", "experiment"),
]
"""Wrong in the commands of a part; test_bundles.py has the other bundles."""

LISTENING: list[tuple[str, str]] = [
    ("port={port}", "port=0 for a free one"),
    ("~port", "port is left out of the config"),
    ("host=0.0.0.0", "insecure=true"),
    ("host='127.1'", "insecure=true"),
    ("host=192.0.2.1 insecure=true", "192.0.2.1:0 cannot be listened on"),
    ("host=no.such.host.invalid token=a", "no.such.host.invalid:0 cannot be listened on"),
    ("host=a..b token=a", "a..b:0 cannot be listened on"),
    ("certificate={folder}/text.csv", "belong together"),
    ("certificate_key={folder}/text.csv", "belong together"),
    ("certificate={folder}/nope.pem certificate_key={folder}/nope.pem", "nope.pem and certificate_key"),
    ("certificate={folder}/text.csv certificate_key={folder}/text.csv", "text.csv cannot be used"),
    ("certificate={folder} certificate_key={folder}", "cannot be used"),
]
"""Addresses and certificates of node and up."""

NODES: list[tuple[str, str]] = [
    ("nodes=[]", "nodes is empty"),
    ("nodes=null", "nodes is None"),
    ("nodes=3", "nodes is 3"),
    ("nodes=http://a:1", "nodes is 'http://a:1'"),
    ("nodes=[3]", r"nodes is \[3\]"),
    ("nodes=['']", "'' is no URL"),
    ("nodes=[here]", "'here' is no URL"),
    ("nodes=['ftp://pi:8001']", "'ftp://pi:8001' is no URL"),
    ("nodes=['http://pi:8001/v2']", "'http://pi:8001/v2' is no URL"),
    ("nodes=['http://pi:8001?a=1']", "is no URL"),
    ("nodes=['http://']", "'http://' is no URL"),
    ("nodes=['http://pi:70000']", "'http://pi:70000' is no URL"),
    ("nodes=['http://[::1']", r"'http://\[::1' is no URL"),
    ("nodes=['http://a\tb:1']", "is no URL"),
    ("nodes=['http://a..b:1']", "'http://a..b:1' is no URL"),
    ("nodes=['http://a:80','http://A/']", "twice|both"),
    ("cloud=here", "'here' is no URL"),
    ("cloud=''", "cloud is ''"),
    ("authority={folder}/nope.pem", "nope.pem cannot be read"),
    ("authority={folder}/text.csv", "text.csv cannot be read"),
    ("addresses={folder}/fleet.yaml", "either the file"),
    ("port={port}", "port=0 for a free one"),
]
"""Wrong addresses of `cloudedge serve`."""

FLEETS: dict[str, tuple[bytes, str]] = {
    "s_empty.yaml": (b"", "has no nodes"),
    "s_list.yaml": (b"- http://a:1\n", "has no nodes"),
    "s_binary.yaml": (bytes(range(256)), "s_binary.yaml"),
    "s_tag.yaml": (b"nodes: !!python/object/apply:os.system [exit]\n", "s_tag.yaml"),
    "s_key.yaml": (b"nodes: ['http://a:1']\nspeed: 3\n", "'speed'"),
    "s_twice.yaml": (b"nodes: ['http://a:1']\nnodes: ['http://b:1']\n", "line 2: the key 'nodes'"),
    "s_names.yaml": (b"nodes:\n  a: http://a:1\n  a: http://b:1\n", "line 3: the key 'a'"),
    "s_none.yaml": (b"nodes: []\n", "nodes is empty"),
    "s_number.yaml": (b"nodes: 3\n", "nodes is 3"),
    "s_mixed.yaml": (b"nodes: ['http://a:1', 3]\n", "3"),
    "s_name.yaml": (b"nodes: {1: 'http://a:1'}\n", "1"),
    "s_same.yaml": (b"nodes: {a: 'http://a:1', b: 'http://a:1'}\n", "twice|both"),
    "s_self.yaml": (b"nodes: &a [*a]\n", "is no URL"),
    "s_cloud.yaml": (b"nodes: ['http://a:1']\ncloud: 3\n", "cloud is 3"),
}
"""Files of addresses that are none."""

UP: list[tuple[str, str]] = [
    ("bundle={folder}/bundles/absent_edge", "has no edge.onnx"),
    ("bundle={folder}/bundles/other_edge", "not the part 'edge'"),
    ("nodes=[]", "nodes"),
]

ASK: list[tuple[str, str]] = [
    ("", "no picture"),
    ("pictures=[]", "no picture"),
    ("{pictures}/one.png nodes=3", "nodes"),
    ("{pictures}/one.png -m", "-m is not a file|-m"),
    ("{pictures}/one.png url={nobody}", "is not reached"),
    ("{pictures}/one.png url={nobody} authority={folder}/text.csv", "text.csv cannot be read"),
    ("{pictures}/one.png url={mute} timeout_seconds=0.05", "did not answer within 0.05 s"),
    ("{pictures}/one.png url=here", "'here' is no URL"),
    ("{pictures}/one.png url=''", "url is ''"),
    ("{pictures}/one.png url={network}/v2", "/v2' is no URL"),
    ("{pictures}/one.png url='http://127.0.0.1:70000'", "'http://127.0.0.1:70000' is no URL"),
    ("{pictures}/one.png url='http://no.such.host.invalid:1'", "is not reached"),
    ("{pictures}/one.png url='https://127.0.0.1:{port}'", "is not reached"),
    ("{pictures}/one.png ulr={network}", "ulr"),
    ("{pictures}/absent=1.png", "absent"),
    ("~url {pictures}/one.png", "~url is not a file"),
    ("pictures=[] {pictures}/one.png", ""),
]

SERVERS: dict[str, str] = {
    "page": "no JSON",
    "silent": "no JSON",
    "array": "no JSON object",
    "nothing": "list of tensors is None",
    "deep": "no JSON",
    "denies": "401: no token",
    "lacks": "404: no model",
    "fails": "500",
    "inputs": "list of tensors is 3",
    "no_inputs": "inputs",
    "input_text": "tensor is 'image'",
    "input_type": "FP99",
    "outputs": "outputs have the shapes",
    "parameters": "parameters",
    "no_pictures": "does not say how pictures are prepared",
    "preprocessing": "preprocessing",
    "std": "std is 0",
    "gamma": "gamma",
    "sides": r"input_shape is \[3, 9, 9\]",
    "vast": r"input_shape is \[3, 1000000000, 1000000000\]",
    "giant": "more than 268435456 bytes",
    "no_names": "class_names",
    "names": "class_names",
    "no_nodes": "nodes",
    "answers_page": "is no answer",
    "answers_nothing": "is no answer",
    "answers_class": "class 99",
    "answers_below": "class -1",
    "answers_path": "path 7",
    "answers_node": "node 7",
}
"""What is answered where the server says :data:`~tests.fuzz.servers.SAYS`; its URL stands in front."""

VALIDATE: list[tuple[str, str]] = [
    ("dir={folder}/text.csv", "text.csv"),
    ("dir={folder}/text.csv/below", "text.csv"),
    ("dir=/proc/cloudedge", "/proc/cloudedge"),
    ("dir=", "dir is ''"),
    ("bundle={folder}/bundles/absent_edge", "has no edge.onnx"),
    ("bundle={folder}/bundles/absent_edge hosts=namespaces", "has no edge.onnx"),
    ("bundle={folder}/bundles/absent_edge hosts=auto", "has no edge.onnx"),
    ("~seconds", "seconds is left out of the config"),
    ("port=8000", "port"),
]


def cases() -> Iterator[Case]:
    """Every input of the table."""
    for command, keys in VALUES.items():
        base = ["{pictures}/one.png"] if command == "ask" else []
        for key, values in keys.items():
            given = [] if key == "pictures" else base
            yield from ((command, [*given, f"{key}={value}"], key.split(".")[-1]) for value in values)
    for commands, rows in (
        (("serve",), GROUPS),
        (("up", "validate"), GROUPS[::6]),
        (("node", "up", "validate"), SERVING),
        (("cloud", "serve"), SERVING[:3]),
        (("node",), NODE),
        (("node",), LISTENING),
        (("up",), LISTENING[::6]),
        (("serve",), NODES),
        (("up",), UP),
        (("ask",), ASK),
        (("validate",), VALIDATE),
    ):
        yield from ((command, given.split(" "), answer) for command in commands for given, answer in rows)
    for name, (_, answer) in FLEETS.items():
        yield "serve", ["nodes=[]", f"addresses={{folder}}/{name}"], answer
    for given in ("nope.yaml", ".", ".."):
        yield "serve", ["nodes=[]", f"addresses={{folder}}/{given}"], "cannot be read"
    yield "serve", ["nodes=[]", "addresses={folder}/fleet.yaml", "cloud='http://a:1'"], "either the file"
    yield from _asked()


def _asked() -> Iterator[Case]:
    assert set(SERVERS) == set(SAYS)
    for name, answer in SERVERS.items():
        where = f"{{{name}}}"
        yield "ask", ["{pictures}/one.png", f"url={where}"], f"{where}.*{answer}"
    for name, answer in pictures.BAD.items():
        yield "ask", [f"{{pictures}}/{name}"], answer
    for names in (pictures.NAMES, pictures.GOOD):
        yield "ask", ["{pictures}/" + name.replace("{", "{{").replace("}", "}}") for name in names], ""


def served_files(folder: Path) -> None:
    """Writes bundles, pictures and files of addresses."""
    write_bundles(folder)
    pictures.write_pictures(folder / "pictures")
    for name, (content, _) in FLEETS.items():
        (folder / name).write_bytes(content)
    (folder / "fleet.yaml").write_text("nodes: {a: 'http://127.0.0.1:9'}\n")
