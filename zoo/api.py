"""The public functions: list, describe, build, load and export models."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import models  # noqa: F401, registers the built-in models
from zoo.errors import UserError
from zoo.pretrained.description import Description
from zoo.pretrained.store import describe_weights, list_weights, resolve_weights
from zoo.registry import find_entry, list_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    import keras
    import numpy as np

    from zoo.data.spec import Spec
    from zoo.explaining.explanation import Explanation
    from zoo.pretrained.pretrained_model import PretrainedModel
    from zoo.serving.client import Client


def list_models(pattern: str = "*", *, weights: bool = False) -> list[str]:
    """Lists the registered models. TensorFlow is not imported.

    Args:
        pattern: Shell pattern of the names, such as "*net*".
        weights: Lists the trained weights that ship for these models instead, as "model/weights".
            "lenet5/mnist" is loaded by `zoo.get("lenet5", weights="mnist")`.

    Returns:
        The names, sorted.

    Examples:
        >>> import zoo
        >>> zoo.list_models("*net*")
        ['lenet5', 'resnet20']
        >>> zoo.list_models("lenet5", weights=True)
        ['lenet5/mnist']
    """
    names = list_names(pattern)
    if not weights:
        return names
    return [f"{model}/{name}" for model in names for name in list_weights(model)]


def describe(name: str) -> Description:
    """Describes a model: source, default dataset, hyperparameters, parameters, shipped weights.

    Builds the model with its defaults to count the parameters.

    Args:
        name: Name of a registered model.

    Raises:
        UserError: if the name is unknown.

    Examples:
        >>> import zoo
        >>> zoo.describe("lenet5").parameters
        61706
    """
    entry = find_entry(name)
    _check_keras()
    return Description(
        name=name,
        summary=entry.summary,
        source=entry.source,
        dataset=entry.dataset,
        parameters=entry.builder().count_params(),
        hyperparameters=entry.hyperparameters,
        weights=describe_weights(name),
    )


def get(name: str, *, weights: str | Path | None = None, **kwargs: Any) -> "keras.Model":
    """Builds an uncompiled model that reads raw data and returns `{"logits": ...}`.

    Args:
        name: Name of a registered model.
        weights: Name of shipped weights (see `zoo.list_models(weights=True)`), or the path of a
            run, an export or a .keras file. A shipped name takes precedence over a file or folder
            of the same name in the current folder, for which write ./mnist. Layers whose name and
            shapes match get the weights; the others, such as a head for other classes, are newly
            initialised. The model inherits the vocabulary and text length of the weights and, if
            they are recorded, input_shape and num_classes.
        **kwargs: Arguments of the builder, checked against its signature; each has a default:
            input_shape (of one example, such as (28, 28, 1)), num_classes (None for a regression)
            and the model's hyperparameters.

    Returns:
        A `keras.Model` with one named input: `image` (uint8 pixels), `features` (float32) or
        `tokens` (int32 ids, padded with 0 at the end).

    Raises:
        UserError: (a ValueError) if a name is unknown or a value is invalid.

    Examples:
        >>> import zoo
        >>> model = zoo.get("cnn", input_shape=(32, 32, 3), num_classes=2, filters=(16, 32))
        >>> model.output["logits"].shape
        (None, 2)
    """
    entry = find_entry(name)
    values = entry.check(kwargs, entry.arguments)
    _check_keras()
    if weights is None:
        return entry.builder(**values)
    from zoo.exporting.loading import open_source
    from zoo.training.source import inherit_settings, read_sizes, replace_preset
    from zoo.training.transfer import load_matching_weights

    source = open_source(resolve_weights(name, weights))
    hparams = {name: value for name, value in values.items() if name in entry.hyperparameters}
    inherited, tokenizer = inherit_settings(source, entry, hparams)
    sizes = read_sizes(source, tokenizer, name)
    model = entry.builder(**replace_preset(inherited, source) | sizes | values)
    load_matching_weights(model, source)
    return model


def load(path: str | Path) -> "keras.Model":
    """Loads the Keras model of a run, an export, a .keras file or a folder of shipped weights.

    For a run this is the model that was evaluated and exported; for a folder of versions, the
    newest version. Files that contain code (Lambda layers) are rejected.

    Args:
        path: Path such as "runs/cnn-mnist", "saved_models/cnn", "saved_models/cnn/1" or
            "cnn.keras".

    Raises:
        UserError: if there is no model at the path, or Keras cannot load it.

    Examples:
        >>> import zoo
        >>> zoo.get("lenet5").save("lenet5.keras")
        >>> zoo.load("lenet5.keras").count_params()
        61706
    """
    _check_keras()
    from zoo.exporting.loading import load_model

    return load_model(path)


def load_pretrained(name: str, weights: str) -> "PretrainedModel":
    """Loads a trained model that predicts from raw input: pixels, image files or texts.

    Args:
        name: Name of a registered model.
        weights: Name of weights that ship for it (see `zoo.list_models(weights=True)`).

    Returns:
        A callable that maps a batch to a dict of arrays, with the outputs of the signature
        `serving_default` of an export.

    Raises:
        UserError: if the model or the weights are unknown, or the files are damaged.

    Examples:
        >>> import zoo
        >>> reviews = zoo.load_pretrained("fasttext", "imdb_reviews")
        >>> reviews(["a fine film", "a dull waste of time"])["label"].tolist()
        ['pos', 'neg']
    """
    _check_keras()
    from zoo.pretrained.pretrained_model import load_pretrained_model

    return load_pretrained_model(name, weights)


def export(
    model: "keras.Model",
    directory: str | Path,
    *,
    class_names: "Iterable[Any] | None" = None,
    spec: "Spec | None" = None,
    samples: "np.ndarray | None" = None,
    record: dict[str, Any] | None = None,
    change_contract: bool = False,
    explain_signature: bool = False,
) -> Path:
    """Exports a model as a new version in a folder, as a SavedModel that TF Serving loads.

    The SavedModel is loaded and compared with the model before it is renamed to its version.

    Args:
        model: A trained model from `zoo.get`.
        directory: Folder of the model's versions; its name is the model's name in TF Serving.
        class_names: Names of the classes, such as a list or an array; by default their numbers,
            from 0.
        spec: Description of the data, instead of `class_names`. If a text model's spec has no
            tokenizer, the export reads token ids (the input `tokens`).
        samples: Raw inputs for the comparison, of shape (n, *input_shape), or strings of shape
            (n,) or (n, 2) for texts; by default seeded noise.
        record: Further facts about the model, written to assets.extra/zoo.json.
        change_contract: Whether the task, the inputs and the classes may differ from those of the
            version before, which clients of the model expect.
        explain_signature: Whether there is a signature `explain`, with integrated gradients.

    Returns:
        The folder of the new version.

    Raises:
        UserError: if the folder cannot be written, the number of names is not the number of
            classes, the version before has another contract, or the predictions of the SavedModel
            differ from those of the model.

    Examples:
        >>> import zoo
        >>> model = zoo.get("lenet5", num_classes=2)
        >>> version = zoo.export(model, "saved_models/bright", class_names=("dark", "bright"))
        >>> version.name
        '1'
    """
    _check_keras()
    from zoo.exporting.saved_model import export_model

    facts: dict[str, Any] = {"class_names": class_names, "spec": spec, "samples": samples}
    facts |= {"change_contract": change_contract, "explain_signature": explain_signature}
    return export_model(model, directory, record=record, **facts)


def explain(
    model: "keras.Model | PretrainedModel | Client | str | Path",
    inputs: Any,
    *,
    method: str | None = None,
    class_name: str | None = None,
) -> "list[Explanation]":
    """Explains predictions: what in an input speaks for the prediction, and what against it.

    Args:
        model: A model from `zoo.get` or `zoo.load_pretrained`, the path of a run, an export or a
            .keras file, or a `zoo.serving.Client`.
        inputs: n images (uint8 arrays, or the bytes of image files), n texts, n pairs of texts, n
            vectors of features, or n rows of a table (a DataFrame, dicts, or a dict of columns). A
            model from `zoo.get` reads token ids in place of texts.
        method: "integrated_gradients", "grad_cam" (of convolutional networks) or "occlusion". By
            default the first that the model has; a client without the signature `explain` has
            only occlusion.
        class_name: The class to explain; None for the predicted one.

    Returns:
        An `Explanation` for each input.

    Raises:
        UserError: if an input does not fit the model, or the method or the class does not.

    Examples:
        >>> import zoo
        >>> reviews = zoo.load_pretrained("fasttext", "imdb_reviews")
        >>> (explanation,) = zoo.explain(reviews, ["a wonderful film"])
        >>> explanation.names[explanation.attributions.argmax()]
        'wonderful'
    """
    _check_keras()
    from zoo.explaining.explainer_choice import choose_method, explain_examples, open_explainer

    explainer = open_explainer(model)
    if class_name is not None:
        explainer.choose_class(class_name)
    examples = explainer.split_examples(inputs)
    return list(explain_examples(explainer, examples, choose_method(explainer, method)))


def _check_keras() -> None:
    """Checks that Keras runs on TensorFlow, and has the format of images that the models read.

    Raises:
        UserError: if it does not.
    """
    loaded = sys.modules.get("keras")
    backend = loaded.config.backend() if loaded else os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise UserError(
            f"Keras runs on {backend}, but the zoo needs TensorFlow: set KERAS_BACKEND=tensorflow "
            "in the environment, before Keras is imported"
        )
    import keras

    if (image_format := keras.config.image_data_format()) != "channels_last":
        raise UserError(
            f"Keras' image_data_format is {image_format}, but the models read images with the "
            "channels last: call keras.config.set_image_data_format('channels_last')"
        )
