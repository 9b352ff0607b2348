"""What a run trains, and on what: kept in its folder, and compared before the run goes on."""

import ast
import hashlib
import inspect
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.data.fingerprint import compare_fingerprints
from zoo.data.splits import Data
from zoo.data.texts.tokenizers import check_saved_tokenizer, save_tokenizer
from zoo.errors import UserError, shorten_names
from zoo.registry import Entry
from zoo.storage.filenames import FINGERPRINT
from zoo.storage.json_files import read_json, write_json
from zoo.training.checkpoints import find_latest_checkpoint

_TOLERANCE = 1e-3  # of the initial weights, which other machines draw with other last digits


def save_run_data(directory: Path, data: Data, start: Mapping[str, Any] | None = None) -> None:
    """Writes the fingerprint of the data, and the tokenizer, to the folder of a run.

    Args:
        directory: Folder of the run.
        data: The data.
        start: What `describe_start` returns of the model.
    """
    write_json(directory / FINGERPRINT, describe_run(data) | ({"start": start} if start else {}))
    save_tokenizer(data.spec, directory)


def check_run_data(
    directory: Path, data: Data, is_finished: bool, start: Mapping[str, Any] | None = None
) -> None:
    """Checks that a run that is there can go on with the data, or be reported as finished.

    A folder without checkpoints and without a record has nothing that depends on the data. Runs of
    version 0.1 have no fingerprint: only their tokenizer is compared, before they are trained on.

    Args:
        directory: Folder of the run.
        data: The data.
        is_finished: Whether the run has a record and needs no further training.
        start: What `describe_start` returns of the model.

    Raises:
        UserError: if the data, the model that the training begins with, or the version of Keras or
            TensorFlow, is another.
    """
    if not (directory / FINGERPRINT).is_file():
        if not is_finished and find_latest_checkpoint(directory)[0]:
            check_saved_tokenizer(data.spec, directory)
        return
    old = read_json(directory / FINGERPRINT)
    problem = _find_difference(old, describe_run(data)) or compare_starts(old.get("start"), start)
    if problem and (is_finished or find_latest_checkpoint(directory)[0]):
        raise UserError(
            f"{directory}: {problem}, choose another folder with --run_dir, or start over with "
            "--overwrite"
        )


def _find_difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Returns what differs between two contents of the file, and how to undo it; may be empty."""
    old_data, old_versions = (
        value if isinstance(value := old.get(name), dict) else {} for name in ("data", "versions")
    )
    if differences := compare_fingerprints(old_data, new["data"]):
        return f"its run was trained on other data ({'; '.join(differences)}): restore the data"
    changed = [
        f"{name} was {old_versions.get(name)}, is {version}"
        for name, version in new["versions"].items()
        if old_versions.get(name) != version
    ]
    if not changed:
        return ""
    return (
        f"its run was trained with other versions ({'; '.join(changed)}), which compute other "
        "numbers: install these versions"
    )


def describe_run(data: Data) -> dict[str, dict[str, Any]]:
    """Returns the fingerprint of the data, and the versions that train on it."""
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    return {"data": dict(data.fingerprint), "versions": versions}


def describe_start(entry: Entry, model: keras.Model) -> dict[str, Any]:
    """Returns what identifies a model before its training: its weights and a plug-in's code.

    The weights depend on the files of --weights, --preset and --vectors, which the flags only name.

    Args:
        entry: The entry of the model.
        model: The model, with the weights that it will be trained from.

    Returns:
        "weights": the name and the mean absolute value of each variable, where later elements
        count up to twice as much as the first; and "plugin": a hash of the code of the builder's
        module, without comments, or "" for a model of the package.
    """
    weights = []
    for variable in model.variables:
        values = np.abs(keras.ops.convert_to_numpy(variable).astype("float64").ravel())
        factors = np.linspace(1, 2, len(values))
        weights.append([variable.path, float(f"{values @ factors / factors.sum():.6g}")])
    return {"weights": weights, "plugin": "" if entry.is_builtin else _hash_code(entry)}


def _hash_code(entry: Entry) -> str:
    try:
        source = inspect.getsource(sys.modules[entry.builder.__module__])
    except (OSError, TypeError, KeyError):  # of a notebook, or compiled
        return ""
    return hashlib.sha256(ast.unparse(ast.parse(source)).encode()).hexdigest()[:16]


def compare_starts(old: Any, new: Mapping[str, Any] | None) -> str:
    """Returns how the model before its training differs, and how to undo it; "" if it does not.

    Args:
        old: What `describe_start` returned; of earlier versions anything else.
        new: What it returns now.
    """
    if not isinstance(old, dict) or not new:
        return ""
    if old.get("plugin") != new["plugin"]:
        return "the code of the plug-in is another: restore it"
    before, after = old.get("weights"), new["weights"]
    if not isinstance(before, list) or len(before) != len(after):
        return "the model had other layers: restore the files of --weights and --preset"
    changed = [
        name
        for (_, first), (name, value) in zip(before, after, strict=True)
        if not math.isclose(first, value, rel_tol=_TOLERANCE, abs_tol=1e-6)
    ]
    if not changed:
        return ""
    return (
        f"the training began with other weights ({shorten_names(changed, 3)}): restore the files "
        "of --weights, --preset or --vectors"
    )
