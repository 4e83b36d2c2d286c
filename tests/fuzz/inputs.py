"""The table of hostile inputs: command, overrides, and what the one line that answers must name.

Where the answer is ``""`` the input is good, and the command must end well. ``{folder}`` is a folder that :func:`files`
filled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch

from cloudedge_pl.lightning import pl
from cloudedge_pl.reports.run_rows import RunRow
from tests.fuzz import served
from tests.fuzz.made import MADE

Case = tuple[str, list[str], str]

WRONG_WHOLE = ("2.0", "true", "abc", "null", "nan", "[1]")
WRONG_NUMBER = ("abc", "nan", "true", "null", "[1]")
WRONG_BOOL = ("maybe", "1.5", "1", "null", "[true]")
WRONG_SEED = ("-1", "4294967296", "1.5", "abc", "true")
WRONG_NAME = ("foo", "3", "[a]")

WHOLE = {
    "plan": ["num_classes", "fleet.num_nodes", "workload.samples_per_pass", "workload.optimizer_slots"],
    "simulate": ["scenario.cloud_servers", "scenario.window.tasks", "dormancy.dwell_windows"],
    "schedule": ["num_tasks", "num_nodes", "windows", "scheduler.ants", "scheduler.evaluations"],
    "train": ["data.batch_size", "data.image_size", "data.num_workers", "callbacks.costs.every_n_steps"],
}
NUMBER = {
    "plan": [
        "fleet.speed_spread",
        "fleet.link.propagation_seconds",
        "workload.arrival_rate",
        "workload.max_delay_seconds",
        "offloading.memory_share",
    ],
    "simulate": [
        "exit_share",
        "arrivals.tasks_per_second",
        "churn.failures_per_hour",
        "link_process.interval_seconds",
        "scenario.service.straggler_probability",
        "dormancy.sleep_ratio",
    ],
    "schedule": ["scheduler.alpha", "scheduler.evaporation_rate", "scheduler.tolerance"],
    "train": ["model.learning_rate", "model.momentum", "data.val_fraction", "callbacks.dormancy.smoothing"],
}
BOOL = {
    "plan": ["formulas.roofline", "offloading.exclude_ends"],
    "train": ["test", "data.augment", "model.channels_last", "callbacks.checkpoint.save_last"],
}
SEED = {
    "plan": ["fleet.seed"],
    "simulate": ["seed"],
    "schedule": ["seed"],
    "train": ["seed", "callbacks.aggregation.seed"],
}
NAME = {
    "plan": [
        "workload.phase",
        "offloading.objective",
        "formulas.memory",
        "granularity",
    ],
    "simulate": ["records", "dormancy.mode", "scenario.queues.policy", "exits.policy"],
    "schedule": ["family"],
    "train": ["model.optimizer", "model.schedule", "callbacks.dormancy.mode", "strategy.batch_norm"],
}
OUT_OF_RANGE = {
    "plan": {
        "num_classes": ["0", "-3", "1000000000"],
        "fleet.num_nodes": ["0", "-1", "1000000000"],
        "fleet.speed_spread": ["1", "-0.1"],
        "fleet.link.bandwidth_bits_per_second": ["0", "-1", "inf"],
        "fleet.link.correlation": ["1", "-0.5"],
        "fleet.memory_bytes": ["0", "-4", "4GB"],
        "workload.arrival_rate": ["0", "-1", "inf"],
        "workload.window_seconds": ["0", "inf"],
        "workload.samples_per_pass": ["0", "-1"],
        "offloading.memory_share": ["0", "1.5"],
        "exit_head.pool": ["0", "1000000000"],
        "exit_head.hidden_channels": ["0", "1000000000"],
        "exit_head.num_layers": ["-1", "17"],
    },
    "simulate": {
        "num_tasks": ["0", "-1", "1.5", "abc"],
        "until_seconds": ["0", "-1", "abc"],
        "exit_share": ["2", "-0.1"],
        "arrivals.tasks_per_second": ["0", "-1", "inf"],
        "churn.repair_seconds": ["0", "-1"],
        "link_process.outages": ["[[5,1]]", "[1]", "abc"],
        "scenario.service.jitter": ["-1", "[0.1,0.2]", "abc"],
        "scenario.queues.node_tasks": ["-1", "1.5", "abc"],
        "scenario.window.seconds": ["0", "-1"],
        "scenario.backhaul_bits_per_second": ["0", "-1"],
        "dormancy.smoothing": ["0", "2"],
    },
    "schedule": {
        "num_tasks": ["0", "-1", "1000000000"],
        "num_nodes": ["0", "1000000000"],
        "windows": ["0", "-1"],
        "scheduler.evaporation_rate": ["0", "1"],
        "scheduler.alpha": ["0", "11", "inf"],
        "scheduler.ants": ["0", "-1"],
    },
    "train": {
        "data.batch_size": ["0", "-1", "100000"],
        "data.image_size": ["0", "1000000"],
        "data.val_fraction": ["1", "-0.1"],
        "data.num_workers": ["-1", "100000"],
        "data.noise": ["-1", "inf"],
        "data.num_train": ["0", "1000000000000"],
        "model.learning_rate": ["0", "-1", "inf"],
        "model.momentum": ["1", "-0.1"],
        "model.weight_decay": ["-1"],
        "model.edge_loss_weight": ["-1"],
        "callbacks.dormancy.smoothing": ["0", "2"],
        "exits.max_disagreement": ["0", "1", "-0.1", "abc"],
        "exits.delta": ["0", "1", "null"],
        "exits.audit_share": ["-0.1", "1.5"],
        "exits.threshold": ["-1", "2"],
        "callbacks.aggregation.failure_rate": ["-1", "2"],
        "callbacks.aggregation.every_n_steps": ["0", "-1", "1.5", "true"],
        "callbacks.costs.every_n_steps": ["0"],
        "trainer.max_epochs": ["x", "1.5", "-5"],
        "trainer.devices": ["99"],
        "trainer.accelerator": ["foo"],
        "trainer.precision": ["foo"],
        "trainer.deterministic": ["perhaps"],
    },
}
SINGLE: list[Case] = [
    ("plan", ["experiment=paper_full"], "cloudedge train"),
    ("plan", ["input_shape=[3,32]"], "input_shape"),
    ("plan", ["input_shape=[3,32,x]"], "input_shape"),
    ("plan", ["input_shape=[3,1000000,32]"], r"input_shape\[1\] is 1000000"),
    ("plan", ["fleet=file"], "fleet.path is not given"),
    ("plan", ["fleet=nope"], "fleet/nope"),
    ("plan", ["fleet=null"], "fleet=null"),
    ("plan", ["offloading=3"], "offloading=3"),
    ("plan", ["~offloading"], "offloading is left out"),
    ("plan", ["~codec"], "codec is left out"),
    ("plan", ["codec=jpeg"], "codec/jpeg"),
    ("plan", ["codec.name=jpeg"], "unknown codec 'jpeg'"),
    ("plan", ["codec.name=3"], "codec: name is 3"),
    ("plan", ["codec=top_k", "codec.ratio=0"], "ratio is 0"),
    ("plan", ["formulas.omega=0"], "omega is 0"),
    ("plan", ["~model"], "model is left out"),
    ("plan", ["fleet.device=pi"], "'pi'"),
    ("plan", ["fleet.device=[]"], "no device"),
    ("plan", ["fleet.link=3"], "link is 3"),
    ("plan", ["fleet.link.uplink_bits_per_second=[]"], "uplink_bits_per_second is empty"),
    ("plan", ["fleet.link.uplink_bits_per_second=5"], "uplink_bits_per_second is 5"),
    ("plan", ["fleet._target_=no.such"], "no.such"),
    ("plan", ["+offloading.foo=1"], "'foo'"),
    ("plan", ["+fleet.foo=1"], "'foo'"),
    ("plan", ["offloading.split_point=1.5"], "split_point is 1.5"),
    ("plan", ["offloading.split_point=999"], "999"),
    ("plan", ["model.backbone=resnet999"], "resnet999"),
    ("plan", ["+model.backbone_options.foo=3"], "'foo'"),
    ("plan", ["costs._target_=foo"], "costs._target_ is 'foo'"),
    ("plan", ["costs=measured", "costs.repeats=0"], "repeats is 0"),
    ("plan", ["foo"], "foo"),
    ("plan", ["=3"], "=3"),
    ("plan", ["num_class=3"], "num_class"),
    ("plan", ["workload.max_delay_seconds=1e-9"], "no split point"),
    ("plan", ["hydra.run.dir=/proc/cloudedge"], "/proc/cloudedge"),
    ("plan", ["hydra.run.dir={folder}/text.csv/run"], "text.csv"),
    ("plan", ["fleet=file", "fleet.path={folder}/a=b.csv"], "quotes"),
    ("plan", ["fleet=file", 'fleet.path="{folder}/a=b.csv"'], ""),
    ("plan", ["fleet=file", "fleet.path={folder}/{{x}}.csv"], "quotes"),
    ("plan", ["fleet=file", 'fleet.path="{folder}/{{x}}.csv"'], ""),
    ("plan", ["fleet=file", 'fleet.path="{folder}/with blank é.csv"'], ""),
    ("plan", [], ""),
    ("simulate", [], ""),
    ("simulate", ["link_process=constant", "link_process.outages=[[0,1e9]]", "until_seconds=10"], ""),
    ("simulate", ["scenario.classes=[{{name: a}},{{name: a}}]"], r"\[a, a\]"),
    ("simulate", ["scenario.classes=[{{size: 0}}]"], "size is 0"),
    ("simulate", ["scenario.classes=3"], "classes is 3"),
    ("simulate", ["arrivals=trace", "arrivals.path={folder}/text.csv"], "text.csv"),
    ("simulate", ["arrivals=trace", "arrivals.path={folder}/nope.csv"], "nope.csv"),
    ("simulate", ["link_process=mahimahi", "link_process.path={folder}/text.csv"], "text.csv"),
    ("simulate", ["churn=events", "churn.events={folder}/text.csv"], "text.csv"),
    ("simulate", ["num_tasks=null"], "neither num_tasks nor until_seconds"),
    ("simulate", ["run={folder}/nope"], "nope/.hydra/config.yaml"),
    ("simulate", ["run={folder}"], "plan.json"),
    ("simulate", ["workload=training"], "workload=inference"),
    ("simulate", ["~scenario"], "scenario is left out"),
    ("simulate", ["~dormancy"], "dormancy is left out"),
    ("simulate", ["scenario=null"], "scenario=null"),
    ("schedule", [], ""),
    ("schedule", ["experiment=paper_full"], "experiment"),
    ("schedule", ["scheduler=foo"], "scheduler/foo"),
    ("schedule", ["scheduler._target_=null"], "scheduler._target_"),
    ("schedule", ["compare=[asta]"], "'asta'"),
    ("schedule", ["compare=5"], "compare is 5"),
    ("schedule", ["compare=[{{name: aco, ants: true}}]"], "ants is True"),
    ("schedule", ["baseline=[lpt]"], "baseline"),
    ("schedule", ["file={folder}/nope.npy"], "nope.npy"),
    ("schedule", ["file={folder}/text.csv"], "text.csv"),
    ("schedule", ["file={folder}/empty.csv"], "empty.csv"),
    ("schedule", ["file={folder}/not.npy"], "not.npy"),
    ("schedule", ["file={folder}"], "no such file"),
    ("schedule", ["file={folder}/x=y.csv"], "quotes"),
    ("train", ["data=image_folder"], "data.root is not given"),
    ("train", ["data=image_folder", "data.root={folder}/nope"], "nope"),
    ("train", ["fleet=file"], "fleet.path is not given"),
    ("train", ["logger=null"], "logger=null"),
    ("train", ["callbacks=null"], "callbacks=null"),
    ("train", ["logger.csv=3"], "logger.csv is 3"),
    ("train", ["logger.csv.save_dir=3"], "save_dir is 3"),
    ("train", ["callbacks.aggregation.adaptive=3"], "adaptive is 3"),
    ("train", ["callbacks.aggregation.weighting=foo"], "weighting is 'foo'"),
    ("train", ["callbacks.checkpoint.mode=foo"], "foo"),
    ("train", ["callbacks.checkpoint.monitor=3"], "monitor is 3"),
    ("train", ["callbacks.learning_rate.logging_interval=foo"], "logging_interval is 'foo'"),
    ("train", ["+trainer.foo=3"], "'foo'"),
    ("train", ["+trainer.logger=true"], "trainer.logger"),
    ("train", ["+trainer.gradient_clip_val=abc"], "gradient_clip_val is 'abc'"),
    ("train", ["strategy.backbone=foo"], "'foo'"),
    ("train", ["strategy.shards=3"], "shards is 3"),
    ("train", ["strategy.shards={{by: foo}}"], "'foo'"),
    ("train", ["strategy.shards={{by: dirichlet, alpha: -1}}"], "alpha is -1"),
    ("train", ["strategy.shards={{}}"], r"shards is {}; it must name .* dirichlet"),
    (
        "train",
        ["strategy.shards={{by: class, classes_per_node: 99}}"],
        r"classes_per_node is 99; .* in \[1, ",
    ),
    ("train", ["strategy.split_modules=[]"], r"split_modules is \[\]"),
    ("train", ["model.learning_rate=1e30"], r"learning_rate is 1e\+30; it must lie in \(0, 1000"),
    ("train", ["offloading.exclude_ends=true", "offloading.split_point=0"], "split_point is 0, an end"),
    ("plan", ["offloading.exclude_ends=true", "offloading.split_point=0"], "split_point is 0, an end"),
    ("train", ["~scheduler"], "scheduler is left out of the config"),
    ("schedule", ["~scheduler"], "scheduler is left out of the config"),
    ("schedule", ["~num_tasks"], "num_tasks is left out of the config"),
    ("train", ["callbacks.aggregation.adaptive={{foo: 3}}"], "unknown key of adaptive, 'foo'"),
    ("schedule", ["scheduler=exact", "scheduler.gap=2"], r"gap is 2; it must lie in \[0, 1\]"),
    ("plan", ["fleet.max_energy_joules=.inf"], ""),
    ("plan", ["fleet.max_energy_joules=-.inf"], "max_energy_joules is -inf"),
    ("plan", ["fleet.max_energy_joules=.nan"], "max_energy_joules is nan"),
    ("train", ["strategy.foo=3"], "strategy.foo"),
    ("train", ["strategy=foo"], "strategy/foo"),
    ("train", ["experiment=nope"], "experiment/nope"),
    ("train", ["exits=patience"], "exits/patience"),
    ("train", ["exits.policy=confident"], "Did you mean 'confidence'"),
    ("train", ["exits.risk=loss"], "risk of exits"),
    ("train", ["exits.method=ltt"], "exits: method is 'ltt'"),
    ("train", ["ckpt_path=3"], "ckpt_path is 3"),
    ("train", ["ckpt_path={folder}"], "ckpt_path"),
    ("train", ["ckpt_path={folder}/nope.ckpt"], "nope.ckpt"),
    ("train", ["ckpt_path={folder}/.hydra/text.ckpt"], "text.ckpt"),
    ("train", ["ckpt_path={folder}/.hydra/weights.ckpt"], "weights.ckpt"),
    ("train", ["ckpt_path={folder}/.hydra/cut.ckpt"], "cut.ckpt"),
    ("evaluate", [], "ckpt="),
    ("evaluate", ["foo=3"], "ckpt="),
    ("evaluate", ["ckpt="], "ckpt="),
    ("evaluate", ["ckpt={folder}"], "no checkpoint"),
    ("evaluate", ["ckpt={folder}/nope.ckpt"], "nope.ckpt"),
    ("evaluate", ["ckpt={folder}/.hydra/text.ckpt"], "text.ckpt cannot be read"),
    ("evaluate", ["ckpt={folder}/.hydra/weights.ckpt"], "weights.ckpt"),
    ("evaluate", ["ckpt={folder}/.hydra/cut.ckpt"], "cut.ckpt"),
    ("evaluate", ["ckpt={folder}/.hydra/empty.ckpt"], "empty.ckpt"),
    ("evaluate", ["ckpt={folder}/.hydra/a=b {{x}}.ckpt"], "a=b {x}.ckpt"),
    ("evaluate", ["ckpt={folder}/.hydra/text.ckpt", "model=resnet18"], "text.ckpt cannot be read"),
    ("evaluate", ["ckpt={folder}/.hydra/text.ckpt", "model=resnet"], "model"),
    ("collect", [], "no folder is given"),
    ("collect", ["{folder}/nope"], "nope is not a folder"),
    ("collect", ["{folder}/text.csv"], "text.csv is not a folder"),
    ("collect", ["{folder}/.hydra"], "there is no run"),
    ("collect", ["folders=3"], "folders is 3"),
    ("collect", ["folders=[3]"], r"folders is \[3\]"),
    ("collect", ["folders=null"], "no folder is given"),
    ("collect", ["{folder}/rows"], ""),
    ("collect", ["{folder}/rows", "metric=tests"], "Did you mean 'tasks'"),
    ("collect", ["{folder}/rows", "metric=3"], "metric is 3"),
    ("collect", ["{folder}/rows", "metric=[tasks,3]"], "metric is"),
    ("collect", ["{folder}/rows", "x=nope"], "'nope'"),
    ("collect", ["{folder}/rows", "lines=nope"], "'nope'"),
    ("collect", ["{folder}/rows", "spread=wide"], "'wide'"),
    ("collect", ["{folder}/rows", "to={folder}/text.csv"], "text.csv"),
    ("collect", ["{folder}/rows", "foo=3"], "foo"),
    ("collect", ["{folder}/bad_rows"], "row.json is not the row of a run"),
    ("calibrate", [], "ckpt="),
    ("calibrate", ["ckpt={folder}/nope.ckpt"], "nope.ckpt"),
    ("calibrate", ["ckpt={folder}/.hydra/text.ckpt"], "text.ckpt cannot be read"),
    ("calibrate", ["ckpt={folder}/.hydra/text.ckpt", "exits=none"], "nothing to calibrate"),
    ("calibrate", ["ckpt={folder}/.hydra/text.ckpt", "exits.threshold=0.5"], "nothing to calibrate"),
]

OF_LIGHTNING: dict[str, list[str]] = {
    "+trainer.limit_train_batches": ["-1", "-0.5", "abc"],
    "+trainer.limit_val_batches": ["-1", "0"],
    "+trainer.limit_test_batches": ["-1", "0"],
    "+trainer.min_epochs": ["-1", "7"],
    "+trainer.min_steps": ["-5", "1.5"],
    "+trainer.check_val_every_n_epoch": ["0", "-1", "2"],
    "+trainer.val_check_interval": ["0", "-1", "1000"],
    "trainer.num_sanity_val_steps": ["-2", "0.5"],
    "trainer.log_every_n_steps": ["-1", "1.5"],
    "+trainer.accumulate_grad_batches": ["0", "-1", "1.5"],
    "+trainer.gradient_clip_val": ["-1", "inf", "nan"],
    "+trainer.num_nodes": ["0", "5"],
    "+trainer.reload_dataloaders_every_n_epochs": ["-1"],
    "callbacks.progress.refresh_rate": ["-1", "abc"],
    "callbacks.checkpoint.save_top_k": ["-2", "1.5"],
    "callbacks.checkpoint.monitor": ["val/acuracy", "3"],
    "+callbacks.last.every_n_epochs": ["-1", "1.5"],
    "+logger.csv.flush_logs_every_n_steps": ["0", "-1"],
}
"""Arguments of Lightning's Trainer, callbacks and loggers, with values that they cannot have."""

