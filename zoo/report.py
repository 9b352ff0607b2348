"""What a run leaves to read: metrics.json, curves, confusion matrix and the worst mistakes."""

import dataclasses
import json
import platform
import resource
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from scipy import stats
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    f1_score,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
)
from tqdm import tqdm

from zoo import finetuning, metadata
from zoo.data import pick, pipeline
from zoo.data.spec import Data, Spec
from zoo.recipe import Recipe
from zoo.registry import Entry
from zoo.run_folder import METRICS, replacing
from zoo.saved_model import predictor

_PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy")
_MOST_CLASSES = 30  # in a confusion matrix with numbers
_EXAMPLES = 25


def evaluate(model: keras.Model, data: Data, batch_size: int, run_dir: Path) -> dict[str, Any]:
    """Scores the model on the test split, which is read once, and draws what it gets wrong.

    Args:
        model: The trained model.
        data: Where the test split comes from.
        batch_size: Examples per batch.
        run_dir: Gets confusion.png and examples.png (images) or mistakes.txt (texts), or
            predictions.png (regression).

    Returns:
        Classification: loss, accuracy, accuracy_interval (95%, Wilson) and f1 (of the second of
        two classes, else the mean over the classes). Regression: loss (MSE),
        mse, mae, mae_interval (95%, bootstrap) and r2.
    """
    images, targets, outputs = [], [], []
    predict = predictor(model)
    batches = pipeline.batches(data.test, data.spec, batch_size=batch_size)
    # on a terminal only, and only if it takes a while
    bar = {"desc": "testing", "disable": None, "delay": 2, "leave": False}
    for inputs, target in tqdm(batches, total=len(batches), **bar):
        outputs.append(predict(inputs).numpy())
        targets.append(target["logits"].numpy())
        if data.spec.kind == "image":
            images.append(_worst(inputs["image"].numpy(), targets[-1], outputs[-1]))
    target, output = np.concatenate(targets), np.concatenate(outputs)
    if data.spec.class_names is None:
        _draw_predictions(target, output, run_dir / "predictions.png")
        return _regression_scores(target[:, 0], output[:, 0])
    _draw_confusion(target, output.argmax(-1), data.spec, run_dir / "confusion.png")
    if images:
        _draw_examples(images, data.spec, run_dir / "examples.png")
    if data.spec.is_text:
        rows = pipeline.order(data.test, data.spec)
        _write_mistakes(_worst(rows, target, output), data, run_dir / "mistakes.txt")
    return _classification_scores(target, output)


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
        "parameters": model.count_params(),
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


def summary(test: dict[str, Any]) -> str:
    """The test scores in one line."""
    if "accuracy" in test:
        low, high = test["accuracy_interval"]
        return (
            f"test: accuracy {test['accuracy']:.2%} (95% interval {low:.2%} to {high:.2%}), "
            f"F1 {test['f1']:.2%}, loss {test['loss']:.4f}, {test['examples']:,} examples"
        )
    low, high = test["mae_interval"]
    r2 = "" if test["r2"] is None else f"R2 {test['r2']:.4f}, "
    return (
        f"test: MAE {test['mae']:.4g} (95% interval {low:.4g} to {high:.4g}), "
        f"MSE {test['mse']:.4g}, {r2}{test['examples']:,} examples"
    )


