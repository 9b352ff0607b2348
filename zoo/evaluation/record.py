"""The record of a run, metrics.json."""

import dataclasses
import os
import platform
import resource
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import keras

from zoo.data.spec import Spec, spec_to_record
from zoo.data.splits import Data, Split, has_known_labels, read_labels
from zoo.data.targets import count_labels
from zoo.errors import format_count
from zoo.evaluation.macs import count_multiply_adds
from zoo.recipe import Recipe
from zoo.registry import Entry
from zoo.storage.filenames import METRICS
from zoo.storage.json_files import read_json
from zoo.training.finetuning import count_parameters

_PACKAGES = ("tensorflow", "keras", "tensorflow-datasets", "numpy")
_FEWEST_EXAMPLES, _POOR_AUC = 100, 0.6  # to tell that a model has learned next to nothing
_PRETRAINED = {  # what learns from few examples of a kind
    "image": "--model=image_backbone --preset=keras:MobileNetV2",
    "text": "--model=bert --preset=all_minilm_l6_v2_en",
    "text_pair": "--model=bert --preset=all_minilm_l6_v2_en",
}


def format_headline(model: keras.Model, data: Data, devices: str) -> str:
    """Formats the model, the data and the devices as one line."""
    datasets = " and ".join((data.name, *data.settings.get("added", ())))
    return (
        f"{model.name}, {model.count_params():,} parameters, on {datasets}: {len(data.train):,} "
        f"examples to train on, {len(data.validation):,} to validate, {len(data.test):,} to test; "
        f"devices: {devices}"
    )


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """The content of metrics.json, in the order of its keys.

    Attributes:
        model: Name of the model.
        hyperparameters: All of its hyperparameters.
        recipe: All settings of the training (`zoo.Recipe`).
        dataset: Name or path of the dataset.
        dataset_version: Version of a TFDS dataset; empty for the user's files.
        notes: What was decided while the data was read, such as a replaced dataset.
        data_settings: Settings that the data was read with, where they are not the defaults.
        fingerprint: What identifies the data, from `zoo.data.fingerprint.compute_fingerprint`.
        splits: Origin and number of examples of each split, and labels per example if these may
            be several.
        spec: Spec of the data, without the tokenizer.
        parameters: Number of parameters.
        multiply_adds: Multiply-adds per example; None if they cannot be counted.
        trainable_parameters: Parameters that were trained.
        frozen_parameters: All other parameters.
        epochs: Number of epochs.
        seconds: Seconds of training, with validation.
        examples_per_second: Median over the epochs, without validation.
        machine: Operating system, processor and number of cores.
        peak_memory_mib: Peak memory of the process in MiB.
        versions: Versions of Python and of the packages.
        validation: Scores on the validation split after the last epoch.
        test: Scores on the test split.
        seed: Seed of the run.
        devices: Devices that it was trained on.
        command: The command line.
        plugin: Module or file of --plugin, which the model's classes are loaded from; may be empty.
        config: Name of the recipe file that was used; empty for none.
        threshold: The decision threshold and how it was chosen, from `decide_threshold`; or None.
        formats: Size, latency and scores of each exported format.
        export: Path of the export; None before it is exported.
        explain_signature: Whether the export has the signature `explain`.
    """

    model: str
    hyperparameters: dict[str, Any]
    recipe: dict[str, Any]
    dataset: str
    dataset_version: str
    notes: tuple[str, ...]
    data_settings: dict[str, Any]
    fingerprint: dict[str, Any]
    splits: dict[str, dict[str, Any]]
    spec: dict[str, Any]
    parameters: int
    multiply_adds: int | None
    trainable_parameters: int
    frozen_parameters: int
    epochs: int
    seconds: float
    examples_per_second: float
    machine: str
    peak_memory_mib: int
    versions: dict[str, str]
    validation: dict[str, float]
    test: dict[str, Any]
    seed: int = 0
    devices: str = ""
    command: str = ""
    plugin: str = ""
    config: str = ""
    threshold: dict[str, Any] | None = None
    formats: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    export: str | None = None
    explain_signature: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as the object in metrics.json."""
        return dataclasses.asdict(self)


def make_record(
    entry: Entry,
    hparams: dict[str, Any],
    model: keras.Model,
    data: Data,
    recipe: Recipe,
    trained: dict[str, Any],
    test: dict[str, Any],
) -> RunRecord:
    """Returns the record of a run that was trained and scored, but not yet exported.

    Args:
        entry: The model's entry in the registry.
        hparams: Hyperparameters that differ from the defaults.
        model: The trained model.
        data: The data.
        recipe: How the model was trained.
        trained: Results of `fit_model`.
        test: Scores on the test split.
    """
    defaults = {name: argument.default for name, argument in entry.hyperparameters.items()}
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    history, parameters = trained["history"], count_parameters(model)
    return RunRecord(
        model=entry.name,
        hyperparameters=defaults | hparams,
        recipe=dataclasses.asdict(recipe),
        dataset=data.name,
        dataset_version=data.version,
        notes=data.notes,
        data_settings=dict(data.settings),
        fingerprint=dict(data.fingerprint),
        splits={k: _describe_split(x, data.splits[k], data.spec) for k, x in splits.items()},
        spec=spec_to_record(data.spec),
        parameters=model.count_params(),
        multiply_adds=count_multiply_adds(model, data.spec.shape),
        trainable_parameters=parameters["trainable_parameters"],
        frozen_parameters=parameters["frozen_parameters"],
        epochs=len(history["loss"]),
        seconds=trained["seconds"],
        examples_per_second=trained["examples_per_second"],
        **describe_machine(),
        validation={
            name.removeprefix("val_"): values[-1]
            for name, values in history.items()
            if name.startswith("val_")
        },
        test=test,
    )


def _describe_split(split: Split, origin: str, spec: Spec) -> dict[str, Any]:
    """Returns where a split comes from, its size and, of a multi-label task, its cardinality."""
    description: dict[str, Any] = {"from": origin, "examples": len(split)}
    # trials of a tuning have an empty test split
    if spec.multilabel and len(split) and has_known_labels(split):
        description["labels_per_example"] = float(count_labels(read_labels(split)).mean())
    return description


def format_scores(test: dict[str, Any], split_name: str = "test") -> str:
    """Formats the scores on a split as one line."""
    if "accuracy" in test:
        low, high = test["accuracy_interval"]
        interval = f"95% interval {low:.2%} to {high:.2%}"
        return (
            f"{split_name}: accuracy {test['accuracy']:.2%} ({interval}), "
            f"F1 {test['f1']:.2%}, loss {test['loss']:.4f}, "
            f"{format_count(test['examples'], 'example')}"
        )
    if "mean_average_precision" in test:
        return _format_label_scores(test, split_name)
    low, high = test["mae_interval"]
    titles = {"r2": "R2", "pearson": "Pearson", "spearman": "Spearman"}
    # those that are defined; records of versions before 0.2 have no correlations
    others = (
        f"{title} {test[name]:.4f}, "
        for name, title in titles.items()
        if test.get(name) is not None
    )
    return (
        f"{split_name}: MAE {test['mae']:.4g} (95% interval {low:.4g} to {high:.4g}), "
        f"MSE {test['mse']:.4g}, {''.join(others)}{format_count(test['examples'], 'example')}"
    )


def describe_chance(test: dict[str, Any], kind: str) -> str:
    """Tells if a model has learned next to nothing; "" if not, or if there are under 100 examples.

    That is a classification no more accurate than always answering the most frequent class, whose
    AUC is below 0.6 too, and a regression no better than always answering the mean.

    Args:
        test: Scores of a split.
        kind: The kind of its examples, see `zoo.data.spec.Spec`.
    """
    if test["examples"] < _FEWEST_EXAMPLES:
        return ""
    advice = "train for longer (--epochs), or look for a learning rate (--find_learning_rate)"
    if kind in _PRETRAINED:
        advice += f", or start from pretrained weights ({_PRETRAINED[kind]})"
    if "per_class" in test and "accuracy" in test:
        most = max(test["per_class"], key=lambda scores: scores["examples"])
        share = most["examples"] / test["examples"]
        if test["accuracy"] <= share and (test["auc"] is None or test["auc"] < _POOR_AUC):
            return (
                f"an accuracy of {test['accuracy']:.2%} is no better than always answering "
                f"{most['class']!r} ({share:.2%}): {advice}"
            )
    if "mse" in test and test["r2"] is not None and test["r2"] <= 0:
        return f"an R2 of {test['r2']:.4f} is no better than always answering the mean: {advice}"
    return ""


def _format_label_scores(test: dict[str, Any], split_name: str) -> str:
    """Formats the scores of a multi-label task as `format_scores` does."""
    low, high = test["f1_interval"]
    precision = test["mean_average_precision"]
    return (
        f"{split_name}: micro F1 {test['f1']:.2%} (95% interval {low:.2%} to {high:.2%}), macro F1 "
        f"{test['macro']['f1']:.2%}, mean average precision "
        f"{'none' if precision is None else format(precision, '.2%')}, loss {test['loss']:.4f}, "
        f"{format_count(test['examples'], 'example')}"
    )


def describe_machine() -> dict[str, Any]:
    """Returns the machine, the versions and the peak memory of this process in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    versions = {package: installed(package) for package in _PACKAGES}
    # the cores that this process may use, if the system reports them
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return {
        "machine": f"{platform.system()} {platform.machine()}, {cores} core{'s' * (cores != 1)}",
        "peak_memory_mib": round(peak / 2**20),
        "versions": {"python": platform.python_version(), **versions},
    }


def find_finished_record(
    run_dir: Path, recipe: Recipe, export_dir: Path, formats: list[str], explains: bool = False
) -> dict[str, Any] | None:
    """Returns the record of a run that is finished and exported in all formats, or None.

    Args:
        run_dir: Folder of the run.
        recipe: How the run is trained.
        export_dir: Folder of the export.
        formats: Its formats.
        explains: Whether the export needs the signature `explain`.
    """
    try:
        record = read_json(run_dir / METRICS)
        format_scores(record["test"])
        export = Path(record["export"])
        is_same = record["recipe"]["epochs"] == recipe.epochs and export.parent == export_dir
        is_same &= record.get("explain_signature", False) or not explains
        exported = {"saved_model", *record["formats"]}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return record if is_same and export.is_dir() and set(formats) <= exported else None