CONDITIONS: dict[str, list[tuple[str, str]]] = {
    "scenario.queues": [
        (".policy=foo", "policy of full queues 'foo'"),
        (".cloud_tasks=-1", "cloud_tasks is -1"),
        (".node_tasks=1.5", "node_tasks is 1.5"),
        ("=3", "queues is 3"),
    ],
    "+scenario": [(".queues.length=3", "'length'"), (".foo=3", "'foo'")],
    "scenario.window": [
        (".seconds=-1", "seconds is -1"),
        (".tasks=0", "tasks is 0"),
        (".tasks=true", "tasks is True"),
    ],
    "scenario.service": [
        (".jitter=-1", r"jitter\[0\] is -1"),
        (".jitter=1000", r"jitter\[0\] is 1000"),
        (".jitter=abc", "jitter is 'abc'"),
        (".jitter=[0.1,0.2]", "jitter has 2 values"),
        (".straggler_probability=2", "straggler_probability is 2"),
        (".straggler_slowdown=0.5", "straggler_slowdown is 0.5"),
    ],
    "scenario.classes": [
        ("=[{{name: a}}, {{name: a}}]", r"names \[a, a\]"),
        ("=[{{name: a, share: 0}}]", "share is 0"),
        ("=[{{name: a, work: 1e300}}]", r"work is 1e\+300"),
        ("=[{{name: a, colour: red}}]", "'colour'"),
        ("=[{{name: 3}}]", "name is 3"),
        ("=[3]", r"classes is \[3\]"),
        ("=3", "classes is 3"),
        ("={{name: a}}", "scenario.classes"),
    ],
    "scenario": [
        (".cloud_servers=0", "cloud_servers is 0"),
        (".cloud_servers=1.5", "cloud_servers is 1.5"),
        (".backhaul_bits_per_second=0", "backhaul_bits_per_second is 0"),
        (".backhaul_bits_per_second=1e-300", "wait for what never ends"),
        (".link=3", "link is 3"),
        (".churn=3", "churn is 3"),
        ("=foo", "scenario/foo"),
        ("=null", "scenario=null"),
    ],
    "churn": [
        (".events=nofile.csv", "nofile.csv"),
        (".events={folder}/text.csv", "text.csv, line 1"),
        (".events=3", "events is 3"),
        (".events=[3]", r"events is \[3\]"),
        (".events=[[1,nobody]]", r"events\[0\] is"),
        (".events=[[1,nobody,fail]]", "'nobody'"),
        (".events=[[1,3,fail]]", "3 is not a name"),
        (".events=[[1,nobody,explode]]", "'explode'"),
        (".events=[[2,nobody,fail],[1,nobody,fail]]", r"events\[1\] seconds is 1"),
        (".absent=[nobody]", "'nobody'"),
        (".absent=3", "absent is 3"),
        (".failures_per_hour=-1", "failures_per_hour is -1"),
        (".failures_per_hour=1e300", r"failures_per_hour is 1e\+300"),
        (".repair_seconds=0", "repair_seconds is 0"),
        ("=events", "churn.events is not given"),
        ("=foo", "churn/foo"),
    ],
    "link_process": [
        ("=trace", "link_process.path is not given"),
        (".outages=[[5,1]]", r"outages\[0\] is \[5, 1\]"),
        (".outages=[[1,5],[4,8]]", r"outages\[1\] is \[4, 8\]"),
        (".outages=[[0,inf]]", r"outages\[0\] is \[0, inf\]"),
        (".outages=[3]", r"outages is \[3\]"),
        (".variation=-1", "variation is -1"),
        (".correlation=1", "correlation is 1"),
        (".interval_seconds=0", "interval_seconds is 0"),
        ("._target_=foo", "_target_ is 'foo'"),
    ],
    "link_process.path={folder}/text.csv link_process": [
        ("=trace", "text.csv, line 1"),
        ("=mahimahi", "text.csv, line 1"),
        ("=throughput", "text.csv, line 1"),
    ],
    "link_process.path=nofile link_process": [("=trace", "path nofile is not a file")],
    "scenario.queues.node_tasks=4 scenario": [
        (".queues.policy=reject", 'policy is "reject"; in training'),
        (".queues.policy=exit", 'policy is "exit"; in training'),
        (".queues.policy=block +trainer.limit_train_batches=1 test=false", ""),
    ],
}
"""Conditions under which the fleet of a training cannot work: how an override goes on, and what the answer names."""

