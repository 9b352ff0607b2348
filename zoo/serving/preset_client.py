"""Predictions of a pretrained model with its own head, in this process."""

from typing import Any

import numpy as np

from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.exporting.validation import InputRefusedError
from zoo.pretrained.predictor import load_preset_classifier
from zoo.serving.client import Client

_IMAGE_FILES = "image_bytes"


class PresetClient(Client):
    """Client of a pretrained model that is used as it is, without an export.

    Args:
        preset: As in the model `image_backbone`, or a folder of a text classifier of Hugging Face.
        preset_weights: As in the model `image_backbone`.
        reads_pairs: Whether a text classifier reads pairs of texts.

    Raises:
        UserError: if the preset cannot be loaded, or has no head.
    """

    def __init__(self, preset: str, preset_weights: str = "", *, reads_pairs: bool = False):
        self.model = preset
        self._predictor = load_preset_classifier(preset, preset_weights, reads_pairs=reads_pairs)

    @property
    def notes(self) -> list[str]:
        """What was decided about the preset, such as the names of its classes."""
        return self._predictor.record["notes"]

    def predict(
        self, inputs: dict[str, Any], signature: str = _IMAGE_FILES
    ) -> dict[str, np.ndarray]:
        """Predicts image files or texts, as the signature of an export of that name does.

        Args:
            inputs: Those of the signature by name.
            signature: `image_bytes`, `serving_default` or `top_k`.

        Raises:
            InputRefusedError: if a file cannot be read.
        """
        columns = [values for name, values in inputs.items() if name != "k"]
        examples = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
        try:
            outputs = self._predictor(examples)
        except UserError as error:
            raise InputRefusedError(str(error)) from error
        return outputs if signature != "top_k" else self._rank_classes(outputs, inputs["k"][0])

    def _rank_classes(self, outputs: dict[str, np.ndarray], k: int) -> dict[str, np.ndarray]:
        """Returns the labels and the probabilities of the k most probable classes."""
        order = np.argsort(-outputs["probabilities"], axis=1, kind="stable")[:, :k]
        return {
            "labels": np.array(self.spec().class_names, object)[order],
            "probabilities": np.take_along_axis(outputs["probabilities"], order, axis=1),
        }

    def classify(self, examples: list[dict[str, Any]]) -> list[list[tuple[str, float]]]:
        """As `Client.classify`."""
        outputs = self.predict({_IMAGE_FILES: [example[_IMAGE_FILES] for example in examples]})
        names = self.spec().class_names or ()
        return [
            [(names[number], float(row[number])) for number in np.argsort(-row, kind="stable")]
            for row in outputs["probabilities"]
        ]

    def spec(self) -> Spec:
        """As `Client.spec`."""
        return self._predictor.spec
