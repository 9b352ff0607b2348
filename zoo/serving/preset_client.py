"""Predictions of a pretrained image model with its own head, in this process."""

from typing import Any

import numpy as np

from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.exporting.validation import InputRefusedError
from zoo.pretrained.predictor import load_preset_classifier
from zoo.serving.client import Client

_IMAGE_FILES = "image_bytes"


class PresetClient(Client):
    """Client of a pretrained image model that is used as it is, without an export.

    Args:
        preset: As in the model `image_backbone`.
        preset_weights: As in the model `image_backbone`.

    Raises:
        UserError: if the preset cannot be loaded, or has no head.
    """

    def __init__(self, preset: str, preset_weights: str = ""):
        self.model = preset
        self._predictor = load_preset_classifier(preset, preset_weights)

    @property
    def notes(self) -> list[str]:
        """What was decided about the preset, such as the names of its classes."""
        return self._predictor.record["notes"]

    def predict(
        self, inputs: dict[str, Any], signature: str = _IMAGE_FILES
    ) -> dict[str, np.ndarray]:
        """Predicts image files, as the signature `image_bytes` of an export does.

        Raises:
            InputRefusedError: if a file cannot be read.
        """
        try:
            return self._predictor(inputs[_IMAGE_FILES])
        except UserError as error:
            raise InputRefusedError(str(error)) from error

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
