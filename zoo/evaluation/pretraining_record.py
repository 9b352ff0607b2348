"""The record of a pretraining, metrics.json."""

import dataclasses
from pathlib import Path
from typing import Any

import keras

from zoo.data.spec import spec_to_record
from zoo.data.splits import Data
from zoo.evaluation.record import describe_machine
from zoo.recipe import Recipe
from zoo.registry import Entry
from zoo.storage.filenames import METRICS
from zoo.storage.json_files import read_json


def make_pretraining_record(
    entry: Entry,
    hparams: dict[str, Any],
    model: keras.Model,
    data: Data,
    recipe: Recipe,
    trained: dict[str, Any],
    validation: dict[str, Any],
) -> dict[str, Any]:
    """Returns what a pretraining was and what came out, as the object in metrics.json.

    Args:
        entry: The entry of the model whose encoder was pretrained.
        hparams: Hyperparameters that differ from the defaults.
        model: The masked language model.
        data: The texts.
        recipe: How the model was trained.
        trained: Results of `fit_model`.
        validation: Results of `score_masked_tokens` on the validation split.
    """
    defaults = {name: argument.default for name, argument in entry.hyperparameters.items()}
    splits = {"train": data.train, "validation": data.validation}
    return {
        "model": entry.name,
        "hyperparameters": defaults | hparams,
        "recipe": dataclasses.asdict(recipe),
        "dataset": data.name,
        "dataset_version": data.version,
        "notes": data.notes,
        "data_settings": dict(data.settings),
        "fingerprint": dict(data.fingerprint),
        "splits": {k: {"from": data.splits[k], "examples": len(x)} for k, x in splits.items()},
        "spec": spec_to_record(data.spec),
        "parameters": model.count_params(),
        "epochs": len(trained["history"]["loss"]),
        "seconds": trained["seconds"],
        "examples_per_second": trained["examples_per_second"],
        **describe_machine(),
        "validation": validation,
    }


def format_masked_scores(validation: dict[str, Any]) -> str:
    """Formats the scores of masked tokens as one line."""
    return (
        f"validation: perplexity {validation['perplexity']:.4g} of {validation['tokens']:,} hidden "
        f"tokens, {validation['accuracy']:.2%} of them guessed, loss {validation['loss']:.4f}"
    )


def find_finished_pretraining(run_dir: Path, recipe: Recipe) -> dict[str, Any] | None:
    """Returns the record of a pretraining that is finished, or None."""
    try:
        record = read_json(run_dir / METRICS)
        format_masked_scores(record["validation"])
        return record if record["recipe"]["epochs"] == recipe.epochs else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
