"""Writes further formats of an export, and measures the size, latency and accuracy of each."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import f1_score

from zoo.console import show_progress
from zoo.data.holdout import draw_holdout_rows
from zoo.data.splits import (
    Arrays,
    Data,
    Split,
    disable_autotuning,
    take_inputs,
)
from zoo.evaluation.decision_threshold import choose_classes
from zoo.evaluation.label_thresholds import select_labels
from zoo.exporting.converters import convert_model
from zoo.exporting.runtimes import load_runtime
from zoo.storage.filenames import EXTRA_FOLDER

_CALIBRATION_EXAMPLES = 256
_SCORED_EXAMPLES = 2_000  # with one example per call, more long texts would take minutes


def export_formats(
    model: keras.Model, data: Data, version: Path, formats: Sequence[str], seed: int
) -> dict[str, dict[str, Any]]:
    """Writes further formats of an exported version, and measures all formats.

    Args:
        model: The trained model.
        data: The data. 256 training inputs calibrate int8; the test split is scored.
        version: Folder of the SavedModel; the files are written to its assets.extra.
        formats: Names from `FORMATS`.
        seed: Seed for the choice of the training inputs.

    Returns:
        The result of `measure_formats`; empty if "saved_model" is the only format.

    Raises:
        UserError: if `convert_model` raises it.
    """
    if not set(formats) - {"saved_model"}:
        return {}
    calibration = choose_calibration(data, seed)
    files = convert_model(model, data.spec, version / EXTRA_FOLDER, formats, calibration)
    return measure_formats(version, files, data)


def choose_calibration(data: Data, seed: int) -> np.ndarray:
    """Returns up to 256 inputs of the training split, (n, *spec.shape), drawn by the seed."""
    share = min(0.5, _CALIBRATION_EXAMPLES / len(data.train))
    subset = data.train.select_rows(draw_holdout_rows(len(data.train), share, seed))
    return take_inputs(subset, _CALIBRATION_EXAMPLES)


def measure_formats(version: Path, files: dict[str, Path], data: Data) -> dict[str, dict[str, Any]]:
    """Scores each format on test examples in its own runtime on the CPU, one example per call.

    LiteRT and ONNX Runtime use one thread. The SavedModel's `serving_default` uses TensorFlow's
    thread pool, whose size cannot be changed once TensorFlow runs. For texts it also includes the
    tokenization, which the other formats lack.

    Args:
        version: Folder of the SavedModel.
        files: The files that `convert_model` returned.
        data: The data; up to 2,000 examples of the test split are used.

    Returns:
        For each format: bytes (for the SavedModel without assets.extra), threads, latency_ms
        (median latency of a call in milliseconds), examples, and accuracy, for several labels per
        example micro f1, or for a regression mae.
    """
    table: dict[str, dict[str, Any]] = {}
    rows = np.zeros(len(data.test), bool)
    rows[np.linspace(0, len(rows) - 1, min(len(rows), _SCORED_EXAMPLES), dtype=int)] = True
    for name, path in {"saved_model": version, **files}.items():
        split = ((name == "saved_model" and data.raw_test) or data.test).select_rows(rows)
        predict = load_runtime(name, path, data.spec)
        outputs, targets, seconds = [], [], []
        for x, y in show_progress(_iterate_examples(split), len(split), f"testing {name}"):
            start = time.perf_counter()
            outputs.append(predict(x))
            seconds.append(time.perf_counter() - start)
            targets.append(y)
        output, target = np.concatenate(outputs), np.stack(targets)
        threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
        table[name] = {
            "bytes": _measure_size(path),
            "threads": threads if name == "saved_model" else 1,
            "latency_ms": float(np.median(seconds) * 1e3),
            "examples": len(split),
        }
        if data.spec.multilabel:
            selected = select_labels(output, data.spec.thresholds)
            table[name]["f1"] = float(f1_score(target, selected, average="micro", zero_division=0))
        elif data.spec.class_names is None:
            table[name]["mae"] = float(np.abs(output - target).mean())
        else:
            classes = choose_classes(output, data.spec.threshold)
            table[name]["accuracy"] = float((classes == target).mean())
    return table


def _iterate_examples(split: Split) -> Iterator[tuple[Any, Any]]:
    """Yields the input and the target of each example."""
    if isinstance(split, Arrays):
        return zip(split.x, split.y, strict=True)
    return disable_autotuning(split.read(None)).as_numpy_iterator()


def _measure_size(path: Path) -> int:
    """Returns the size in bytes of a file, or of a SavedModel without its assets.extra."""
    if path.is_file():
        return path.stat().st_size
    files = (file for file in path.rglob("*") if file.is_file())
    return sum(file.stat().st_size for file in files if file.parent.name != EXTRA_FOLDER)
