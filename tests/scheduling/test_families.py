"""Random matrices of times: their shapes, and what is said of wrong numbers."""

from __future__ import annotations

import numpy as np
import pytest

from cloudedge_pl.scheduling import schedule
from cloudedge_pl.scheduling.comparing import MOST_PAIRS, suits, warm_up
from cloudedge_pl.scheduling.families import FAMILIES, generate
from cloudedge_pl.scheduling.registry import SCHEDULERS
from cloudedge_pl.scheduling.types import TaskWindow


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_gives_the_same_positive_times(family):
    times = generate(family, 7, 3, seed=4)
    assert times.shape == (7, 3)
    assert (times > 0).all()
    np.testing.assert_array_equal(times, generate(family, np.int64(7), np.int64(3), seed=4))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"num_tasks": "abc"}, r"num_tasks is 'abc'; it must be a whole number in \[1, inf\)"),
        ({"num_tasks": True}, "num_tasks is True; it must be a whole number"),
        ({"num_nodes": 2.5}, "num_nodes is 2.5; it must be a whole number"),
        ({"num_nodes": None}, "num_nodes is None; it must be a whole number"),
        ({"num_nodes": 0}, "num_nodes is 0; it must be a whole number"),
        ({"seed": -1}, r"seed is -1; it must be a whole number in \[0, 4294967295\]"),
        ({"seed": 1.5}, "seed is 1.5; it must be a whole number"),
        ({"family": 3}, "family of times 3 is not a name"),
        ({"family": ["uniform"]}, "is not a name"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(wrong, said):
    with pytest.raises(ValueError, match=said):
        generate(**{"family": "uniform", "num_tasks": 5, "num_nodes": 2, **wrong})


@pytest.mark.parametrize(
    ("scheduler", "options", "said"),
    [
        ("atsa", {"ants": 2.7}, "ants is 2.7; it must be a whole number"),
        ("aco", {"evaluations": "abc"}, "evaluations is 'abc'; it must be a whole number"),
        ("pso", {"inertia": "much"}, "inertia is 'much'; it must be a number"),
        ("exact", {"time_limit_seconds": "abc"}, "time_limit_seconds is 'abc'; it must be a number"),
    ],
)
def test_an_option_of_the_wrong_kind_is_named(scheduler, options, said):
    with pytest.raises(ValueError, match=said):
        schedule(generate("uniform", 5, 2), scheduler, **options)


def test_what_is_left_out_of_large_comparisons_exists():
    assert MOST_PAIRS.keys() <= SCHEDULERS.keys()
    assert suits("aco", MOST_PAIRS["aco"])
    assert not suits("aco", MOST_PAIRS["aco"] + 1)
    assert suits("atsa", 10**9)


@pytest.mark.parametrize("rows", ["equal first", "one", "identical"])
def test_warming_up_leaves_nothing_to_compile(rows):
    from cloudedge_pl.scheduling.colony import search
    from cloudedge_pl.scheduling.pricing import _ascend

    times = generate("identical" if rows == "identical" else "unrelated", 1 if rows == "one" else 9, 3)
    if rows == "equal first":
        times[:3] = times[0]
    warm_up("atsa", TaskWindow(times))
    known = [list(kernel.signatures) for kernel in (search, _ascend)]
    assert all(known)
    schedule(times, "atsa")
    assert known == [list(kernel.signatures) for kernel in (search, _ascend)]
