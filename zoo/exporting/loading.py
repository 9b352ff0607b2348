"""Loads models by path, from runs, exports, .keras files and shipped weights."""

import functools
import json
import os
import shlex
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo import layers  # noqa: F401, Keras finds the zoo's classes by name
from zoo.data.spec import Spec, Tokenizer, spec_from_record
from zoo.data.texts.tokenizers import read_tokenizer
from zoo.errors import UserError, one_line, shorten_names
from zoo.exporting.versions import index_versions
from zoo.layers.weights import set_layer_weights, weighted_layers
from zoo.registry import find_entry
from zoo.storage.checksums import find_changed_files
from zoo.storage.filenames import (
    BEST,
    EXPORT_RECORD,
    EXTRA_FOLDER,
    KERAS_MODEL,
    LAST,
    METRICS,
    RECORD,
    TOKENIZER,
    WEIGHTS,
)
from zoo.storage.json_files import read_json
from zoo.training.building import build_model
from zoo.training.model_checks import explain_load_error, find_custom_objects
from zoo.training.run_folder import describe_unfinished_run
from zoo.training.source import Source

_MAX_EXPANSION = 100  # unpacked size of a .keras file by its own size; Keras does not compress


def load_model(path: str | Path) -> keras.Model:
    """Loads the Keras model of a run, an export, a .keras file or a folder of shipped weights.

    For a run this is the model that was scored and exported; for a folder of versions, the newest
    version. Files that contain code (Lambda layers) are rejected.

    Raises:
        UserError: if there is no model at the path, or Keras cannot load it.
    """
    return open_source(path).model


def open_source(path: str | Path) -> Source:
    """Opens the model that `load_model` loads, with its record and its tokenizer.

    Raises:
        UserError: if there is no model at the path, or one of its files cannot be read.
    """
    path = Path(os.path.expanduser(path))
    file = _find_weights_file(path)
    record, tokenizer = _read_record(file), _read_tokenizer(file)
    load = functools.partial(_load_keras_file, file, record)
    if file.name == WEIGHTS:
        load = functools.partial(_load_shipped_weights, file.parent, record, tokenizer)
    return Source(path, load, record, tokenizer, file)


def load_spec(path: str | Path) -> Spec:
    """Returns the spec of a run, an export or shipped weights, without loading the model.

    Raises:
        UserError: if there is no model at the path, or its record has no spec.
        OSError: if it has no record.
    """
    file = _find_weights_file(Path(os.path.expanduser(path)))
    record_file = _find_record_file(file)
    return spec_from_record(read_json(record_file), record_file, _read_tokenizer(file))


def _find_weights_file(path: Path) -> Path:
    """Returns the file that holds the weights of the model at a path.

    Raises:
        UserError: if there is no such file, or the files of shipped weights are damaged.
    """
    paths = [path, path / LAST, path / BEST, path / EXTRA_FOLDER / KERAS_MODEL, path / WEIGHTS]
    newest = [*index_versions(path).values()][-1:]
    paths += [version / EXTRA_FOLDER / KERAS_MODEL for version in newest]
    candidates = (x for x in paths if x.suffix == ".keras" or x.name == WEIGHTS)
    file = next((x for x in candidates if x.is_file()), None)
    if file is None:
        raise UserError(
            describe_unfinished_run(path)
            or f"{path}: there is no model; expected a run folder with {LAST}, an export such as "
            "saved_models/cnn or saved_models/cnn/1, or a .keras file"
        )
    if file.name == WEIGHTS:
        _check_checksums(file.parent)
    return file


def _find_record_file(weights_file: Path) -> Path:
    """Returns the path of the record next to a file of weights; of zoo.json if there is none."""
    files = [weights_file.with_name(name) for name in (EXPORT_RECORD, RECORD, METRICS)]
    return next((file for file in files if file.is_file()), files[0])


def _read_record(weights_file: Path) -> dict[str, Any]:
    """Returns the record next to a file of weights; empty if there is none."""
    file = _find_record_file(weights_file)
    return read_json(file) if file.is_file() else {}


def _read_tokenizer(weights_file: Path) -> Tokenizer | None:
    file = weights_file.with_name(TOKENIZER)
    return read_tokenizer(file) if file.is_file() else None


def _load_keras_file(file: Path, record: dict[str, Any]) -> keras.Model:
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > _MAX_EXPANSION * file.stat().st_size:
                raise UserError(
                    f"{file}: it unpacks to {unpacked:,} bytes, more than {_MAX_EXPANSION} times "
                    "its size: choose a file that Keras wrote"
                )
            config, metadata = _read_member(archive, "config"), _read_member(archive, "metadata")
    except UserError:
        raise
    except (ValueError, NotImplementedError, RecursionError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{file}: not a .keras file: choose another file or the folder of a run"
        ) from error
    try:
        classes = find_custom_objects(config)
        model = keras.saving.load_model(file, classes, compile=False, safe_mode=True)
        if not isinstance(model, keras.Model):
            raise TypeError(f"it is a {type(model).__name__}")
    # Keras raises exceptions of many types for a file that it did not write
    except Exception as error:
        raise UserError(
            f"{file}: Keras cannot load this model: {explain_load_error(error)}"
            + _advise_on_loading(metadata, record)
        ) from error
    return model


def _read_member(archive: zipfile.ZipFile, name: str) -> Any:
    """Returns the content of a JSON file in a .keras file; {} if there is none."""
    member = f"{name}.json"
    return json.loads(archive.read(member)) if member in archive.namelist() else {}


def _advise_on_loading(metadata: Any, record: dict[str, Any]) -> str:
    """Returns what may help to load a .keras file: its version of Keras, and its plug-in."""
    advice = ""
    written = metadata.get("keras_version") if isinstance(metadata, dict) else None
    if isinstance(written, str) and written != keras.__version__:
        advice += (
            f": it was written by Keras {written:.20}, and this is Keras {keras.__version__}: "
            "install the version that wrote it"
        )
    if plugin := record.get("plugin"):
        flag = shlex.quote(f"--plugin={plugin!s:.300}")
        advice += f": pass {flag}, with which it was trained (in Python: import it)"
    return advice


def _load_shipped_weights(
    folder: Path, record: dict[str, Any], tokenizer: Tokenizer | None
) -> keras.Model:
    """Builds the model that the record describes, and sets its weights.

    Raises:
        UserError: if the record or the weights do not fit a model of this version of the package.
    """
    try:
        entry = find_entry(record["model"])
        hparams = entry.check(record["hyperparameters"], entry.hyperparameters)
        model = build_model(entry, spec_from_record(record, folder, tokenizer), hparams)
        with np.load(folder / WEIGHTS, allow_pickle=False) as arrays:
            for layer in weighted_layers(model):
                set_layer_weights(layer, [arrays[w.path] for w in layer.weights])
    # the checksums of a folder from elsewhere can match too, so its files may hold anything
    except Exception as error:
        raise UserError(
            f"{folder}: its weights do not fit a model of this package: {one_line(error)}: "
            "reinstall the package, or publish the run again"
        ) from error
    return model


def _check_checksums(folder: Path) -> None:
    optional = [TOKENIZER] if (folder / TOKENIZER).is_file() else []
    if damaged := find_changed_files(folder, [WEIGHTS, RECORD, *optional]):
        raise UserError(
            f"{folder}: the weights are damaged (checksum mismatch: {shorten_names(damaged)}): "
            "reinstall the package, or restore the folder with `git checkout`"
        )
