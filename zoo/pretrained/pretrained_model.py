"""Trained models that predict from raw input."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.data.images.image_files import make_decodable
from zoo.data.spec import Spec
from zoo.errors import UserError, one_line
from zoo.exporting.loading import open_source
from zoo.exporting.signatures import make_signatures
from zoo.exporting.validation import InputRefusedError, check_inputs, decode_output
from zoo.pretrained.store import find_weights
from zoo.registry import find_entry
from zoo.schema import suggest_closest

_BATCH_SIZE = 256  # examples predicted at once, so that memory does not grow with their number


@dataclasses.dataclass(frozen=True)
class PretrainedModel:
    """A trained model that predicts from raw input.

    Attributes:
        model: The Keras model.
        spec: Spec of the data that it reads, with the names of the classes.
        record: Content of record.json: how the model was trained, and its scores.
        signatures: The signatures of its export, by name: the function, which is traced at its
            first call, and the specs of its inputs by name.
    """

    model: keras.Model
    spec: Spec
    record: dict[str, Any]
    signatures: dict[str, tuple[Callable, dict[str, Any]]]

    def __call__(self, inputs: np.ndarray | Sequence) -> dict[str, np.ndarray]:
        """Predicts a batch, as the signature `serving_default` of an export does.

        Args:
            inputs: n examples: uint8 pixels of shape (n, rows, columns, channels), the bytes of n
                image files of any format and size, n texts, or n pairs of texts.

        Returns:
            `logits` and `probabilities`, float32 (n, classes); `class_id`, int64 (n,); and `label`,
            an object array (n,) of str.

        Raises:
            UserError: if the inputs do not fit the model.
        """
        are_bytes = len(inputs) and all(isinstance(x, bytes) for x in inputs)
        are_files = "image_bytes" in self.signatures and are_bytes
        name = "image_bytes" if are_files else "serving_default"
        return self.call_signature(name, _split_columns(inputs, list(self.signatures[name][1])))

    def call_signature(self, name: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """Calls a signature as that of an export.

        Args:
            name: Name of the signature.
            inputs: Its inputs by name, the batch first.

        Returns:
            Its outputs by name; strings are object arrays of str.

        Raises:
            UserError: if the model has no such signature, or the inputs do not fit it.
        """
        if name not in self.signatures:
            closest = suggest_closest(name, self.signatures)
            raise UserError(
                f"{self.model.name} has no signature {name!r}.{closest} It has: "
                f"{', '.join(self.signatures)}"
            )
        function, input_specs = self.signatures[name]
        if name == "image_bytes":
            inputs = {name: [make_decodable(content) for content in inputs[name]]}
        takes = {key: (x.dtype.name, tuple(x.shape)) for key, x in input_specs.items()}
        arrays = check_inputs(inputs, takes, f"{self.model.name}: {name}")
        batches = []
        for start in range(0, len(next(iter(arrays.values()))), _BATCH_SIZE):
            rows = slice(start, start + _BATCH_SIZE)
            try:
                batches.append(function({key: tf.constant(x[rows]) for key, x in arrays.items()}))
            except tf.errors.OpError as error:
                raise InputRefusedError(f"{self.model.name}: {one_line(error)}") from error
        outputs = {key: tf.concat([batch[key] for batch in batches], axis=0) for key in batches[0]}
        return {key: decode_output(x.numpy(), x.dtype.name) for key, x in outputs.items()}


def load_pretrained_model(name: str, weights: str) -> PretrainedModel:
    """Loads a trained model that predicts from raw input; see `zoo.load_pretrained`.

    Args:
        name: Name of a registered model.
        weights: Name of weights that ship for it (see `zoo.list_models(weights=True)`).

    Raises:
        UserError: if the model or the weights are unknown, or the files are damaged.
    """
    folder = find_weights(find_entry(name).name, weights)
    source = open_source(folder)
    return make_pretrained_model(source.model, source.spec, source.record)


def make_pretrained_model(
    model: keras.Model, spec: Spec, record: dict[str, Any]
) -> PretrainedModel:
    """Returns a Keras model with the signatures of its export.

    Args:
        model: The model.
        spec: Spec of the data that it reads.
        record: How it was trained.
    """
    signatures, _ = make_signatures(model, spec)
    graphs = {
        name: (tf.function(function, input_signature=[specs], autograph=False), specs)
        for name, (function, specs) in signatures.items()
    }
    return PretrainedModel(model, spec, record, graphs)


def _split_columns(inputs: np.ndarray | Sequence, names: list[str]) -> dict[str, Any]:
    """Returns the inputs by name; pairs of texts become a column of first and one of second texts.

    Raises:
        UserError: if there are two names, but the inputs are not pairs.
    """
    if len(names) == 1:
        return {names[0]: inputs}
    if not len(inputs) or any(isinstance(pair, str) or len(pair) != 2 for pair in inputs):
        raise UserError("expected pairs of texts, such as [('it rains', 'rain falls')]")
    return dict(zip(names, zip(*inputs, strict=True), strict=True))
