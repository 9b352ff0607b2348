"""What a run leaves to read: metrics.json, the scores on a split, and what is wrong there."""

import dataclasses
import json
import os
import platform
import resource
import sys
from collections.abc import Iterable
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy import special
from tqdm import tqdm

from zoo import finetuning, metadata, plots, scores
from zoo.data import pick, pipeline
from zoo.data.spec import Data, Spec, Split
from zoo.macs import multiply_adds
from zoo.recipe import Recipe
from zoo.registry import Entry
from zoo.run_folder import METRICS, replacing
from zoo.saved_model import predictor

_PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy")


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What a model says of a split.

    Attributes:
        target: int64 (n,) or, of a regression, float32 (n, 1).
        output: Logits, float32 (n, classes), or predictions, float32 (n, 1).
        rows: Where each example stands in the split, int64 (n,).
    """

    target: np.ndarray
    output: np.ndarray
    rows: np.ndarray


def evaluate(model: keras.Model, data: Data, batch_size: int, run_dir: Path) -> dict[str, Any]:
    """Scores the model on the test split and draws what it gets wrong, as `assess` tells."""
    found = predictions(model, data.test, data.spec, batch_size)
    return assess(found, data.raw_test or data.test, data.spec, "test", run_dir)


def predictions(model: keras.Model, split: Split, spec: Spec, batch_size: int) -> Predictions:
    """What the model says of each example of a split, texts as token ids."""
    predict = predictor(model)
    batches = pipeline.batches(split, spec, batch_size=batch_size)
    pairs = ((predict(inputs).numpy(), target["logits"].numpy()) for inputs, target in batches)
    return gathered(pairs, len(batches), pipeline.order(split, spec))


def gathered(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], batches: int, rows: np.ndarray
) -> Predictions:
    """The predictions of all batches, (output, target), with a bar if it takes a while."""
    # on a terminal only
    bar = {"desc": "testing", "disable": None, "delay": 2, "leave": False}
    outputs, targets = zip(*tqdm(pairs, total=batches, **bar), strict=True)
    return Predictions(np.concatenate(targets), np.concatenate(outputs), rows)


def assess(
    found: Predictions, split: Split, spec: Spec, part: str, directory: Path
) -> dict[str, Any]:
    """Scores predictions, and draws what they get wrong.

    Args:
        found: The predictions.
        split: What they are of, texts as strings.
        spec: What the data is.
        part: What the split is called in the drawings, such as "test".
        directory: Gets confusion.png, reliability.png and examples.png (images) or mistakes.txt
            (texts), or, of a regression, predictions.png.

    Returns:
        What `score` does.
    """
    target, output = found.target, found.output
    if spec.class_names is None:
        title, path = f"The {part} split", directory / "predictions.png"
        plots.predictions(target[:, 0], output[:, 0], title, path)
        return score(found, spec)
    given = output.argmax(-1)
    plots.confusion(target, given, spec.class_names, directory / "confusion.png")
    probabilities = special.softmax(np.asarray(output, "float64"), axis=-1)
    plots.reliability(target, probabilities, directory / "reliability.png")
    if spec.kind != "features":
        _show_mistakes(found, split, spec, part, directory)
    return score(found, spec)


def score(found: Predictions, spec: Spec) -> dict[str, Any]:
    """The scores by `zoo.scores.classification` or `zoo.scores.regression`."""
    if spec.class_names is None:
        return scores.regression(found.target[:, 0], found.output[:, 0])
    return scores.classification(found.target, found.output, spec.class_names)


def headline(model: keras.Model, data: Data, devices: str) -> str:
    """What is trained on what, in one line."""
    return (
        f"{model.name}, {model.count_params():,} parameters, on {data.name}: {len(data.train):,} "
        f"examples to train on, {len(data.validation):,} to validate, {len(data.test):,} to test; "
        f"devices: {devices}"
    )


def record(
    entry: Entry,
    hparams: dict[str, Any],
    model: keras.Model,
    data: Data,
    recipe: Recipe,
    trained: dict[str, Any],
    test: dict[str, Any],
) -> dict[str, Any]:
    """The run as metrics.json tells it."""
    defaults = {name: argument.default for name, argument in entry.hyperparameters.items()}
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    history = trained["history"]
    return {
        "model": entry.name,
        "hyperparameters": defaults | hparams,
        "recipe": dataclasses.asdict(recipe),
        "dataset": data.name,
        "dataset_version": data.version,
        "note": data.note,
        "splits": {
            part: {"from": data.splits[part], "examples": len(split)}
            for part, split in parts.items()
        },
        "spec": dataclasses.asdict(dataclasses.replace(data.spec, tokenizer=None)),
        "parameters": model.count_params(),
        "multiply_adds": multiply_adds(model, data.spec.shape),
        **finetuning.parameters(model),
        "epochs": len(history["loss"]),
        "seconds": trained["seconds"],
        "examples_per_second": trained["examples_per_second"],
        **machine(),
        "validation": {
            name.removeprefix("val_"): values[-1]
            for name, values in history.items()
            if name.startswith("val_")
        },
        "test": test,
    }


def summary(test: dict[str, Any], part: str = "test") -> str:
    """The scores on a split in one line."""
    if "accuracy" in test:
        low, high = test["accuracy_interval"]
        return (
            f"{part}: accuracy {test['accuracy']:.2%} (95% interval {low:.2%} to {high:.2%}), "
            f"F1 {test['f1']:.2%}, loss {test['loss']:.4f}, {test['examples']:,} examples"
        )
    low, high = test["mae_interval"]
    r2 = "" if test["r2"] is None else f"R2 {test['r2']:.4f}, "
    return (
        f"{part}: MAE {test['mae']:.4g} (95% interval {low:.4g} to {high:.4g}), "
        f"MSE {test['mse']:.4g}, {r2}{test['examples']:,} examples"
    )


def machine() -> dict[str, Any]:
    """What ran, on what, and the peak memory of this process in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    versions = {package: installed(package) for package in _PACKAGES}
    # those that the process may use, where the system tells
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return {
        "machine": f"{platform.system()} {platform.machine()}, {cores} core{'s' * (cores != 1)}",
        "peak_memory_mib": round(peak / 2**20),
        "versions": {"python": platform.python_version(), **versions},
    }


