"""``cloudedge schedule`` end to end, and the files that it reads."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from cloudedge_pl.commands.reporting import resolved
from cloudedge_pl.commands.scheduler_entries import Selection
from cloudedge_pl.commands.times_files import read_times
from cloudedge_pl.errors import DataError
from cloudedge_pl.scheduling import SCHEDULERS, FirstComeFirstServed, create_scheduler


def run(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    code = "from cloudedge_pl.commands.schedule import main; main()"
    command = [sys.executable, "-c", code, f"hydra.run.dir={folder}", *overrides]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)


def test_a_given_matrix_leaves_table_schedule_and_figures(tmp_path: Path) -> None:
    times = np.random.default_rng(0).uniform(1, 9, (20, 3))
    times[4, 1] = np.inf
    np.savetxt(tmp_path / "times.csv", times, delimiter=",")
    done = run(
        tmp_path / "out",
        f"file={tmp_path / 'times.csv'}",
        "scheduler.evaluations=300",
        "compare=[lpt,{name: exact, time_limit_seconds: 1}]",
        "convergence=[atsa,pso]",
    )
    assert done.returncode == 0, done.stderr
    assert "20 tasks on 3 nodes (times.csv)" in done.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(summary["schedulers"]) == {"atsa", "lpt", "exact", "fcfs"}
    rows = list(csv.DictReader((tmp_path / "out" / "schedule.csv").open()))
    loads = [0.0, 0.0, 0.0]
    for row in rows:
        loads[int(row["node"])] += times[int(row["task"]), int(row["node"])]
    assert max(loads) == pytest.approx(summary["schedulers"]["atsa"]["makespan_seconds"])
    assert max(float(row["finish_seconds"]) for row in rows) == pytest.approx(max(loads))
    for figure in ("gantt.png", "convergence.png"):
        assert (tmp_path / "out" / "figures" / figure).stat().st_size > 10_000


def test_an_unknown_scheduler_is_answered_without_a_traceback(tmp_path: Path) -> None:
    done = run(tmp_path / "out", "num_tasks=5", "num_nodes=2", "compare=[asta]", "convergence=[]")
    assert done.returncode == 1
    assert "unknown scheduler 'asta'. Did you mean 'atsa'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_has_a_config_that_states_its_defaults(name: str) -> None:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        configured = instantiate(compose("schedule", overrides=[f"scheduler={name}", "seed=3"]).scheduler)
    plain = create_scheduler(name, seed=3)
    assert type(plain) is type(configured)
    assert vars(plain) == vars(configured)


class LastNode(FirstComeFirstServed):
    """A scheduler of another project."""

    def __init__(self, *, offset: int = 1) -> None:
        super().__init__()
        self.offset = offset


def test_classes_are_schedulers_too() -> None:
    own = f"{{_target_: {__name__}.LastNode, offset: 2}}"
    found = selected(f"compare=[{{_target_: cloudedge_pl.scheduling.MinMin}},{own}]", "convergence=[]")
    assert [entry.label for entry in found.rows] == ["atsa", "min_min", "LastNode", "fcfs"]
    assert isinstance(found.rows[2].build(), LastNode)
    assert found.rows[2].options == {"offset": 2}
    with pytest.raises(
        ValueError, match=r"unknown option of scheduler 'LastNode', 'ofset'\. Did you mean 'offset'"
    ):
        selected(f"compare=[{{_target_: {__name__}.LastNode, ofset: 2}}]")


def selected(*overrides: str) -> Selection:
    with initialize_config_module("cloudedge_pl.conf", version_base="1.3"):
        return Selection.of(resolved(compose("schedule", overrides=list(overrides))))


def test_schedulers_of_one_name_are_rows_of_their_own() -> None:
    found = selected(
        "compare=[{name: atsa, evaluations: 100},aco,{name: aco, ants: 5},{name: aco, label: few, ants: 3},lpt,lpt]",
        "baseline=few",
        "convergence=[atsa,few,{name: aco, ants: 5}]",
    )
    labels = ["atsa", "atsa evaluations=100", "aco", "aco ants=5", "few", "lpt"]
    assert [entry.label for entry in found.rows] == labels
    assert found.chosen.label == "atsa"
    assert found.baseline is found.rows[4]
    assert [entry.label for entry in found.convergence] == ["atsa", "few", "aco ants=5"]
    assert [entry.options.get("ants") for entry in found.rows[2:5]] == [20, 5, 3]


def test_the_chosen_scheduler_with_other_options_stands_beside_its_defaults() -> None:
    found = selected("scheduler.evaluations=300", "compare=[atsa,lpt]", "convergence=[atsa]")
    assert [entry.label for entry in found.rows] == ["atsa evaluations=300", "atsa", "lpt", "fcfs"]
    assert found.convergence == [found.chosen]


def test_a_scheduler_that_says_its_defaults_is_the_one_that_does_not() -> None:
    found = selected("compare=[atsa,{name: atsa, evaluations: 10000, seed: 0}]", "baseline=atsa")
    assert [entry.label for entry in found.rows] == ["atsa"]


def test_large_windows_leave_out_what_takes_minutes_but_not_what_was_chosen() -> None:
    found, left_out = selected("scheduler=aco", "baseline=pso").suited(10**7)
    assert left_out == ["min_min", "max_min", "sufferage", "pso", "atsa_paper", "exact"]
    assert found.chosen in found.rows
    assert found.baseline is None
    assert [entry.label for entry in found.convergence] == ["atsa", "aco"]
    assert selected().suited(2000) == (selected(), [])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("scheduler.evaluations=abc", "'atsa': evaluations is 'abc'; it must be a whole number"),
        ("seed=-1", "seed is -1; it must be a whole number"),
        ("seed=1.5", "seed is 1.5; it must be a whole number"),
        ("compare=lpt", r"compare is 'lpt'; it must be a list, such as compare=\[lpt,atsa\]"),
        ("convergence=atsa", "convergence is 'atsa'; it must be a list"),
        (
            "compare=[{ants: 5}]",
            r"compare\[0\] is {'ants': 5}; it must be the name of a scheduler, or a mapping",
        ),
        ("compare=[5]", r"compare\[0\] is 5; it must be the name"),
        ("compare=[{name: aco, seed: -2}]", r"compare\[0\]: seed is -2; it must be a whole number"),
        ("baseline=[lpt]", "baseline is .* it must be the name"),
        ("compare=[{name: aco, label: x},{name: pso, label: x}]", "2 schedulers are called 'x'"),
        ("scheduler._target_=null", "scheduler._target_ is None; it must be the full name of a class"),
        ("compare=[asta]", "unknown scheduler 'asta'. Did you mean 'atsa'"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(override: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        selected(override)


def test_wrong_numbers_show_no_traceback(tmp_path: Path) -> None:
    done = run(tmp_path / "out", "windows=abc")
    assert done.returncode == 1
    assert "windows is 'abc'; it must be a whole number" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_starts_without_torch() -> None:
    code = "import sys, cloudedge_pl.commands.schedule; print({'torch', 'pytorch_lightning'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_tasks_that_take_no_time_leave_out_the_convergence_alone(tmp_path: Path) -> None:
    (tmp_path / "zeros.csv").write_text("a,b\n0,0\n0,0\n0,0\n")
    done = run(tmp_path / "out", f"file={tmp_path / 'zeros.csv'}", "compare=[lpt]")
    assert done.returncode == 0, done.stderr
    assert "convergence.png is left out: the lower bound is 0 s" in done.stdout
    assert (tmp_path / "out" / "figures" / "gantt.png").is_file()
    rows = list(csv.DictReader((tmp_path / "out" / "schedule.csv").open()))
    assert {row["node"] for row in rows} <= {"a", "b"}
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["nodes"] == ["a", "b"]


def test_progress_is_told_beside_the_results(tmp_path: Path) -> None:
    done = run(tmp_path / "out", "num_tasks=400", "num_nodes=300", "compare=[lpt,aco]", "convergence=[]")
    assert done.returncode == 0, done.stderr
    assert "left out: aco, too slow for 400 tasks on 300 nodes" in done.stdout
    assert "2/3 lpt: makespan" in done.stderr


COUNT_KERNELS = """
import sys
from types import SimpleNamespace
import numba
import numpy as np
from cloudedge_pl.commands import schedule
from cloudedge_pl.scheduling import NodeState, TaskWindow
from tests.commands.test_schedule import selected

