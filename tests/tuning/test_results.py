"""What is printed and written of a study."""

import csv
from types import SimpleNamespace

import pytest

from zoo.tuning.domains import Choices, Interval
from zoo.tuning.objectives import Objective
from zoo.tuning.plots import plot_front, plot_history, plot_importance, plot_parallel
from zoo.tuning.results import (
    format_trial,
    summarize_failures,
    write_trials,
    write_winner_flags,
)
from zoo.tuning.trials import COMPLETE, FAILED, PRUNED, Trial

ACCURACY = Objective("accuracy", True, "accuracy")
COST = Objective("parameters", False)
SPACE = {"learning_rate": Interval(1e-4, 1.0, log=True), "hparam.hidden": Choices(((8,), (4, 4)))}
VALUES = {"learning_rate": 0.01, "hparam.hidden": "4,4"}
TRIALS = [
    Trial(1, VALUES, COMPLETE, (0.5,), {1: 0.25, 2: 0.5}, 0.75, 2, 2.0),
    Trial(2, VALUES | {"learning_rate": 0.5}, PRUNED, (), {1: 0.125}, 0.0, 1, 1.0),
    Trial(3, VALUES | {"learning_rate": 1.0}, FAILED, seconds=3.0, reason="the loss is inf"),
]


def tuning(tmp_path, **changes):
    settings = {"directory": tmp_path, "objectives": [ACCURACY], "trials": 9, "workers": 2}
    return SimpleNamespace(**settings | {"kfold": None} | changes)


def test_a_line_for_each_trial(tmp_path):
    lines = [format_trial(trial, TRIALS, tuning(tmp_path)) for trial in TRIALS]
    best = "best accuracy 0.5 (trial 1)"
    assert lines == [
        f"trial 1/9  accuracy 0.5  {best}  2.0 s  (about 6 s left)  learning_rate=0.01 hidden=4,4",
        f"trial 2/9  pruned after epoch 1 at accuracy 0.125  {best}  1.0 s  (about 6 s left)  "
        "learning_rate=0.5 hidden=4,4",
        f"trial 3/9  failed: the loss is inf  {best}  3.0 s  (about 6 s left)  "
        "learning_rate=1.0 hidden=4,4",
    ]
    last = format_trial(TRIALS[1], TRIALS[1:], tuning(tmp_path, trials=2, kfold=3))
    assert last == "trial 2/2  pruned after fold 1 at accuracy 0.125  1.0 s  " + (
        "learning_rate=0.5 hidden=4,4"
    )


def test_table(tmp_path):
    write_trials(TRIALS, [ACCURACY], SPACE, tmp_path / "trials.csv")
    with open(tmp_path / "trials.csv") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["trial", "state", "accuracy", "epochs", "seconds", *SPACE, "reason"],
        ["1", "complete", "0.5", "2", "2.0", "0.01", "4,4", ""],
        ["2", "pruned", "", "1", "1.0", "0.5", "4,4", ""],
        ["3", "failed", "", "0", "3.0", "1.0", "4,4", "the loss is inf"],
    ]


@pytest.mark.parametrize("kfold", [None, 3])
def test_flags_of_the_winner(kfold, tmp_path):
    folder = tmp_path / "a study"
    run = folder / "trial-0001" / ("fold-1" if kfold else "")
    run.mkdir(parents=True)
    (run / "flags.txt").write_text("# fold 1/3\n# zoo tune\n--model=mlp\n--learning_rate=0.01\n")
    path = write_winner_flags(tuning(folder, kfold=kfold), TRIALS[0], "zoo tune --model=mlp")
    assert path == folder / "best.flags"
    assert path.read_text().splitlines() == [
        f"# trial 1 of 9, accuracy 0.5 on {'3 folds' if kfold else 'the validation split'}",
        f"# zoo train '--flagfile={path}'",
        "# found by zoo tune --model=mlp",
        "--model=mlp",
        "--learning_rate=0.01",
    ]


def test_why_no_trial_is_complete():
    message = "none of 1 trial could be trained: the last one: the loss is inf"
    assert summarize_failures(TRIALS[2:]) == message


def test_plots(tmp_path):
    trials = [*TRIALS, Trial(4, VALUES, COMPLETE, (0.75,), {1: 0.5})]
    plot_history(trials, ACCURACY, tmp_path / "history.png")
    plot_importance({"learning_rate": 0.75, "hparam.hidden": 0.25}, ACCURACY, tmp_path / "i.png")
    plot_parallel(trials, SPACE, ACCURACY, tmp_path / "parallel.png")
    both = [Trial(n, VALUES, COMPLETE, (0.1 * n, 100.0 * n)) for n in range(1, 4)]
    plot_front(both, [ACCURACY, COST], tmp_path / "front.png")
    assert all(path.stat().st_size > 5_000 for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 4
