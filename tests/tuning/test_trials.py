"""The journal of finished trials."""

import pytest

from zoo.errors import UserError
from zoo.tuning.domains import Choices, Interval
from zoo.tuning.objectives import Objective
from zoo.tuning.trials import (
    COMPLETE,
    FAILED,
    JOURNAL,
    PRUNED,
    Trial,
    choose_best,
    load_trials,
    open_journal,
    save_trial,
)

ACCURACY, LOSS = Objective("accuracy", True, "accuracy"), Objective("loss", False, "loss")
COST = Objective("parameters", False)
SPACE = {"learning_rate": Interval(1e-4, 1.0, log=True), "hparam.hidden": Choices(((8,), (4, 4)))}
VALUES = {"learning_rate": 0.01, "hparam.hidden": "4,4"}
TRIALS = [
    Trial(1, VALUES, COMPLETE, (0.5,), {1: 0.25, 2: 0.5}, 0.75, 2, 1.5),
    Trial(2, VALUES | {"learning_rate": 0.5}, PRUNED, (), {1: 0.125}, 0.0, 1, 1.0),
    Trial(3, VALUES | {"learning_rate": 1.0}, FAILED, reason="the loss is inf"),
]


def test_trials_are_read_as_they_were_saved(tmp_path):
    """In the order of their numbers, whichever was finished first."""
    study = open_journal(tmp_path, [ACCURACY])
    for trial in reversed(TRIALS):
        save_trial(study, trial, SPACE)
    assert load_trials(open_journal(tmp_path, [ACCURACY])) == TRIALS
    both = Trial(1, VALUES, COMPLETE, (0.5, 1200.0), loss=0.25)
    (tmp_path / "two").mkdir()
    study = open_journal(tmp_path / "two", [ACCURACY, COST])
    save_trial(study, both, SPACE)
    assert load_trials(study) == [both]


def test_a_torn_line_is_of_no_trial(tmp_path):
    study = open_journal(tmp_path, [ACCURACY])
    save_trial(study, TRIALS[0], SPACE)
    with open(tmp_path / JOURNAL, "a") as file:
        file.write('{"op_code": 4, "work')
    study = open_journal(tmp_path, [ACCURACY])
    save_trial(study, TRIALS[1], SPACE)
    assert load_trials(open_journal(tmp_path, [ACCURACY])) == TRIALS[:2]


@pytest.mark.parametrize("content", ["a file\n", '{"op_code": 99}\n', "[]\n"])
def test_another_file_is_refused(content, tmp_path):
    (tmp_path / JOURNAL).write_text(content)
    with pytest.raises(UserError, match="not the journal of a study: restore the file, or start"):
        open_journal(tmp_path, [ACCURACY])


def test_of_equal_trials_the_one_with_the_lower_loss_is_better():
    trials = [
        Trial(1, VALUES, COMPLETE, (0.5,), loss=0.2),
        Trial(2, VALUES, COMPLETE, (0.75,), loss=0.3),
        Trial(3, VALUES, COMPLETE, (0.75,), loss=0.2),
        Trial(4, VALUES, COMPLETE, (0.75,), loss=0.2),
        Trial(5, VALUES, FAILED, reason="the loss is inf"),
    ]
    assert choose_best(trials, [ACCURACY]) is trials[2]
    assert choose_best(trials, [LOSS]) is trials[0]
    assert choose_best(trials[4:], [ACCURACY]) is None