def compiled():
    modules = [module for name, module in sys.modules.items() if name.startswith("cloudedge_pl.scheduling")]
    kernels = {id(each): each for module in modules for each in vars(module).values() if hasattr(each, "signatures")}
    return sum(len(each.signatures) for each in kernels.values())

schedule.time = SimpleNamespace(perf_counter=compiled)
times = np.array([[3.0, 4.0, 5.0]] * 3 + [[1.0, 5.0, 2.0], [7.0, 3.0, 4.0], [2.0, 2.0, 9.0]])
rows = {}
entries = selected("compare=[lpt,sufferage,aco,pso]", "baseline=null", "convergence=[]").rows
schedule._run(entries, TaskWindow(times), NodeState.idle(3), rows)
assert compiled() >= 5
print({label: row.call_seconds for label, row in rows.items()})
"""


def test_no_time_goes_to_compiling() -> None:
    """The clock counts compiled kernels, in a process of its own; the first rows are equal, the others are not."""
    done = subprocess.run([sys.executable, "-c", COUNT_KERNELS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(dict.fromkeys(("atsa", "lpt", "sufferage", "aco", "pso"), 0))


def test_times_are_read_from_npy_csv_and_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = np.array([[1.0, 2.5], [np.inf, 3.0]])
    np.save(tmp_path / "times.npy", np.asfortranarray(times))
    (tmp_path / "times.csv").write_text("# node 0, node 1\n1, 2.5 # quick\n\ninf, 3\n")
    (tmp_path / "times.txt").write_text("1 2.5\ninf\t3\n")
    (tmp_path / "excel.csv").write_text("\ufeff1;2.5\ninf;3\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("times.npy", "times.csv", "times.txt", "excel.csv"):
        read, names = read_times(Path("~") / name)
        np.testing.assert_array_equal(read, times)
        assert read.flags.c_contiguous
        assert read.flags.writeable
        assert names == ()


@pytest.mark.parametrize(
    "content", ["pi,jetson\n1,2\n", "\ufeffpi;jetson\r\n1;2\r\n", '"pi", "jetson"\n1, 2\n', "pi jetson\n1 2"]
)
def test_a_first_line_of_words_names_the_nodes(tmp_path: Path, content: str) -> None:
    (tmp_path / "times.csv").write_bytes(content.encode())
    times, names = read_times(tmp_path / "times.csv")
    np.testing.assert_array_equal(times, [[1.0, 2.0]])
    assert names == ("pi", "jetson")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "it is empty"),
        ("# nothing\n\n", "it is empty"),
        ("a,b\n", "no task below"),
        ("1,2\n3\n", "line 2 has 1 columns, the first row of numbers 2"),
        ("1,2,\n3,4,\n", "line 1 ends with ','; take it away"),
        ("a,b,\n3,4,\n", "line 1 ends with ','; take it away"),
        ("1,,2\n3,4,5\n", "line 1, column 2 is ''; write seconds, or inf"),
        ("1,2\n3,x\n", "line 2, column 2 is 'x'; write seconds, or inf"),
        ("1,x\n3,4\n", "line 1 has numbers and 'x'"),
        ("1,5;2,5\n3;4\n", "column 1 is '1,5'; write decimals with a point"),
        (",a,b\n0,1,2\n", "as pandas writes the index; save it with index=False"),
        (",0,1\n0,1,2\n", "as pandas writes the index; save it with index=False"),
        ("a,b\n0,1,2\n", r"line 2 has 3 columns for 2 names.*index=False"),
        ("task,a\n0,5\n1,6\n2,7\n", "first column counts the rows"),
        ("0,1,2\n5.1,2.2,3.3\n", "first row counts the columns.*header=False"),
        ("a,a\n1,2\n", "names two nodes alike"),
    ],
)
def test_text_that_is_no_matrix_is_refused_with_what_to_do(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "times.csv").write_text(content)
    with pytest.raises(DataError, match=said):
        read_times(tmp_path / "times.csv")


def test_a_file_that_holds_no_matrix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read_times(tmp_path / "absent.csv")
    np.save(tmp_path / "empty.npy", np.zeros((0, 3)))
    np.save(tmp_path / "row.npy", np.zeros(3))
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    for name, said in (
        ("empty", r"shape \(0, 3\)"),
        ("row", r"shape \(3,\)"),
        ("words", "no array of num"),
        ("broken", ""),
    ):
        with pytest.raises(DataError, match=f"not a matrix of seconds.*{said}"):
            read_times(tmp_path / f"{name}.npy")
    (tmp_path / "latin.csv").write_bytes("n\xe4he\n1\n".encode("latin-1"))
    with pytest.raises(DataError, match="save it as CSV in UTF-8"):
        read_times(tmp_path / "latin.csv")
