"""Trained models that predict from raw input."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.data.image_files import make_decodable
from zoo.data.spec import Spec
from zoo.data.tokenizers import make_preset_tokenizer
from zoo.errors import UserError, one_line
from zoo.exporting.loading import open_source
from zoo.exporting.signatures import make_signatures
from zoo.exporting.validation import InputRefusedError, check_array, decode_output
from zoo.models.image_backbone import load_classifier
from zoo.models.text_encoder import load_classifier as load_text_classifier
from zoo.models.text_folder import is_text_folder
from zoo.models.text_preset import read_vocabulary
from zoo.pretrained.store import find_weights
from zoo.registry import find_entry

_BATCH_SIZE = 256  # examples predicted at once, so that memory does not grow with their number


@dataclasses.dataclass(frozen=True)
class PretrainedModel:
    """A trained model that predicts from raw input.

    Attributes:
        model: The Keras model.
        spec: Spec of the data that it reads, with the names of the classes.
        record: Content of record.json: how the model was trained, and its scores.
        signatures: The signatures `serving_default` and `image_bytes` of its export, by name: the
            function, and the specs of its inputs by name.
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
        function, input_specs = self.signatures["image_bytes" if are_files else "serving_default"]
        if are_files:
            inputs = [make_decodable(content) for content in inputs]
        columns = _split_columns(inputs, list(input_specs))
        arrays = {
            name: check_array(name, columns[name], x.dtype.name, tuple(x.shape))
            for name, x in input_specs.items()
        }
        batches = []
        for start in range(0, len(inputs), _BATCH_SIZE):
            rows = slice(start, start + _BATCH_SIZE)
            try:
                batches.append(function({name: tf.constant(x[rows]) for name, x in arrays.items()}))
            except tf.errors.OpError as error:
                raise InputRefusedError(f"{self.model.name}: {one_line(error)}") from error
        outputs = {
            name: tf.concat([batch[name] for batch in batches], axis=0) for name in batches[0]
        }
        return {name: decode_output(x.numpy(), x.dtype.name) for name, x in outputs.items()}


def load_predictor(name: str, weights: str) -> PretrainedModel:
    """Loads a trained model that predicts from raw input; see `zoo.load_pretrained`.

    Args:
        name: Name of a registered model.
        weights: Name of weights that ship for it (see `zoo.list_models(weights=True)`).

    Raises:
        UserError: if the model or the weights are unknown, or the files are damaged.
    """
    folder = find_weights(find_entry(name).name, weights)
    source = open_source(folder)
    return _make_predictor(source.model, source.spec, source.record)


def load_preset_classifier(
    preset: str, preset_weights: str = "", *, reads_pairs: bool = False
) -> PretrainedModel:
    """Loads a pretrained model with its own head, which names ImageNet's classes, say.

    Args:
        preset: As in the model `image_backbone`, or a folder of a text classifier of Hugging Face.
        preset_weights: As in the model `image_backbone`.
        reads_pairs: Whether a text classifier reads pairs of texts.

    Raises:
        UserError: if it cannot be loaded or has no head.
    """
    if is_text_folder(preset):
        return _load_text_classifier(preset, reads_pairs)
    model, class_names, note = load_classifier(preset, preset_weights)
    spec = Spec("image", tuple(model.input["image"].shape[1:]), class_names, resize="crop")
    return _make_predictor(model, spec, {"notes": [note] if note else []})


def _load_text_classifier(preset: str, reads_pairs: bool) -> PretrainedModel:
    """Loads a text classifier of Hugging Face with its own head."""
    model, class_names, length = load_text_classifier(preset)
    vocabulary = read_vocabulary(preset)
    tokenizer = dataclasses.replace(make_preset_tokenizer(vocabulary), length=length)
    kind = "text_pair" if reads_pairs else "text"
    spec = Spec(kind, (length,), class_names, tokenizer=tokenizer)
    cut = f"texts of more than {length:,} tokens, the positions of the encoder, lose their end"
    return _make_predictor(model, spec, {"notes": [x for x in (vocabulary.note, cut) if x]})


def _make_predictor(model: keras.Model, spec: Spec, record: dict[str, Any]) -> PretrainedModel:
    signatures, _ = make_signatures(model, spec)
    graphs = {
        signature: (tf.function(function, input_signature=[specs], autograph=False), specs)
        for signature, (function, specs) in signatures.items()
        if signature in ("serving_default", "image_bytes")
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
