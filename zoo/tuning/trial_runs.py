"""Trains one trial of a tuning, as a run or as one run for each fold."""

import contextlib
import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo.data.splits import Data, Split
from zoo.errors import UserError, explain_fault
from zoo.evaluation.cross_validation import choose_folds, select_fold
from zoo.evaluation.label_thresholds import choose_thresholds
from zoo.evaluation.predictions import measure_latency, predict_split
from zoo.evaluation.record import make_record
from zoo.evaluation.scoring import score_predictions
from zoo.recipe import Recipe
from zoo.registry import Entry
from zoo.storage.filenames import BEST, LAST, METRICS
from zoo.storage.json_files import read_json, write_json
from zoo.training.building import prepare_model
from zoo.training.checkpoints import find_latest_checkpoint, remove_checkpoints
from zoo.training.loop import fit_model
from zoo.training.run_data import save_run_data
from zoo.training.run_folder import open_run
from zoo.tuning.objectives import Objective, read_objectives
from zoo.tuning.sampling import is_weak
from zoo.tuning.search_space import Space, apply_values
from zoo.tuning.trial_pruning import TrialPruningCallback
from zoo.tuning.trials import COMPLETE, FAILED, PRUNED, Trial


@dataclasses.dataclass(frozen=True)
class Tuning:
    """A tuning: what is searched, and how.

    Attributes:
        directory: Folder of the study.
        entry: The model.
        hparams: Its hyperparameters, where they are not the defaults.
        recipe: Its settings.
        space: The hyperparameters and settings that vary.
        objectives: What is looked for; the first one chooses the winner.
        trials: Number of trials.
        seed: Seed of the study, and of the training of each trial.
        sampler: "tpe" or "random".
        workers: Number of processes that share the study.
        kfold: Number of folds, or None to score the validation split.
        format_flags: Returns the flags of a run with these hyperparameters and this recipe.
        changeable_flags: Names of flags that may change when a run is resumed.
        prepare: Prepares the data of a fold, as in `zoo.evaluation.cross_validation.score_folds`.
    """

    directory: Path
    entry: Entry
    hparams: dict[str, Any]
    recipe: Recipe
    space: Space
    objectives: Sequence[Objective]
    trials: int
    seed: int
    sampler: str
    workers: int
    kfold: int | None
    format_flags: Callable[[dict[str, Any], Recipe], str]
    changeable_flags: tuple[str, ...]
    prepare: Callable[[Data], Data]


@dataclasses.dataclass(frozen=True)
class _Run:
    """One training of a trial: its folder, its title on the terminal, and its settings."""

    folder: Path
    title: str
    hparams: dict[str, Any]
    recipe: Recipe


@dataclasses.dataclass
class _Result:
    """What a training gave: scores and costs by name, or None if the trial is pruned."""

    measures: dict[str, Any] | None
    progress: dict[int, float]
    epochs: int


class _TrainingError(Exception):
    """A trial cannot be trained or measured with its values."""


def name_trial(number: int) -> str:
    """Returns the name of the folder of a trial."""
    return f"trial-{number:04}"


def hide_test_split(data: Data) -> Data:
    """Returns data whose test split is empty."""
    nothing = data.test.select_rows(np.zeros(len(data.test), bool))
    return dataclasses.replace(data, test=nothing, raw_test=None)


def train_trial(
    tuning: Tuning, data: Data, number: int, values: dict[str, Any], earlier: Sequence[Trial]
) -> Trial:
    """Trains and scores a trial, or goes on where it was interrupted.

    Args:
        tuning: The tuning.
        data: The data without a test split; with `kfold` from `zoo.data.loading.read_data`.
        number: Number of the trial.
        values: Its values.
        earlier: The finished trials that it is compared with.

    Returns:
        The trial; FAILED if it cannot be trained with these values, such as a learning rate at
        which the loss becomes infinite.

    Raises:
        UserError: if its folder cannot be used.
        Interrupted: after SIGINT or SIGTERM, with a new checkpoint.
    """
    started = time.perf_counter()
    try:
        with _catch_user_errors():
            hparams, recipe = apply_values(tuning.space, values, tuning.hparams, tuning.recipe)
        folder = tuning.directory / name_trial(number)
        run = _Run(folder, f"trial {number}/{tuning.trials}", hparams, recipe)
        result = (_cross_validate if tuning.kfold else _train_once)(tuning, data, run, earlier)
        trial = Trial(number, values, PRUNED, (), result.progress, epochs=result.epochs)
        if result.measures is not None:
            with _catch_user_errors():
                objectives = tuple(read_objectives(tuning.objectives, result.measures))
            loss = float(result.measures["loss"])
            trial = dataclasses.replace(trial, state=COMPLETE, objectives=objectives, loss=loss)
    except _TrainingError as error:
        trial = Trial(number, values, FAILED, reason=str(error))
    return dataclasses.replace(trial, seconds=round(time.perf_counter() - started, 2))