SWEEPS: list[Case] = [
    ("schedule", ["-m", "seed=0,x,-1"], r"2 of the sweep's jobs failed"),
    ("schedule", ["-m", "num_tasks=3,0", "num_nodes=2,true"], r"3 of the sweep's jobs failed"),
    ("schedule", ["-m", "scheduler=fcfs,nope"], "scheduler/nope"),
    ("schedule", ["-m", "scheduler=fcfs,lpt", "seed=range(2)"], ""),
    ("plan", ["-m", "fleet.num_nodes=2,x"], "1 of the sweep's jobs failed"),
    ("plan", ["-m", "offloading.split_point=3,999,1.5"], "2 of the sweep's jobs failed"),
    ("train", ["-m", "model.learning_rate=-1,inf"], "2 of the sweep's jobs failed"),
    ("train", ["-m", "seed="], "seed"),
    ("schedule", ["seed=1,2"], "-m"),
    ("evaluate", ["-m", "ckpt={folder}/.hydra/text.ckpt", "seed=1,2"], "2 of the sweep's jobs failed"),
]

RUN = "{folder}/good/checkpoints/last.ckpt"
AFTER_A_RUN: list[Case] = [
    ("train", ["+trainer.limit_train_batches=1", "test=false", "hydra.run.dir={folder}/good"], ""),
    ("evaluate", [f"ckpt={RUN}", "data.num_test=4"], ""),
    ("evaluate", [f"ckpt={RUN}", "model=resnet34"], "another backbone"),
    ("evaluate", [f"ckpt={RUN}", "model=vgg16", "data.image_size=32"], "another backbone"),
    ("evaluate", [f"ckpt={RUN}", "data.num_classes=7"], "another backbone|num_classes"),
    ("evaluate", [f"ckpt={RUN}", "offloading.split_point=1"], "split point"),
    ("evaluate", [f"ckpt={RUN}", "fleet.num_nodes=0"], "num_nodes is 0"),
    ("evaluate", [f"ckpt={RUN}", "+trainer.limit_test_batches=0"], "limit_test_batches is 0"),
    ("evaluate", ["ckpt={folder}/.hydra/module.ckpt"], "another backbone"),
    ("calibrate", [f"ckpt={RUN}", "data.val_fraction=0"], "no validation sample"),
    ("calibrate", [f"ckpt={RUN}", "offloading.split_point=1"], "split point"),
    ("train", [f"ckpt_path={RUN}", "model=resnet34"], "model.backbone=resnet34"),
    ("train", [f"ckpt_path={RUN}", "model.optimizer=sgd"], "model.optimizer=sgd"),
    ("train", [f"ckpt_path={RUN}", "trainer.max_epochs=9"], "onecycle"),
    ("train", [f"ckpt_path={RUN}", "data.num_classes=7"], "data.num_classes=7"),
    ("train", [f"ckpt_path={RUN}", "experiment=paper_full"], "experiment=paper_full"),
    ("train", ["ckpt_path={folder}/.hydra/module.ckpt"], "another backbone"),
]
"""The first leaves a checkpoint; the others read it, or that of another LightningModule, under another config."""

