"""SavedModels: exported, compared and published under the next version number, and loaded."""

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from zoo import faults, metadata, pretrained
from zoo.data import text
from zoo.data.spec import Spec, Tokenizer
from zoo.errors import UserError

# Keras finds the zoo's own layers by what is imported
from zoo.layers import encoder, noise  # noqa: F401
from zoo.run_folder import BEST, LAST, METRICS
from zoo.serving import check, examples
from zoo.serving.signatures import Signature, signatures

# beside the graph, in the folder of a SavedModel that TF Serving leaves alone
_EXTRA = "assets.extra"
_KERAS, _RECORD = "model.keras", "zoo.json"
_LABELS = "assets/labels.txt"
_DRAFT = ".draft-"
_EXPANSION = 100  # times the size of a .keras file that it may have unpacked; Keras packs none


def export(
    model: keras.Model,
    directory: str | Path,
    *,
    class_names: tuple[str, ...] | None = None,
    spec: Spec | None = None,
    samples: np.ndarray | None = None,
    record: dict[str, Any] | None = None,
) -> Path:
    """Writes `directory`/<next version>, which TF Serving loads as it is.

    The signature `serving_default` takes raw input (`image`, uint8; `features`, float32; `text`,
    or `text_a` and `text_b`, strings) and gives, for classes, `logits` and `probabilities`
    (float32, batch x classes), `class_id` (int64, batch) and `label` (string, batch); for a
    regression `prediction` (float32, batch). The version is loaded back and compared with the
    model, and only then gets its name. BERT's needs TF Text's operations: TF Serving has them, in
    Python `import tensorflow_text` does.

    Args:
        model: What `zoo.get` builds, trained.
        directory: Folder of the model's versions; its name is the model's name in TF Serving.
        class_names: Names of the classes; the numbers from 0 if neither they nor a spec are given.
        spec: What the data is, in place of `class_names`. Without its tokenizer a model of texts is
            served on token ids, the input `tokens`.
        samples: Raw inputs to compare with, (n, *shape), for texts strings of shape (n,) or (n, 2);
            seeded noise if not given.
        record: What is to be known of the model later; written to assets.extra/zoo.json.

    Returns:
        The folder of the new version.

    Raises:
        UserError: if the folder cannot be written, the names are not as many as the classes, or
            what was written does not predict the same as the model.
    """
    spec = spec or spec_of(model, class_names)
    samples = _noise(spec) if samples is None else samples[:32]
    directory = Path(directory)
    with _draft(directory) as draft:
        write_graph(draft, model, *signatures(model, spec))
        names = _name_methods(draft)
        extra = draft / _EXTRA
        extra.mkdir()
        if spec.class_names:
            (draft / "assets").mkdir(exist_ok=True)
            (draft / _LABELS).write_text("".join(f"{name}\n" for name in spec.class_names))
        with faults.naming(extra / _KERAS):
            model.save(extra / _KERAS)
        text.save(spec, extra)
        described = dataclasses.asdict(dataclasses.replace(spec, tokenizer=None))
        record = {"spec": described, **(record or {})}
        (extra / _RECORD).write_text(json.dumps(record, indent=2) + "\n")
        examples.write_warmup(draft, spec, samples, names)
        try:
            check.check(draft, model)
        except check.Failed as failed:
            raise UserError(
                f"the export to {directory} was not published: {failed}; an export answers as its "
                "model does: look for a layer that draws numbers or changes when it predicts. The "
                "run keeps its weights"
            ) from failed
        return _publish(draft, directory)


def load(path: str | Path) -> keras.Model:
    """Loads the Keras model of a run folder, an export (a version or all of them), or a file.

    It may also be a folder of weights that ship. Of a run it is the state that was scored and
    exported; of several versions the newest.

    Raises:
        UserError: if there is no model.
    """
    file = _find(path)
    try:
        with zipfile.ZipFile(file) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{file}: this is no .keras file: name another, or the folder of a run"
        ) from error
    if unpacked > _EXPANSION * file.stat().st_size:
        raise UserError(f"{file}: unpacked it would be {unpacked:,} bytes: such a file is no model")
    if file.name == pretrained.WEIGHTS:
        return pretrained.load(file.parent)
    try:
        model = keras.saving.load_model(file, compile=False, safe_mode=True)
        if not isinstance(model, keras.Model):
            raise TypeError(f"it is a {type(model).__name__}")
    # from a file of someone else's Keras raises whatever comes of it
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: this is no model that Keras can load: {reason}") from error
    return model


