"""Cross-validation: a model is trained from scratch for each fold of the training split."""

import dataclasses
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

from zoo.data.spec import Spec
from zoo.data.splits import Data, read_labels
from zoo.data.targets import find_strata
from zoo.errors import UserError, format_count
from zoo.evaluation.decision_threshold import decide_threshold
from zoo.evaluation.label_thresholds import choose_thresholds
from zoo.evaluation.predictions import predict_split
from zoo.evaluation.scoring import score_predictions
from zoo.recipe import Recipe
from zoo.registry import Entry
from zoo.training.building import prepare_model
from zoo.training.loop import fit_model

Fold = tuple[np.ndarray, np.ndarray]  # boolean masks (n,): the rows to train on, and to score


def score_folds(
    entry: Entry,
    hparams: dict[str, Any],
    recipe: Recipe,
    data: Data,
    *,
    prepare: Callable[[Data], Data],
    count: int,
    seed: int,
    directory: Path,
) -> Iterator[dict[str, Any]]:
    """Scores each fold of the training split with a model that is trained on the other folds.

    With times, it is trained on the older folds only. The validation split is used for early
    stopping as always; the test split is not read.

    Args:
        entry: The model.
        hparams: Its hyperparameters.
        recipe: How it is trained.
        data: A dataset from `zoo.data.loading.read_data`.
        prepare: Prepares the data of a fold for the model, from its training split only.
        count: Number of folds, 2 or more.
        seed: Seed of the folds and of the training.
        directory: A folder for temporary files.

    Returns:
        An iterator over the scores of the folds, each of which is trained when it is requested.

    Raises:
        UserError: if there are too few examples for that many folds.
    """
    # not in a generator, which would only raise the error once it is iterated
    folds = choose_folds(data, count, seed)

    def score(rows: Fold) -> dict[str, Any]:
        fold = prepare(select_fold(data, rows))
        return _score_fold(entry, hparams, recipe, fold, seed, directory)

    return map(score, folds)


def choose_folds(data: Data, count: int, seed: int) -> list[Fold]:
    """Divides the training split into folds: by time, in whole groups or at random.

    Args:
        data: A dataset from `zoo.data.loading.read_data`.
        count: Number of folds, 2 or more.
        seed: Seed of the folds.

    Raises:
        UserError: if there are too few examples for that many folds.
    """
    if data.train.times is not None:
        return split_time_folds(data.train.times, count)
    scored = split_folds(read_labels(data.train), data.spec, count, seed, data.train.groups)
    return [(~rows, rows) for rows in scored]


def select_fold(data: Data, rows: Fold) -> Data:
    """Returns data whose test split is a fold of the training split, without the fold in it."""
    train, test = data.train.select_rows(rows[0]), data.train.select_rows(rows[1])
    return dataclasses.replace(data, train=train, test=test, raw_test=None)


def split_folds(
    target: np.ndarray, spec: Spec, count: int, seed: int, groups: np.ndarray | None = None
) -> list[np.ndarray]:
    """Divides the examples into random folds, stratified by class, or by the rarest label of each.

    Args:
        target: Targets of the n examples.
        spec: Spec of the data.
        count: Number of folds.
        seed: Seed of the folds.
        groups: Group of each example, int64 (n,), which are each in one fold.

    Returns:
        A boolean mask (n,) for each fold; each example is in one fold.

    Raises:
        UserError: if there are fewer examples, or fewer of a class, or groups, than folds.
    """
    sizes, strata = {("example", "examples"): len(target)}, find_strata(target, spec)
    if spec.multilabel:
        # strata that have fewer examples than there are folds share one
        rare = np.bincount(strata)[strata] < count
        strata = np.where(rare, strata.max() + 1, strata)
    elif spec.class_names is not None:
        labels, counts = np.unique(target, return_counts=True)
        rarest = labels[counts.argmin()]
        of_class = f"of class {spec.class_names[rarest]!r:.50}"
        sizes = {(f"example {of_class}", f"examples {of_class}"): int(counts.min())}
    if groups is not None:
        sizes["group", "groups"] = len(np.unique(groups))
    for what, size in sizes.items():
        if size < count:
            raise UserError(f"kfold={count}: {format_count(size, *what)}: {_advise_folds(size)}")
    if groups is not None:
        splitter = GroupKFold if spec.class_names is None else StratifiedGroupKFold
    else:
        splitter = KFold if spec.class_names is None else StratifiedKFold
    splits = splitter(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        folds = list(splits.split(np.zeros(len(target)), strata, groups))
    return [np.isin(np.arange(len(target)), rows) for _, rows in folds]


def split_time_folds(times: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divides the examples by time: each fold is newer than what it is trained on.

    The oldest of `count` + 1 parts is in no fold.

    Args:
        times: Time of each example, float64 (n,); equal times stay together.
        count: Number of folds.

    Returns:
        Two boolean masks (n,) for each fold: the examples to train on, and to score.

    Raises:
        UserError: if there are not more times than folds.
    """
    values = np.unique(times)
    if len(values) <= count:
        raise UserError(
            f"kfold={count}: {format_count(len(values), 'different time')}: "
            f"{_advise_folds(len(values) - 1)}"
        )
    folds = TimeSeriesSplit(count).split(values)
    return [(np.isin(times, values[old]), np.isin(times, values[new])) for old, new in folds]


def _advise_folds(most: int) -> str:
    """Returns what to do where there may be at most this number of folds."""
    if most < 2:
        return "too few for folds: omit --kfold"
    return f"use at most {most} folds"


def describe_folds(data: Data) -> str:
    """Describes how the training split is divided into folds."""
    if data.train.times is not None:
        return f"each fold is newer by {data.settings['time']} than what it is trained on"
    if data.train.groups is not None:
        return f"each fold has whole groups of {data.settings['group']}"
    if data.spec.multilabel:
        return "the folds have equal shares of the examples of each rarest label"
    return "the folds have equal shares of each class" if data.spec.class_names else "random folds"


def summarize_folds(folds: list[dict], spec: Spec) -> dict[str, Any]:
    """Returns the name of the score, its mean and its sample standard deviation over the folds."""
    score = {"classification": "accuracy", "multilabel": "f1", "regression": "mae"}[spec.task]
    values = np.array([fold[score] for fold in folds])
    return {"score": score, "mean": float(values.mean()), "spread": float(values.std(ddof=1))}


def format_fold_summary(record: dict[str, Any]) -> str:
    """Formats the mean and standard deviation over the folds as one line."""
    form = "{:.4g}" if record["score"] == "mae" else "{:.2%}"
    mean, spread = form.format(record["mean"]), form.format(record["spread"])
    score = {"f1": "micro F1"}.get(record["score"], record["score"])
    title = f"{record['model']} on {record['dataset']}: {score}"
    return f"{title} {mean}, standard deviation {spread}, {len(record['folds'])} folds"


def _score_fold(
    entry: Entry,
    hparams: dict[str, Any],
    recipe: Recipe,
    data: Data,
    seed: int,
    directory: Path,
) -> dict[str, Any]:
    """Trains a model on the training split, and returns its scores on the test split."""
    keras.backend.clear_session()
    model, _ = prepare_model(entry, hparams, recipe, data, seed)
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=directory) as folder:
        fit_model(model, data, recipe, seed=seed, run_dir=Path(folder))
    data, _ = choose_thresholds(model, data, recipe.batch_size)
    data, chosen = decide_threshold(model, data, recipe)
    predictions = predict_split(model, data.test, data.spec, recipe.batch_size)
    return score_predictions(predictions, data.spec) | ({"threshold": chosen} if chosen else {})
