"""Exports SavedModels: writes, verifies and publishes them as the next version."""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from zoo.data.spec import Spec, spec_from_model, spec_to_record
from zoo.data.tables.table_encoding import make_random_records
from zoo.data.texts.tokenizers import save_tokenizer
from zoo.distribution.keras_patches import disable_cudnn
from zoo.errors import UserError, attach_path
from zoo.exporting.contract import check_contract, write_contract
from zoo.exporting.explain_signature import EXPLAIN, make_explain_signature
from zoo.exporting.raw_inputs import make_raw_input_specs
from zoo.exporting.signatures import Signature, make_signatures
from zoo.exporting.verification import VerificationError, verify_export
from zoo.exporting.versions import find_next_number
from zoo.exporting.warmup import write_warmup
from zoo.schema import to_python
from zoo.storage.atomic import DRAFT_PREFIX, write_text
from zoo.storage.filenames import (
    CLASS_NAMES,
    EXPORT_RECORD,
    EXTRA_FOLDER,
    KERAS_MODEL,
    STATISTICS,
)
from zoo.storage.json_files import write_json


def export_model(
    model: keras.Model,
    directory: str | Path,
    *,
    class_names: Iterable[Any] | None = None,
    spec: Spec | None = None,
    samples: np.ndarray | None = None,
    record: dict[str, Any] | None = None,
    change_contract: bool = False,
    explain_signature: bool = False,
    statistics: dict[str, Any] | None = None,
) -> Path:
    """Writes `directory`/<next version>, which TF Serving loads as it is; see `zoo.export`.

    The signature `serving_default` takes raw input: `image` (uint8), `features` (float32), `text`,
    or `text_a` and `text_b` (strings). For classes it returns `logits` and `probabilities`
    (float32, batch x classes), `class_id` (int64, batch) and `label` (string, batch); for a
    regression, `prediction` (float32, batch). A BERT uses operations of TF Text: TF Serving has
    them built in, and in Python `import tensorflow_text` registers them. The statistics of
    `zoo.exporting.statistics` become a file for `zoo monitor`.

    Raises:
        UserError: if the folder cannot be written, the number of names is not the number of
            classes, the version before has another contract, or the predictions of the SavedModel
            differ from those of the model.
    """
    spec = spec or spec_from_model(model, class_names)
    samples = _make_samples(spec) if samples is None else np.asarray(samples)[:32]
    directory = Path(os.path.expanduser(directory))
    if not change_contract:
        check_contract(directory, spec)
    with _open_draft(directory) as draft:
        signatures, tables = make_signatures(model, spec)
        if explain_signature:
            signatures[EXPLAIN] = make_explain_signature(model, spec)
        write_saved_model(draft, model, signatures, tables)
        names = _complete_signatures(draft, spec)
        _write_extra_files(draft, model, spec, record or {}, statistics)
        write_warmup(draft, spec, samples, names)
        try:
            verify_export(draft, model)
        except VerificationError as error:
            raise UserError(
                f"the export to {directory} was not published: {error}: check the model for layers "
                "that draw random numbers or change their weights in a prediction; the weights of "
                "the run are kept"
            ) from error
        version = _publish_version(draft, directory)
    write_contract(directory, spec)
    return version


def _write_extra_files(
    draft: Path,
    model: keras.Model,
    spec: Spec,
    record: dict[str, Any],
    statistics: dict[str, Any] | None,
) -> None:
    """Writes the class names, the .keras file, the tokenizer, the record and the statistics."""
    extra = draft / EXTRA_FOLDER
    extra.mkdir()
    if statistics:
        write_json(extra / STATISTICS, statistics)
    if spec.class_names:
        (draft / "assets").mkdir(exist_ok=True)
        names = "".join(f"{name}\n" for name in spec.class_names)
        write_text(draft / CLASS_NAMES, names)
    with attach_path(extra / KERAS_MODEL):
        model.save(extra / KERAS_MODEL)
    save_tokenizer(spec, extra)
    content = json.dumps({"spec": spec_to_record(spec), **record}, indent=2, default=to_python)
    write_text(extra / EXPORT_RECORD, content + "\n")