def tokenizer(path: str | Path) -> Tokenizer | None:
    """The tokenizer of the model that `load` loads; None if it is not for texts.

    Raises:
        UserError: if there is no model.
    """
    file = _find(path).with_name(text.FILE)
    return text.load(file) if file.is_file() else None


@contextlib.contextmanager
def without_cudnn(model: keras.Model) -> Iterator[None]:
    """Within, recurrent layers are traced as they are without a GPU.

    On a GPU they would become operations that only a GPU has.
    """
    # Keras has no public way to a layer's own layers
    layers = [x for x in model._flatten_layers() if getattr(x, "use_cudnn", False) == "auto"]
    for layer in layers:
        layer.use_cudnn = False
    try:
        yield
    finally:
        for layer in layers:
            layer.use_cudnn = "auto"


def write_graph(
    directory: str | Path,
    model: keras.Model,
    functions: dict[str, Signature],
    tables: Sequence[keras.layers.Layer] = (),
) -> None:
    """Writes a SavedModel of the model's weights and these signatures.

    Not by `keras.export.ExportArchive`, which traces each function twice, and writes it twice.

    Args:
        directory: Its folder.
        model: What the functions call.
        functions: Signatures by their names.
        tables: Layers whose lookup tables they use.
    """
    root = tf.Module()
    root.weights = [variable.value for variable in model.variables]
    root.tables = list(tables)
    made = {
        name: tf.function(function, input_signature=[specs], autograph=False)
        for name, (function, specs) in functions.items()
    }
    with without_cudnn(model):
        tf.saved_model.save(root, str(directory), signatures=made)


def predictor(model: keras.Model, output: str = "logits") -> Callable:
    """The model as one graph for any batch size: from {input name: x} to one of its outputs.

    Keras' own predict would split a batch over the replicas of a strategy.
    """
    (name, tensor), *_ = model.input.items()
    signature = {name: tf.TensorSpec(tensor.shape, tensor.dtype)}
    return tf.function(
        lambda inputs: model(inputs, training=False)[output],
        input_signature=[signature],
        autograph=False,
    )


def versions(directory: Path) -> list[Path]:
    """The published versions in a folder, oldest first."""
    if not directory.is_dir():
        return []
    found = (p for p in directory.iterdir() if re.fullmatch("[0-9]{1,18}", p.name))
    return sorted(found, key=lambda p: int(p.name))


def record(path: str | Path) -> dict[str, Any]:
    """What is known of the model that `load` loads; empty for a file that stands alone.

    Raises:
        UserError: if there is no model, or its record cannot be read.
    """
    file = _record_file(path)
    return metadata.read(file) if file.is_file() else {}


def version(path: str | Path) -> Path:
    """The export that the path names, or the newest of a model's folder.

    Raises:
        UserError: if there is none.
    """
    path = Path(os.path.expanduser(path))
    found = [path] if (path / "saved_model.pb").is_file() else versions(path)
    if not found:
        raise UserError(f"{path}: there is no export; expected one such as saved_models/cnn/1")
    return found[-1]


def spec(path: str | Path) -> Spec:
    """What the data of a run, an export or of shipped weights is.

    Raises:
        UserError: if its record is not there or cannot be read.
    """
    return Spec(**metadata.spec(_record_file(path)), tokenizer=tokenizer(path))


def _record_file(path: str | Path) -> Path:
    """Where a record of the model that `load` loads would be, if there is one."""
    found = _find(path)
    files = [found.with_name(name) for name in (METRICS, pretrained.RECORD, _RECORD)]
    return next((file for file in reversed(files) if file.is_file()), files[-1])