GOOD_ROW = "a,raspberry-pi-4\n"
FLEETS: dict[str, tuple[bytes, str]] = {
    "empty.csv": (b"", "empty.csv"),
    "blank.csv": (b"\n\n\n", "empty"),
    "header.csv": (b"name,device\n", "no node"),
    "twice.csv": (b"name,name,device\na,b,raspberry-pi-4\n", "line 1: the column 'name'"),
    "unknown.csv": (b"name,colour\na,red\n", "colour"),
    "short.csv": (b"name,device\na\n", "line 2"),
    "long.csv": (b"name,device\na,raspberry-pi-4,3\n", "line 2"),
    "quote.csv": (b'name,device\n"a,raspberry-pi-4\n', "line 2"),
    "latin.csv": ("name,device\né,raspberry-pi-4\n".encode("latin-1"), "UTF-8"),
    "wide.csv": (f"name,device\n{GOOD_ROW}".encode("utf-16"), "UTF-8"),
    "units.csv": (b"name,device,memory_bytes\na,raspberry-pi-4,4 GB\n", "line 2 .*memory_bytes is '4 GB'"),
    "negative.csv": (b"name,device,memory_bytes\na,raspberry-pi-4,-5\n", "line 2 .*memory_bytes is -5"),
    "nan.csv": (b"name,device,efficiency\na,raspberry-pi-4,nan\n", "line 2 .*efficiency is nan"),
    "inf.csv": (b"name,device,memory_bytes\na,raspberry-pi-4,inf\n", "line 2 .*memory_bytes is inf"),
    "share.csv": (b"name,device,efficiency\na,raspberry-pi-4,7\n", "line 2 .*efficiency is 7"),
    "names.csv": (b"name,device\na,raspberry-pi-4\na,raspberry-pi-4\n", "line 3"),
    "device.csv": (b"name,device\na,toaster\n", "toaster"),
    "fields.csv": (b"name,memory_bytes\na,4e9\n", "flops_per_second"),
    "half.csv": (b"name,device,count\na,raspberry-pi-4,2.5\n", "count is 2.5"),
    "many.csv": (b"name,device,count\na,raspberry-pi-4,1e9\n", "count is 1e"),
    "masters.csv": (b"name,device,count\nmaster,raspberry-pi-4,2\nb,raspberry-pi-4,1\n", "one master"),
    "good.csv": (f"name,device\n{GOOD_ROW}".encode("utf-8-sig"), ""),
    "keys.yaml": (b"nodes:\n- {name: a, device: raspberry-pi-4, name: b}\n", "key 'name'"),
    "twice.yaml": (b"nodes: []\nnodes: []\n", "line 2: the key 'nodes'"),
    "open.yaml": (b"nodes: [\n", "open.yaml"),
    "empty.yaml": (b"", "empty.yaml"),
    "text.yaml": (b"just text", "text.yaml"),
    "unknown.yaml": (b"knots: []\n", "knots"),
    "nodes.yaml": (b"nodes: 3\n", "nodes"),
    "node.yaml": (b"nodes: [3]\n", r"nodes\[0\]"),
    "bool.yaml": (b"nodes: [{name: a, device: raspberry-pi-4, count: true}]\n", "count is True"),
    "cloud.yaml": (b"nodes: [{name: a, device: raspberry-pi-4}]\ncloud: [3]\n", "cloud"),
    "link.yaml": (b"nodes: [{name: a, device: raspberry-pi-4}]\nlink: {speed: 3}\n", "speed"),
    "rates.yaml": (
        b"nodes: [{name: a, device: raspberry-pi-4}]\nlink: {uplink_bits_per_second: 3}\n",
        "uplink",
    ),
    "recursive.yaml": (b"nodes: &a [*a]\n", "recursive.yaml"),
    "good.toml": (b"", ".toml"),
}
TIMES: dict[str, tuple[str, str]] = {
    "t_words.csv": ("1,2\n3,x\n", "line 2, column 2"),
    "t_short.csv": ("1,2\n3\n", "line 2"),
    "t_negative.csv": ("1,2\n3,-4\n", "-4"),
    "t_nan.csv": ("1,2\n3,nan\n", "nan"),
    "t_nowhere.csv": ("1,2\ninf,inf\n", "task 1|inf"),
    "t_comma.csv": ("1;2,5\n3;4\n", "decimal"),
    "t_index.csv": (",a,b\n0,1,2\n", "index"),
    "t_quote.csv": ('"1,2\n3,4\n', "t_quote.csv"),
    "t_good.csv": ("1,2\n3,4\n", ""),
}