def write_saved_model(
    directory: str | Path,
    model: keras.Model,
    signatures: dict[str, Signature],
    tables: Sequence[keras.layers.Layer] = (),
) -> None:
    """Writes a SavedModel with the model's weights and the signatures.

    `keras.export.ExportArchive` would trace and write each function twice.

    Args:
        directory: Folder of the SavedModel.
        model: The model that the signatures call.
        signatures: The signatures by name.
        tables: Layers whose lookup tables the signatures use.
    """
    root = tf.Module()
    root.weights = [variable.value for variable in model.variables]
    root.tables = list(tables)
    functions = {
        name: tf.function(function, input_signature=[specs], autograph=False)
        for name, (function, specs) in signatures.items()
    }
    # predictions need no gradients, which would be traced for each layer that defines its own
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    with disable_cudnn(model):
        tf.saved_model.save(root, str(directory), signatures=functions, options=options)


def _make_samples(spec: Spec) -> np.ndarray:
    """Returns 8 random raw inputs, always the same ones for a spec."""
    random = np.random.default_rng(0)
    if spec.tokenizer:
        columns = (8,) if spec.kind == "text" else (8, 2)
        words = random.choice(spec.tokenizer.vocabulary, (*columns, 12))
        return np.apply_along_axis(" ".join, -1, words).astype(object)
    if spec.is_text:
        return random.integers(1, 3, (8, 12), "int32")
    if spec.kind == "image":
        return random.integers(0, 256, (8, *spec.shape), "uint8")
    if spec.columns:
        return make_random_records(spec.columns, 8, random)
    return random.normal(size=(8, *spec.shape)).astype("float32")


def _complete_signatures(directory: Path, spec: Spec) -> list[str]:
    """Sets what `tf.saved_model.save` cannot: names of methods, and of inputs that are columns.

    TF Serving's Classify and Regress APIs expect a method name. The arguments of a `tf.function`
    cannot have the names of all columns.

    Returns:
        The names of all signatures.
    """
    file = directory / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    signatures = saved_model.meta_graphs[0].signature_def
    columns = {x.name: name for name, x in make_raw_input_specs(spec).items()}
    for name, signature in signatures.items():
        if name in ("classify", "regress"):
            signature.method_name = f"tensorflow/serving/{name}"
        infos = [(columns.get(key, key), info) for key, info in signature.inputs.items()]
        serialized = {key: info.SerializeToString() for key, info in infos}
        signature.inputs.clear()
        for key, info in serialized.items():
            signature.inputs[key].ParseFromString(info)
    file.write_bytes(saved_model.SerializeToString())
    return sorted(name for name in signatures if not name.startswith("__"))


@contextlib.contextmanager
def _open_draft(directory: Path) -> Iterator[Path]:
    """Context manager that creates a draft folder for a version.

    The draft is deleted at the end, unless it was renamed. Each export locks its draft. Drafts
    without a lock were left behind by a SIGKILL or a power failure, and are deleted as well.

    Raises:
        UserError: if the folder cannot be written.
    """
    with contextlib.ExitStack() as locks:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            # while the folder is locked, no other export can see a draft before it is locked
            with contextlib.ExitStack() as folder_locks:
                _lock_folder(directory, folder_locks, fcntl.LOCK_EX)
                for path in directory.glob(f"{DRAFT_PREFIX}*"):
                    if path.is_dir() and _lock_folder(
                        path, folder_locks, fcntl.LOCK_EX | fcntl.LOCK_NB
                    ):
                        shutil.rmtree(path, ignore_errors=True)
                # TF Serving ignores folders whose name is not a number
                draft = Path(tempfile.mkdtemp(prefix=DRAFT_PREFIX, dir=directory))
                _lock_folder(draft, locks, fcntl.LOCK_EX)
        except OSError as error:
            raise UserError(
                f"cannot export to {directory}: {error.strerror}: choose another folder"
            ) from error
        try:
            draft.chmod(0o755)
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _lock_folder(directory: Path, locks: contextlib.ExitStack, operation: int) -> bool:
    """Locks a folder until `locks` is closed.

    Args:
        directory: The folder.
        locks: Gets the lock.
        operation: Operation of `flock`.

    Returns:
        Whether it is locked: another process may have the lock, and some network file systems
        have none.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        locks.callback(os.close, descriptor)
        fcntl.flock(descriptor, operation)
    except OSError:
        return False
    return True


def _publish_version(draft: Path, directory: Path) -> Path:
    """Renames the draft to the next version, and returns its new path.

    If another export takes the number first, the draft gets the one after it.
    """
    number = find_next_number(directory)
    while True:
        try:
            # fails if the folder exists and is not empty
            os.rename(draft, directory / str(number))
            return directory / str(number)
        except OSError:
            if not (directory / str(number)).exists():
                raise
            number += 1
