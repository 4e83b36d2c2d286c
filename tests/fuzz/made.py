"""Hostile inputs to the commands that reproduce the paper and export networks; see inputs.py."""

from __future__ import annotations

Case = tuple[str, list[str], str]

REPRODUCTION: list[Case] = [
    ("reproduce", ["only=[nope]"], "unknown part of the reproduction 'nope'"),
    ("reproduce", ["only=3"], "only is 3"),
    ("reproduce", ["only=[]"], r"only is \[\]; name at least one"),
    ("reproduce", ["num_tasks=0"], "num_tasks is 0"),
    ("reproduce", ["seeds=0"], "seeds is 0"),
    ("reproduce", ["seeds=1.5"], "seeds is 1.5"),
    ("reproduce", ["seed=-1"], "seed is -1"),
    ("reproduce", ["training.seeds=0"], "seeds is 0"),
    ("reproduce", ["training.margin=2"], "margin_share is 2"),
    ("reproduce", ["training.parallel=0"], "parallel is 0"),
    ("reproduce", ["image_size=0"], "image_size is 0"),
    ("reproduce", ["node_counts=[]"], r"node_counts"),
    ("reproduce", ["schedule_sizes=3"], "schedule_sizes is 3"),
    ("reproduce", ["experiment=nope"], "experiment/nope"),
    ("reproduce", ["foo=3"], "foo"),
]

TEXT = "{folder}/.hydra/text.ckpt"
EXPORT: list[Case] = [
    ("export", [], "ckpt="),
    ("export", ["ckpt="], "ckpt="),
    ("export", ["ckpt={folder}/nope.ckpt"], "nope.ckpt"),
    ("export", ["ckpt={folder}"], "no checkpoint"),
    ("export", ["foo=3"], "ckpt="),
    ("export", [f"ckpt={TEXT}"], "text.ckpt cannot be read"),
    ("export", [f"ckpt={TEXT}", "format=tflite"], "unknown format of a bundle 'tflite'"),
    ("export", [f"ckpt={TEXT}", "whole=perhaps"], "whole is 'perhaps'"),
    ("export", [f"ckpt={TEXT}", "dir={folder}/text.csv"], "text.csv"),
    ("export", [f"ckpt={TEXT}", "dir={folder}/pictures"], "which is of no bundle"),
    ("export", [f"ckpt={TEXT}", "foo=3"], "foo"),
    ("export", [f"ckpt={TEXT}", "exits.threshold=2"], "threshold is 2"),
]

MADE: list[Case] = [*REPRODUCTION, *EXPORT]
