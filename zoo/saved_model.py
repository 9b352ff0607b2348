"""SavedModels: exported, compared and published under the next version number, and loaded."""

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.training import BEST, LAST

# beside the graph, in the folder of a SavedModel that TF Serving leaves alone
_EXTRA = "assets.extra"
_KERAS, _RECORD = "model.keras", "zoo.json"
_TOLERANCE = 1e-5


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

    The signature `serving_default` takes the model's own input (`image`, uint8, or `features`,
    float32) and gives, for classes, `logits` and `probabilities` (float32, batch x classes),
    `class_id` (int64, batch) and `label` (string, batch); for a regression `prediction` (float32,
    batch). The version is loaded back and compared with the model, and only then gets its name.

    Args:
        model: What `zoo.get` builds, trained.
        directory: Folder of the model's versions; its name is the model's name in TF Serving.
        class_names: Names of the classes; the numbers from 0 if neither they nor a spec are given.
        spec: What the data is, in place of `class_names`.
        samples: Inputs to compare with, (n, *shape); seeded noise if not given.
        record: What is to be known of the model later; written to assets.extra/zoo.json.

    Returns:
        The folder of the new version.

    Raises:
        UserError: if the folder cannot be written, or the names are not as many as the classes.
        RuntimeError: if what was written does not predict the same as the model.
    """
    spec = spec or _spec_of(model, class_names)
    samples = _noise(spec) if samples is None else samples[:32]
    directory = Path(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # TF Serving reads only folders whose name is a number
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=directory))
    except OSError as error:
        raise UserError(
            f"cannot export to {directory}: {error.strerror}: take another folder"
        ) from error
    try:
        draft.chmod(0o755)
        _archive(model, spec).write_out(str(draft), verbose=False)
        extra = draft / _EXTRA
        extra.mkdir()
        model.save(extra / _KERAS)
        record = {"spec": dataclasses.asdict(spec), **(record or {})}
        (extra / _RECORD).write_text(json.dumps(record, indent=2) + "\n")
        _compare(draft, model, spec, samples)
        return _publish(draft, directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def load(path: str | Path) -> keras.Model:
    """Loads the Keras model of a run folder, an export (a version or all of them), or a file.

    Of a run it is the state that was scored and exported; of several versions the newest.

    Raises:
        UserError: if there is no model.
    """
    path = Path(path)
    candidates = [path, path / LAST, path / BEST, path / _EXTRA / _KERAS]
    candidates += [v / _EXTRA / _KERAS for v in reversed(versions(path))]
    file = next((c for c in candidates if c.suffix == ".keras" and c.is_file()), None)
    if file is None:
        raise UserError(
            f"{path}: there is no model; expected a run folder with {LAST}, an export such as "
            "saved_models/cnn or saved_models/cnn/1, or a .keras file"
        )
    return keras.saving.load_model(file, compile=False, safe_mode=True)


def predictor(model: keras.Model) -> Callable:
    """The model as one graph for any batch size: from {input name: x} to logits.

    Keras' own predict would split a batch over the replicas of a strategy.
    """
    (name, tensor), *_ = model.input.items()
    signature = {name: tf.TensorSpec(tensor.shape, tensor.dtype)}
    return tf.function(
        lambda inputs: model(inputs, training=False)["logits"],
        input_signature=[signature],
        autograph=False,
    )


def versions(directory: Path) -> list[Path]:
    """The published versions in a folder, oldest first."""
    if not directory.is_dir():
        return []
    return sorted((p for p in directory.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name))


def _spec_of(model: keras.Model, class_names: tuple[str, ...] | None) -> Spec:
    inputs, outputs = getattr(model, "input", None), getattr(model, "output", None)
    if (
        not (isinstance(inputs, dict) and isinstance(outputs, dict))
        or not (len(inputs) == 1 and inputs.keys() <= {"image", "features"})
        or list(outputs) != ["logits"]
    ):
        raise UserError(
            "cannot export this model: expected one input named 'image' or 'features' and the "
            "output {'logits': ...}, as zoo.get builds them"
        )
    ((kind, tensor),) = inputs.items()
    regression = any(layer.name == "denormalization" for layer in model.layers)
    width = outputs["logits"].shape[-1]
    if class_names is None:
        class_names = None if regression else tuple(map(str, range(width)))
    elif regression or len(class_names) != width:
        raise UserError(
            f"class_names: {len(class_names)} names for {0 if regression else width} classes"
        )
    return Spec(kind, tuple(tensor.shape[1:]), class_names and tuple(class_names))


def _noise(spec: Spec) -> np.ndarray:
    random = np.random.default_rng(0)
    if spec.kind == "image":
        return random.integers(0, 256, (8, *spec.shape), "uint8")
    return random.normal(size=(8, *spec.shape)).astype("float32")


def _archive(model: keras.Model, spec: Spec) -> keras.export.ExportArchive:
    """An archive of the model's weights and its `serving_default` signature."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        _predict_function(model, spec),
        input_signature=[
            {spec.input_name: tf.TensorSpec((None, *spec.shape), spec.dtype, spec.input_name)}
        ],
    )
    return archive


def _predict_function(model: keras.Model, spec: Spec) -> Callable:
    def classify(inputs):
        logits = model(inputs, training=False)["logits"]
        class_id = tf.argmax(logits, axis=-1)
        return {
            "logits": logits,
            "probabilities": tf.nn.softmax(logits),
            "class_id": class_id,
            "label": tf.gather(tf.constant(spec.class_names), class_id),
        }

    def regress(inputs):
        return {"prediction": model(inputs, training=False)["logits"][:, 0]}

    return regress if spec.class_names is None else classify


def _compare(version: Path, model: keras.Model, spec: Spec, samples: np.ndarray) -> None:
    """Calls the signature as TF Serving does, in batches of 1 and of all, against the model."""
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    name = "prediction" if spec.class_names is None else "logits"
    predict = predictor(model)
    for batch in (samples[:1], samples):
        expected = predict({spec.input_name: batch}).numpy()
        given = served(**{spec.input_name: tf.constant(batch)})[name].numpy()
        scale = max(1.0, float(np.abs(expected).max()))
        difference = float(np.abs(given.reshape(expected.shape) - expected).max())
        if not difference <= _TOLERANCE * scale:
            raise RuntimeError(
                f"the export to {version.parent} was not published: its {name} differ from the "
                f"model's by {difference}"
            )


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
