"""Cross-validation: a recipe's model trained anew for each part of the training split."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from zoo import cli, registry, report, training
from zoo import data as datasets
from zoo.data.spec import Data, Spec
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.run_folder import METRICS


def run(
    entry: registry.Entry,
    hparams: dict[str, Any],
    recipe: Recipe,
    data: Data,
    *,
    prepare: Callable[[Data], Data],
    count: int,
    seed: int,
    named: set[str],
    directory: Path,
) -> dict[str, Any]:
    """Trains on all parts but one and scores that one, for each of them, and prints the scores.

    The validation split stays what it is, for what stops early; the test split is not looked at.

    Args:
        entry: The model.
        hparams: Its hyperparameters.
        recipe: How it is trained.
        data: What `zoo.data.read` found.
        prepare: What makes it ready for models, by the training part alone.
        count: Number of parts, 2 or more.
        seed: Which examples are in which part, and all that is random in training.
        named: The settings of the recipe that the user named.
        directory: Gets metrics.json.

    Returns:
        What metrics.json holds: model, dataset and the like, `score` ("accuracy" or "mae"), its
        `mean` and sample standard deviation `spread` over the folds, and of each of the `folds` its
        scores.

    Raises:
        UserError: if there are too few examples for that many parts.
    """
    found = []
    recipe = training.suited(recipe, len(data.train) * (count - 1) // count, named)
    for number, rows in enumerate(parts(datasets.labels(data.train), data.spec, count, seed), 1):
        print(f"fold {number}/{count}", flush=True)
        fold = dataclasses.replace(
            data, train=data.train.only(~rows), test=data.train.only(rows), raw_test=None
        )
        scores = _score(entry, hparams, recipe, prepare(fold), seed, directory)
        print(report.summary(scores, f"fold {number}/{count}"), flush=True)
        found.append(scores)
    record = {
        "model": entry.name,
        "hyperparameters": hparams,
        "recipe": dataclasses.asdict(recipe),
        "dataset": data.name,
        "dataset_version": data.version,
        "note": data.note,
        "seed": seed,
        **_summary(found, data.spec),
        "folds": found,
        **report.machine(),
        "command": cli.command(),
    }
    report.write_json(directory / METRICS, record)
    print(_line(record))
    print(f"cross-validation: {directory / METRICS}")
    return record


def parts(target: np.ndarray, spec: Spec, count: int, seed: int) -> list[np.ndarray]:
    """Boolean masks (n,) of `count` parts of which each example is in one, drawn by the seed.

    Each class has its share in each part.

    Raises:
        UserError: if there are fewer examples, or fewer of a class, than parts.
    """
    sizes = {"examples": len(target)}
    if spec.class_names is not None:
        occurs, counts = np.unique(target, return_counts=True)
        rarest = occurs[counts.argmin()]
        sizes = {f"examples of class {spec.class_names[rarest]!r:.50}": int(counts.min())}
    for what, size in sizes.items():
        if size < count:
            raise UserError(f"kfold={count}: there are {size} {what}: take at most {size} parts")
    divide = KFold if spec.class_names is None else StratifiedKFold
    folds = divide(count, shuffle=True, random_state=seed).split(np.zeros(len(target)), target)
    return [np.isin(np.arange(len(target)), rows) for _, rows in folds]


def _summary(folds: list[dict], spec: Spec) -> dict[str, Any]:
    """The name of the score, its mean and its sample standard deviation over the folds."""
    score = "mae" if spec.class_names is None else "accuracy"
    values = np.array([fold[score] for fold in folds])
    return {"score": score, "mean": float(values.mean()), "spread": float(values.std(ddof=1))}


def _line(record: dict[str, Any]) -> str:
    form = "{:.4g}" if record["score"] == "mae" else "{:.2%}"
    mean, spread = form.format(record["mean"]), form.format(record["spread"])
    title = f"{record['model']} on {record['dataset']}: {record['score']}"
    return f"{title} {mean}, standard deviation {spread}, {len(record['folds'])} folds"


def _score(entry, hparams, recipe, data: Data, seed: int, directory: Path) -> dict:
    """The scores on the part that takes the test split's place, by a model of its own."""
    keras.backend.clear_session()
    model, _ = training.build(entry, hparams, recipe, data, seed)
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=directory) as folder:
        training.fit(model, data, recipe, seed=seed, run_dir=Path(folder))
    found = report.predictions(model, data.test, data.spec, recipe.batch_size)
    return report.score(found, data.spec)