def cases() -> Iterator[Case]:
    """Every input of the table."""
    kinds = [
        (WHOLE, WRONG_WHOLE), (NUMBER, WRONG_NUMBER), (BOOL, WRONG_BOOL), (SEED, WRONG_SEED), (NAME, WRONG_NAME),
    ]  # fmt: skip
    for keys, values in kinds:
        for command, names in keys.items():
            yield from (
                (command, [f"{name}={value}"], name.split(".")[-1]) for name in names for value in values
            )
    for command, ranges in OUT_OF_RANGE.items():
        yield from (
            (command, [f"{name}={value}"], name.split(".")[-1])
            for name, values in ranges.items()
            for value in values
        )
    for name, values in OF_LIGHTNING.items():
        yield from (("train", [f"{name}={value}"], name.split(".")[-1]) for value in values)
    yield from SINGLE
    yield from MADE
    yield from served.cases()
    for name, ends in CONDITIONS.items():
        yield from (("train", _overrides(name + end), answer) for end, answer in ends)
    yield from SWEEPS
    yield from AFTER_A_RUN
    for name, (_, answer) in FLEETS.items():
        yield "plan", ["fleet=file", f"fleet.path={{folder}}/{name}"], answer
    for name, (_, answer) in TIMES.items():
        yield "schedule", [f"file={{folder}}/{name}"], answer


