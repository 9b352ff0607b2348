"""Which process trains which trial of a study.

A trial may know of all trials but the last ones before it, which other processes may be training.
Its values, and whether it is pruned, therefore do not depend on which process was faster.
"""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna

from zoo.data.splits import Data
from zoo.errors import UserError
from zoo.storage.json_files import read_json, write_json
from zoo.storage.locks import FileLock
from zoo.tuning.sampling import draw_values
from zoo.tuning.search_space import read_present_values
from zoo.tuning.trial_runs import Tuning, name_trial, remove_weights, train_trial
from zoo.tuning.trials import FAILED, Trial, load_trials, open_journal, save_trial

_DRAWS = "draws"  # folder with the values of each trial that was begun
_POLL_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Draw:
    """A trial that was begun.

    Attributes:
        number: Number of the trial.
        known: The trials from 1 to this one are those that it may know of.
        values: Its values, as in `Trial`.
    """

    number: int
    known: int
    values: dict[str, Any]


def run_trials(tuning: Tuning, data: Data) -> Iterator[Trial]:
    """Trains trials until no trial of the study is left.

    Several processes may do so at the same time. A trial that was interrupted goes on where it was.

    Args:
        tuning: The tuning.
        data: The data, as for `train_trial`.

    Yields:
        Each trial that this process has finished.

    Raises:
        UserError: as in `train_trial` and `open_journal`, or if the recipe cannot be trained as it
            stands.
        Interrupted: after SIGINT or SIGTERM; the trial has a checkpoint.
    """
    (tuning.directory / _DRAWS).mkdir(exist_ok=True)
    study = open_journal(tuning.directory, tuning.objectives)
    for trial in load_trials(study):  # a process may have been killed before it removed them
        remove_weights(tuning, trial.number)
    present, _ = read_present_values(tuning.space, tuning.entry, tuning.hparams, tuning.recipe)
    while len(load_trials(study)) < tuning.trials:
        with _claim_trial(tuning, study) as draw:
            if draw is None:
                time.sleep(_POLL_SECONDS)
                continue
            earlier = [trial for trial in load_trials(study) if trial.number <= draw.known]
            trial = train_trial(tuning, data, draw.number, draw.values, earlier)
            if trial.state == FAILED and trial.values == present:
                raise UserError(trial.reason)
            save_trial(study, trial, tuning.space)
            remove_weights(tuning, trial.number)
        yield trial


@contextlib.contextmanager
def _claim_trial(tuning: Tuning, study: optuna.Study) -> Iterator[Draw | None]:
    """Context manager that reserves a trial for this process; the system ends it with the process.

    Yields:
        The first trial that was interrupted, or else a new one; None if there is none now.
    """
    folder = tuning.directory / _DRAWS
    lock = None
    with FileLock(folder / "lock"):
        draw, lock = _find_trial(tuning, load_trials(study), folder)
    try:
        yield draw
    finally:
        if lock:
            lock.release()


def _find_trial(
    tuning: Tuning, trials: Sequence[Trial], folder: Path
) -> tuple[Draw | None, FileLock | None]:
    """Returns the first trial that no process is training, or a new one, with the lock on it."""
    finished = {trial.number for trial in trials}
    for number in range(1, tuning.trials + 1):
        if number in finished:
            continue
        path = folder / f"{name_trial(number)}.json"
        if not path.exists():
            # with one process all before; otherwise processes need not wait for the slowest one
            known = max(0, number - 2 * tuning.workers + 1)
            if not finished.issuperset(range(1, known + 1)):
                return None, None
            values = _draw(tuning, trials, number, known, folder)
            write_json(path, {"trial": number, "known": known, "values": values})
        lock = FileLock(path)
        if lock.acquire(wait=False):
            drawn = read_json(path)
            return Draw(number, drawn["known"], drawn["values"]), lock
    return None, None


def _draw(
    tuning: Tuning, trials: Sequence[Trial], number: int, known: int, folder: Path
) -> dict[str, Any]:
    """Returns the values of a new trial; the first one changes nothing if that is in the space."""
    if number == 1:
        values, outside = read_present_values(
            tuning.space, tuning.entry, tuning.hparams, tuning.recipe
        )
        if not outside:
            return values
    running = [
        read_json(folder / f"{name_trial(other)}.json")["values"]
        for other in range(known + 1, number)
    ]
    return draw_values(
        tuning.space,
        tuning.objectives,
        [trial for trial in trials if trial.number <= known],
        running,
        number=number,
        seed=tuning.seed,
        sampler=tuning.sampler,
    )