def spec_of(model: keras.Model, class_names: tuple[str, ...] | None) -> Spec:
    """What the data of a model of the zoo is, as far as the model tells.

    Texts and pairs are both "text"; classes without names get their numbers.

    Raises:
        UserError: if the model is not as `zoo.get` builds them, or the names are not as many as
            its classes.
    """
    inputs, outputs = getattr(model, "input", None), getattr(model, "output", None)
    if (
        not (isinstance(inputs, dict) and isinstance(outputs, dict))
        or not (len(inputs) == 1 and inputs.keys() <= {"image", "features", "tokens"})
        or list(outputs) != ["logits"]
    ):
        raise UserError(
            "cannot take this model: expected one input named 'image', 'features' or 'tokens' "
            "and the output {'logits': ...}, as zoo.get builds them"
        )
    ((name, tensor),) = inputs.items()
    kind = "text" if name == "tokens" else name
    regression = any(layer.name == "denormalization" for layer in model.layers)
    width = outputs["logits"].shape[-1]
    if class_names is None:
        class_names = None if regression else tuple(map(str, range(width)))
    elif regression or len(class_names) != width:
        raise UserError(
            f"class_names: {len(class_names)} names for {0 if regression else width} classes"
        )
    return Spec(kind, tuple(tensor.shape[1:]), class_names and tuple(class_names))


def _find(path: str | Path) -> Path:
    """The file of the model's weights; of those that ship, after a look at their checksums."""
    path = Path(os.path.expanduser(path))
    candidates = [path, path / LAST, path / BEST, path / _EXTRA / _KERAS, path / pretrained.WEIGHTS]
    candidates += [v / _EXTRA / _KERAS for v in reversed(versions(path))]
    fitting = (c for c in candidates if c.suffix == ".keras" or c.name == pretrained.WEIGHTS)
    file = next((c for c in fitting if c.is_file()), None)
    if file is None:
        raise UserError(
            f"{path}: there is no model; expected a run folder with {LAST}, an export such as "
            "saved_models/cnn or saved_models/cnn/1, or a .keras file"
        )
    if file.name == pretrained.WEIGHTS:
        pretrained.verify(file.parent)
    return file


def _noise(spec: Spec) -> np.ndarray:
    random = np.random.default_rng(0)
    if spec.tokenizer:
        columns = (8,) if spec.kind == "text" else (8, 2)
        words = random.choice(spec.tokenizer.vocabulary, (*columns, 12))
        return np.apply_along_axis(" ".join, -1, words).astype(object)
    if spec.is_text:
        return random.integers(1, 3, (8, 12), "int32")
    if spec.kind == "image":
        return random.integers(0, 256, (8, *spec.shape), "uint8")
    return random.normal(size=(8, *spec.shape)).astype("float32")


def _name_methods(directory: Path) -> list[str]:
    """Gives Classify and Regress signatures the method names that TF Serving may ask for.

    Returns:
        The names of all signatures.
    """
    file = directory / "saved_model.pb"
    graph = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    served = graph.meta_graphs[0].signature_def
    for name in ("classify", "regress"):
        if name in served:
            served[name].method_name = f"tensorflow/serving/{name}"
    file.write_bytes(graph.SerializeToString())
    return sorted(name for name in served if not name.startswith("__"))


@contextlib.contextmanager
def _draft(directory: Path) -> Iterator[Path]:
    """A folder to write a version in, removed unless it is renamed.

    An export has a lock on its draft. Those that nobody has a lock on were left by a SIGKILL or a
    power cut, and are removed.

    Raises:
        UserError: if the folder cannot be written.
    """
    with contextlib.ExitStack() as locks:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            # within its lock nobody sees a draft that is not yet locked
            with contextlib.ExitStack() as brief:
                _lock(directory, brief, fcntl.LOCK_EX)
                for path in directory.glob(f"{_DRAFT}*"):
                    if _lock(path, brief, fcntl.LOCK_EX | fcntl.LOCK_NB):
                        shutil.rmtree(path, ignore_errors=True)
                # TF Serving reads only folders whose name is a number
                draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=directory))
                _lock(draft, locks, fcntl.LOCK_EX)
        except OSError as error:
            raise UserError(
                f"cannot export to {directory}: {error.strerror}: take another folder"
            ) from error
        try:
            draft.chmod(0o755)
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _lock(directory: Path, locks: contextlib.ExitStack, how: int) -> bool:
    """Locks a folder until `locks` is closed; False if it cannot, as on some network disks."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
        locks.callback(os.close, descriptor)
        fcntl.flock(descriptor, how)
    except OSError:
        return False
    return True


def _publish(draft: Path, directory: Path) -> Path:
    """Renames the draft to the next version; of two at once each gets a number of its own."""
    number = max((int(v.name) for v in versions(directory)), default=0) + 1
    while True:
        try:
            # a rename onto a folder that holds something fails
            os.rename(draft, directory / str(number))
            return directory / str(number)
        except OSError:
            if not (directory / str(number)).exists():
                raise
            number += 1
