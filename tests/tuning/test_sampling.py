"""Draws and pruning: functions of the seed, the number and the trials before."""

import dataclasses
import math

from zoo.tuning.domains import Choices, Interval
from zoo.tuning.objectives import Objective
from zoo.tuning.sampling import draw_values, find_front, is_weak, measure_importance
from zoo.tuning.trials import COMPLETE, FAILED, PRUNED, Trial

ACCURACY, LOSS = Objective("accuracy", True, "accuracy"), Objective("loss", False, "loss")
COST = Objective("parameters", False)
SPACE = {
    "learning_rate": Interval(1e-4, 1.0, log=True),
    "epochs": Interval(1, 8, is_integer=True),
    "optimizer": Choices(("adam", "sgd")),
}


def draw(trials, number=1, seed=0, sampler="tpe", space=SPACE, objectives=(ACCURACY,), **more):
    return draw_values(space, objectives, trials, number=number, seed=seed, sampler=sampler, **more)


def score(values):
    """Best at a learning rate of 0.01 with adam."""
    distance = abs(math.log10(values["learning_rate"]) + 2) / 4
    return 1 - distance - 0.2 * (values["optimizer"] == "sgd")


def tune(count, sampler="tpe", seed=0):
    trials = []
    for number in range(1, count + 1):
        values = draw(trials, number, seed, sampler)
        trials.append(Trial(number, values, COMPLETE, (score(values),)))
    return trials


def test_draws_are_a_function_of_seed_number_and_trials():
    trials = tune(12)
    assert trials == tune(12)
    assert draw(trials, 13) == draw(list(trials), 13)
    others = [draw(trials, 14), draw(trials, 13, seed=1), draw(trials[:11], 13)]
    assert draw(trials, 13) not in others


def test_draws_are_of_the_space():
    for trial in tune(20):
        rate, epochs = trial.values["learning_rate"], trial.values["epochs"]
        assert 1e-4 <= rate <= 1 and float(f"{rate:.4g}") == rate
        assert isinstance(epochs, int) and 1 <= epochs <= 8
        assert trial.values["optimizer"] in ("adam", "sgd")


def test_tpe_learns_and_random_does_not():
    """After ten random trials, tpe stays near the best ones."""
    means = {}
    for sampler in ("tpe", "random"):
        late = [t.objectives[0] for seed in range(2) for t in tune(22, sampler, seed)[12:]]
        means[sampler] = sum(late) / len(late)
    assert means["tpe"] > means["random"] + 0.05


def test_values_are_not_drawn_twice():
    space = {"optimizer": Choices(("adam", "sgd", "lion")), "schedule": Choices(("step", "cosine"))}
    trials, running = [], []
    for number in range(1, 7):
        values = draw(trials, number, space=space, running=running)
        assert values not in [trial.values for trial in trials] + running
        if number % 2:
            trials.append(Trial(number, values, COMPLETE, (0.5,)))
        else:
            running.append(values)


def test_tpe_learns_from_trials_that_failed():
    """The score grows with the learning rate up to 0.01, above which no trial can be trained."""
    space = {"learning_rate": SPACE["learning_rate"]}
    failures = {}
    for learns in (True, False):
        trials: list[Trial] = []
        for number in range(1, 31):
            known = [trial for trial in trials if learns or trial.state == COMPLETE]
            values = draw(known, number, space=space)
            if (rate := values["learning_rate"]) > 0.01:
                trials.append(Trial(number, values, FAILED, reason="the loss is inf"))
            else:
                trials.append(Trial(number, values, COMPLETE, (math.log10(rate),)))
        failures[learns] = sum(trial.state == FAILED for trial in trials[15:])
    assert failures[True] <= failures[False] - 3


def test_weak_is_below_three_quarters_at_the_same_step():
    trials = [Trial(n, {}, COMPLETE, (0.9,), {1: 0.1 * n, 2: 0.9}) for n in range(1, 6)]
    assert is_weak({1: 0.19}, ACCURACY, trials, 1)
    assert not is_weak({1: 0.21}, ACCURACY, trials, 1)
    assert is_weak({1: 0.41}, LOSS, trials, 1) and not is_weak({1: 0.39}, LOSS, trials, 1)
    # its best score so far counts
    assert not is_weak({1: 0.95, 2: 0.1}, ACCURACY, trials, 1)
    assert not is_weak({1: 0.1}, ACCURACY, trials, 2)
    assert not is_weak({1: 0.1}, ACCURACY, trials[:4], 1)
    pruned = [dataclasses.replace(trial, state=PRUNED, objectives=()) for trial in trials]
    assert not is_weak({1: 0.1}, ACCURACY, pruned, 1)


def test_front():
    """(accuracy, parameters): no other trial is better in one and as good in the other."""
    points = [(0.9, 100), (0.8, 50), (0.8, 60), (0.95, 200), (0.7, 70)]
    trials = [Trial(n, {}, COMPLETE, point) for n, point in enumerate(points, 1)]
    trials.append(Trial(6, {}, FAILED))
    assert [trial.number for trial in find_front(trials, [ACCURACY, COST])] == [4, 1, 2]
    assert find_front(trials[5:], [ACCURACY, COST]) == []


def test_importance():
    trials = tune(25, "random")
    importance = measure_importance(trials, ACCURACY, SPACE)
    assert next(iter(importance)) == "learning_rate" and importance["epochs"] < 0.2
    assert math.isclose(sum(importance.values()), 1)
    same = [dataclasses.replace(trial, objectives=(0.5,)) for trial in trials]
    assert measure_importance(same, ACCURACY, SPACE) == {}