def remove_weights(tuning: Tuning, number: int) -> None:
    """Removes the checkpoints and models of a finished trial, which its flags train again."""
    folder = tuning.directory / name_trial(number)
    for run_dir in (folder, *folder.glob("fold-*")):
        remove_checkpoints(run_dir)
        for name in (BEST, LAST):
            (run_dir / name).unlink(missing_ok=True)


def _train_once(tuning: Tuning, data: Data, run: _Run, earlier: Sequence[Trial]) -> _Result:
    """Trains a trial on the training split, and scores it on the validation split."""
    objective = tuning.objectives[0]
    first_epoch = (run.recipe.head_epochs or 0) + math.ceil(run.recipe.epochs / 2)

    def is_run_weak(progress: dict[int, float]) -> bool:
        # of several objectives, the others may be good
        is_single = len(tuning.objectives) == 1
        return is_single and is_weak(progress, objective, earlier, first_epoch)

    return _train_run(tuning, data, data.validation, run, is_run_weak)


def _cross_validate(tuning: Tuning, data: Data, run: _Run, earlier: Sequence[Trial]) -> _Result:
    """Trains a trial once for each fold, and scores each fold; finished ones are not repeated."""
    objective, measures, progress, epochs = tuning.objectives[0], [], {}, 0
    folds = choose_folds(data, tuning.kfold or 0, tuning.seed)
    for number, rows in enumerate(folds, 1):
        title = f"fold {number}/{len(folds)}"
        part = dataclasses.replace(
            run, folder=run.folder / f"fold-{number}", title=f"{run.title}, {title}"
        )
        if not (part.folder / METRICS).is_file():
            fold = tuning.prepare(select_fold(data, rows))
            note = f"# {title} of the training split, which these flags do not select\n"
            _train_run(tuning, fold, fold.test, part, lambda progress: False, note)
        record = read_json(part.folder / METRICS)
        measures.append(record["validation"] | record["costs"])
        epochs += record["epochs"]
        progress[number] = statistics.mean(fold[objective.epoch_score] for fold in measures)
        is_single, is_last = len(tuning.objectives) == 1, number == len(folds)
        first = math.ceil(len(folds) / 2)
        if is_single and not is_last and is_weak(progress, objective, earlier, first):
            return _Result(None, progress, epochs)
    means = {}
    for name in ("loss", *(objective.name for objective in tuning.objectives)):
        values = [fold.get(name) for fold in measures]
        means[name] = None if None in values else statistics.mean(values)
    return _Result(means, progress, epochs)


def _train_run(
    tuning: Tuning,
    data: Data,
    scored: Split,
    run: _Run,
    is_run_weak: Callable[[dict[int, float]], bool],
    note: str = "",
) -> _Result:
    """Trains a model, or goes on where it was interrupted, and scores it on a split.

    The folder gets what a run of `zoo train` has, but no test scores.
    """
    flags = note + tuning.format_flags(run.hparams, run.recipe)
    folder = open_run(run.folder, flags, free=tuning.changeable_flags, overwrite=False)
    with folder, _catch_user_errors():
        start, _ = find_latest_checkpoint(run.folder)
        save_run_data(run.folder, data)
        history = start.state.history if start else ()
        pruning = TrialPruningCallback(tuning.objectives[0].epoch_score, is_run_weak, history)
        keras.backend.clear_session()
        model, _ = prepare_model(tuning.entry, run.hparams, run.recipe, data, tuning.seed)
        trained = fit_model(
            model,
            data,
            run.recipe,
            seed=tuning.seed,
            run_dir=run.folder,
            start=start,
            callbacks=[pruning],
            title=run.title,
        )
        measures = None
        if not pruning.pruned:
            record = _measure(tuning, model, data, scored, run, trained)
            write_json(run.folder / METRICS, record)
            measures = record["validation"] | record["costs"]
        return _Result(measures, pruning.progress, len(pruning.progress))


def _measure(
    tuning: Tuning,
    model: keras.Model,
    data: Data,
    scored: Split,
    run: _Run,
    trained: dict[str, Any],
) -> dict[str, Any]:
    """Returns the record of a run with the scores on a split, and with what the model costs."""
    if scored is not data.validation:  # on which they would be too good
        data, _ = choose_thresholds(model, data, run.recipe.batch_size)
    predictions = predict_split(model, scored, data.spec, run.recipe.batch_size)
    record = make_record(tuning.entry, run.hparams, model, data, run.recipe, trained, {})
    costs: dict[str, Any] = {
        "parameters": record.parameters,
        "multiply_adds": record.multiply_adds,
    }
    if "latency" in {objective.name for objective in tuning.objectives}:
        costs["latency"] = measure_latency(model, scored)
    return record.to_dict() | {
        "seed": tuning.seed,
        "validation": score_predictions(predictions, data.spec),
        "costs": costs,
    }


@contextlib.contextmanager
def _catch_user_errors() -> Iterator[None]:
    """Context manager that raises a _TrainingError for what is wrong with the values of a trial."""
    try:
        yield
    except UserError as error:
        raise _TrainingError(str(error)) from error
    except Exception as error:
        fault = explain_fault(error)
        if fault is None or fault[1] != 1:  # not too little memory
            raise
        raise _TrainingError(fault[0]) from error