def draw_curves(history: dict[str, list[float]], path: Path) -> None:
    """Draws the loss and the score of each epoch, in training and in validation."""
    names = [name for name in history if f"val_{name}" in history]
    figure = Figure(figsize=(5 * len(names), 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        epochs = range(1, len(history[name]) + 1)
        axes.plot(epochs, history[name], marker=".", label="training")
        axes.plot(epochs, history[f"val_{name}"], marker=".", label="validation")
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)


def machine() -> dict[str, Any]:
    """Versions, and the peak memory of this process in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    versions = {package: installed(package) for package in _PACKAGES}
    return {
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


def _classification_scores(target: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(target, logits)
    given, average = logits.argmax(-1), "binary" if logits.shape[-1] == 2 else "macro"
    right = int((given == target).sum())
    interval = stats.binomtest(right, len(target)).proportion_ci(method="wilson")
    return {
        "loss": float(loss),
        "accuracy": right / len(target),
        "accuracy_interval": [float(interval.low), float(interval.high)],
        "f1": float(f1_score(target, given, average=average, zero_division=0)),
        "examples": len(target),
    }


def _regression_scores(target: np.ndarray, output: np.ndarray) -> dict[str, Any]:
    errors = np.abs(target - output)
    interval = [float(errors.mean())] * 2
    if errors.std() > 0:
        drawn = stats.bootstrap((errors,), np.mean, n_resamples=2000, rng=np.random.default_rng(0))
        interval = [float(drawn.confidence_interval.low), float(drawn.confidence_interval.high)]
    mse = float(mean_squared_error(target, output))
    return {
        "loss": mse,
        "mse": mse,
        "mae": float(mean_absolute_error(target, output)),
        "mae_interval": interval,
        "r2": float(r2_score(target, output)) if len(target) > 1 else None,
        "examples": len(target),
    }


def _worst(examples: np.ndarray, target: np.ndarray, logits: np.ndarray) -> list[tuple]:
    """The most confidently wrong: (confidence, example, true class, given class)."""
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    given = probabilities.argmax(-1)
    wrong = np.flatnonzero(given != target)
    confidence = probabilities[wrong, given[wrong]]
    order = np.argsort(-confidence)[:_EXAMPLES]
    return [(confidence[i], examples[wrong[i]], target[wrong[i]], given[wrong[i]]) for i in order]


def _draw_examples(batches: list[list[tuple]], spec: Spec, path: Path) -> None:
    worst = sorted((e for batch in batches for e in batch), key=lambda e: -e[0])[:_EXAMPLES]
    # at fixed places: to find them would take as long as the drawing
    figure = Figure(figsize=(10, 10.5))
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.92, wspace=0.1, hspace=0.15)
    for axes in (grid := figure.subplots(5, 5)).flat:
        axes.axis("off")
    for axes, (confidence, image, target, given) in zip(grid.flat, worst, strict=False):
        axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray")
        title = (
            f"{spec.class_names[target]}, taken for {spec.class_names[given]} ({confidence:.0%})"
        )
        axes.set_title(title, fontsize=8)
    figure.suptitle("Most confident mistakes on the test split" if worst else "No mistakes")
    figure.savefig(path, dpi=100)


def _write_mistakes(worst: list[tuple], data: Data, path: Path) -> None:
    """Writes the most confident mistakes on texts, each with its line of truth and prediction."""
    texts = pick(data.raw_test, [row for _, row, _, _ in worst])
    names = data.spec.class_names
    lines = ["Most confident mistakes on the test split" if worst else "No mistakes"]
    for (confidence, row, target, given), text in zip(worst, texts, strict=True):
        lines += ["", f"{names[target]}, taken for {names[given]} ({confidence:.0%}), row {row}:"]
        for part in np.atleast_1d(text):
            lines.append(part if isinstance(part, str) else part.decode(errors="replace"))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _draw_confusion(target: np.ndarray, given: np.ndarray, spec: Spec, path: Path) -> None:
    size = min(4 + 0.4 * spec.num_classes, 20)
    figure = Figure(figsize=(size, size), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(
        target,
        given,
        labels=range(spec.num_classes),
        display_labels=spec.class_names,
        include_values=spec.num_classes <= _MOST_CLASSES,
        xticks_rotation="vertical",
        colorbar=False,
        cmap="Blues",
        ax=figure.subplots(),
    )
    figure.savefig(path, dpi=100)


def _draw_predictions(target: np.ndarray, output: np.ndarray, path: Path) -> None:
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.scatter(target, output, s=8, alpha=0.5)
    axes.axline((float(target.mean()), float(target.mean())), slope=1, color="gray", linewidth=1)
    axes.set(xlabel="target", ylabel="prediction", title="Test split")
    figure.savefig(path, dpi=100)
