"""Which values a trial has, and whether it is weak.

Both follow from the seed, the number of the trial and the trials that it may know of, and from
nothing else: a study that was interrupted goes on as if it had not been.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from zoo.tuning.domains import Choices, Domain
from zoo.tuning.objectives import Objective
from zoo.tuning.search_space import Space
from zoo.tuning.trials import (
    COMPLETE,
    FAILED,
    PRUNED,
    Trial,
    list_directions,
    make_distribution,
    rank_trials,
    to_optuna,
)

SAMPLERS = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}

_FIRST_COMPLETE = 5  # trials before any is pruned
_KEPT_PERCENT = 75.0  # of the complete trials, whose scores a trial has to reach
_DRAWS = 50  # until a trial has values that no trial had before


def draw_values(
    space: Space,
    objectives: Sequence[Objective],
    trials: Sequence[Trial],
    running: Sequence[dict[str, Any]] = (),
    *,
    number: int,
    seed: int,
    sampler: str,
) -> dict[str, Any]:
    """Draws the values of a trial.

    The sampler "tpe" is the tree-structured Parzen estimator (Bergstra et al. 2011) of Optuna,
    whose first ten trials are random. Values that another trial has are drawn again, up to 50
    times.

    Args:
        space: The search space.
        objectives: The objectives.
        trials: The finished trials that it may know of.
        running: Values of trials that may be unfinished.
        number: Number of the trial.
        seed: Seed of the study.
        sampler: "tpe" or "random".
    """
    known = [trial.values for trial in trials] + [*running]
    distributions = {name: make_distribution(domain) for name, domain in space.items()}
    values: dict[str, Any] = {}
    for attempt in range(_DRAWS):
        (state,) = np.random.SeedSequence([seed, number, attempt]).generate_state(1)
        view = _make_view(trials, space, objectives, running, SAMPLERS[sampler](seed=int(state)))
        drawn = view.ask(fixed_distributions=distributions).params
        values = {name: _round(drawn[name], domain) for name, domain in space.items()}
        if values not in known:
            break
    return values


def is_weak(
    progress: dict[int, float],
    objective: Objective,
    trials: Sequence[Trial],
    first_step: int,
) -> bool:
    """Whether a trial is worse than three quarters of the earlier ones.

    Its best score so far is compared with the scores that the complete trials had at the same
    step, as in the median rule of Golovin et al. 2017 ('Google Vizier', section 3.5), but with
    their quartile: half of the complete trials are below their median, and among them are good
    ones that learn slowly. The first five trials are not compared.

    Args:
        progress: Scores of the trial by step, from 1.
        objective: The objective that the scores are of.
        trials: The finished trials that it may know of.
        first_step: No trial is weak before this step.
    """
    view = _make_view(trials, {}, [objective])
    trial = optuna.trial.create_trial(state=TrialState.RUNNING, intermediate_values=progress)
    pruner = optuna.pruners.PercentilePruner(
        _KEPT_PERCENT, n_startup_trials=_FIRST_COMPLETE, n_warmup_steps=first_step
    )
    return pruner.prune(view, trial)


def find_front(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Returns the Pareto front: complete trials that no other one beats in one objective without
    being worse in another, the best of the first objective first."""
    ranked = rank_trials(trials, objectives)
    view = _make_view(ranked, {}, objectives)
    numbers = {trial.number for trial in view.best_trials} if ranked else set()
    return [trial for index, trial in enumerate(ranked) if index in numbers]


def measure_importance(
    trials: Sequence[Trial], objective: Objective, space: Space
) -> dict[str, float]:
    """Returns the share of the objective's variance that each name explains, the largest first.

    It is the fANOVA of Hutter, Hoos and Leyton-Brown 2014 over the complete trials; empty if all
    of these have the same value.
    """
    complete = [trial for trial in trials if trial.state == COMPLETE]
    if len({trial.objectives[0] for trial in complete}) < 2:
        return {}
    view = _make_view(complete, space, [objective])
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    importance = optuna.importance.get_param_importances(view, evaluator=evaluator)
    return {name: float(share) for name, share in importance.items()}


def _make_view(
    trials: Sequence[Trial],
    space: Space,
    objectives: Sequence[Objective],
    running: Sequence[dict[str, Any]] = (),
    sampler: optuna.samplers.BaseSampler | None = None,
) -> optuna.Study:
    """Returns a study in memory that has these trials only, with the first of their objectives."""
    view = optuna.create_study(directions=list_directions(objectives), sampler=sampler)
    for trial in trials:
        if trial.state == FAILED and len(objectives) == 1:
            # samplers ignore trials that failed, but learn from pruned ones
            trial = dataclasses.replace(trial, state=PRUNED, progress={})
        trial = dataclasses.replace(trial, objectives=trial.objectives[: len(objectives)])
        view.add_trial(to_optuna(trial, space))
    distributions = {name: make_distribution(domain) for name, domain in space.items()}
    for values in running:
        view.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING, params=values, distributions=distributions
            )
        )
    return view


def _round(value: Any, domain: Domain) -> Any:
    """Returns a drawn number with four digits, which flags can repeat."""
    if isinstance(domain, Choices) or domain.is_integer:
        return value
    return min(max(float(f"{value:.4g}"), domain.low), domain.high)
