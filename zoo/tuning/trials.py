"""The finished trials of a study, which are kept in a journal of Optuna."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState

from zoo.errors import UserError
from zoo.storage.locks import FileLock
from zoo.tuning.domains import Choices, Domain
from zoo.tuning.objectives import Objective
from zoo.tuning.search_space import Space

JOURNAL = "study.journal"
COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"

_NAME = "tuning"  # of the study in the journal
_STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclasses.dataclass(frozen=True)
class Trial:
    """A finished trial.

    Attributes:
        number: Its number, from 1.
        values: A number for each interval and a text for each list of choices, by name.
        state: COMPLETE, PRUNED or FAILED.
        objectives: Values of the objectives; empty if it is not complete.
        progress: Score after each epoch, or mean score after each fold, by their numbers from 1.
        loss: The validation loss, by which equal trials are compared.
        epochs: Number of epochs that it was trained for, of all folds.
        seconds: Seconds that it took in the process that finished it.
        reason: Why it failed; otherwise empty.
    """

    number: int
    values: dict[str, Any]
    state: str
    objectives: tuple[float, ...] = ()
    progress: dict[int, float] = dataclasses.field(default_factory=dict)
    loss: float = 0.0
    epochs: int = 0
    seconds: float = 0.0
    reason: str = ""


def open_journal(directory: Path, objectives: Sequence[Objective]) -> optuna.Study:
    """Opens the journal of a study in a folder, or creates it.

    Raises:
        UserError: if the file is not the journal of such a study.
    """
    path = directory / JOURNAL
    lock = FileLock(directory / f"{JOURNAL}.lock")
    with lock:
        _omit_torn_line(path)
    try:
        return optuna.create_study(
            # its own locks stay behind when a process is killed
            storage=JournalStorage(JournalFileBackend(str(path), lock)),  # type: ignore[arg-type]
            study_name=_NAME,
            directions=list_directions(objectives),
            load_if_exists=True,
        )
    except OSError:
        raise
    except Exception as error:  # Optuna replays the lines without checking them
        raise UserError(
            f"{path}: not the journal of a study: restore the file, or start over with --overwrite"
        ) from error


def save_trial(study: optuna.Study, trial: Trial, space: Space) -> None:
    """Adds a finished trial to the journal, as one line."""
    study.add_trial(to_optuna(trial, space))


def load_trials(study: optuna.Study) -> list[Trial]:
    """Returns the finished trials by their numbers."""
    names = {state: name for name, state in _STATES.items()}
    trials = [
        Trial(
            values=trial.params,
            state=names[trial.state],
            objectives=tuple(trial.values or ()) if trial.state == TrialState.COMPLETE else (),
            progress=dict(trial.intermediate_values),
            **trial.user_attrs,
        )
        for trial in study.get_trials(deepcopy=False)
    ]
    return sorted(trials, key=lambda trial: trial.number)


def to_optuna(trial: Trial, space: Space) -> optuna.trial.FrozenTrial:
    """Converts a trial to one of Optuna."""
    attributes = ("number", "loss", "epochs", "seconds", "reason")
    return optuna.trial.create_trial(
        state=_STATES[trial.state],
        values=trial.objectives if trial.state == COMPLETE else None,
        params={name: trial.values[name] for name in space},
        distributions={name: make_distribution(domain) for name, domain in space.items()},
        intermediate_values=trial.progress,
        user_attrs={name: getattr(trial, name) for name in attributes},
    )


def make_distribution(domain: Domain) -> BaseDistribution:
    """Returns Optuna's distribution of the values of a domain."""
    if isinstance(domain, Choices):
        return CategoricalDistribution(domain.texts)
    if domain.is_integer:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def list_directions(objectives: Sequence[Objective]) -> list[StudyDirection]:
    """Returns Optuna's directions of the objectives."""
    best = {True: StudyDirection.MAXIMIZE, False: StudyDirection.MINIMIZE}
    return [best[objective.maximize] for objective in objectives]


def choose_best(trials: Sequence[Trial], objectives: Sequence[Objective]) -> Trial | None:
    """Returns the complete trial with the best first objective, or None.

    Of equal trials it is the one with the lower validation loss, then the first.
    """
    return next(iter(rank_trials(trials, objectives)), None)


def rank_trials(trials: Sequence[Trial], objectives: Sequence[Objective]) -> list[Trial]:
    """Returns the complete trials, in the order of the first objective, the best one first."""
    sign = -1 if objectives[0].maximize else 1
    complete = [trial for trial in trials if trial.state == COMPLETE]
    return sorted(complete, key=lambda t: (sign * t.objectives[0], t.loss, t.number))


def _omit_torn_line(path: Path) -> None:
    """Cuts off a last line that is not complete, as a killed process may leave it."""
    if path.exists():
        with path.open("rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