def _overrides(text: str) -> list[str]:
    """Overrides of a line, which are apart by a blank in front of a key."""
    return re.split(r" (?=[+\w.]+=)", text)


def files(folder: Path) -> None:
    """Writes the files that the table names."""
    served.served_files(folder)
    for name, (content, _) in FLEETS.items():
        (folder / name).write_bytes(content)
    for name, (text, _) in TIMES.items():
        (folder / name).write_text(text)
    for name in ("a=b.csv", "{x}.csv", "with blank é.csv"):
        (folder / name).write_text(f"name,device\n{GOOD_ROW}")
    (folder / "text.csv").write_text("no numbers\n")
    (folder / "not.npy").write_bytes(b"\x93NUMPY")
    RunRow(command="simulate", overrides=["seed=0"], state="done", metrics={"tasks": 3}).save(
        folder / "rows" / "0"
    )
    RunRow(command="simulate", overrides=["seed=1"], state="failed", error="no").save(folder / "rows" / "1")
    (folder / "bad_rows").mkdir()
    (folder / "bad_rows" / "row.json").write_text("[3]")
    hydra = folder / ".hydra"
    hydra.mkdir()
    (hydra / "text.ckpt").write_text("no checkpoint")
    (hydra / "a=b {x}.ckpt").write_text("no checkpoint")
    (hydra / "empty.ckpt").touch()
    torch.save(torch.nn.Linear(2, 2).state_dict(), hydra / "weights.ckpt")
    module = pl.LightningModule()
    module.layer = torch.nn.Linear(2, 2)
    trainer = pl.Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(hydra / "module.ckpt")
    whole = (hydra / "weights.ckpt").read_bytes()
    (hydra / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