def finished(
    run_dir: Path, recipe: Recipe, export_dir: Path, formats: list[str]
) -> dict[str, Any] | None:
    """What metrics.json tells of a run that has nothing left to do, or None."""
    try:
        record = metadata.read(run_dir / METRICS)
        summary(record["test"])
        export = Path(record["export"])
        same = record["recipe"]["epochs"] == recipe.epochs and export.parent == export_dir
        written = {"saved_model", *record["formats"]}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return record if same and export.is_dir() and set(formats) <= written else None


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Writes the record as JSON, all of it or nothing."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(record, indent=2) + "\n")


def _show_mistakes(
    found: Predictions, split: Split, spec: Spec, part: str, directory: Path
) -> None:
    """Draws the most confident mistakes on images, or writes those on texts."""
    worst = scores.worst(found.target, found.output, plots.EXAMPLES)
    rows = [int(found.rows[place]) for place, _ in worst]
    examples = pick(split, rows)
    given = found.output.argmax(-1)
    titles = [
        f"{spec.class_names[found.target[place]]}, taken for {spec.class_names[given[place]]} "
        f"({confidence:.0%})"
        for place, confidence in worst
    ]
    heading = f"Most confident mistakes on the {part} split" if worst else "No mistakes"
    if spec.kind == "image":
        plots.mistakes(examples, titles, heading, directory / "examples.png")
        return
    lines = [heading]
    for text, title, row in zip(examples, titles, rows, strict=True):
        lines += ["", f"{title}, row {row}:"]
        for one in np.atleast_1d(text):
            lines.append(one if isinstance(one, str) else one.decode(errors="replace"))
    with replacing(directory / "mistakes.txt") as draft:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
