"""Predictions of a Keras model in this process, without an export."""

from typing import Any

import numpy as np

from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.exporting.tensors import make_example
from zoo.exporting.validation import InputRefusedError, check_feature
from zoo.pretrained.pretrained_model import PretrainedModel
from zoo.serving.client import Client, convert_image_file


class ModelClient(Client):
    """Client of a model that is used as it is, such as a preset with its own head.

    Args:
        name: Name of the model in messages.
        predictor: The model.
    """

    def __init__(self, name: str, predictor: PretrainedModel):
        self.model = name
        self._predictor = predictor

    @property
    def record(self) -> dict[str, Any]:
        """How the model was trained; of a preset, `notes` on what was decided about it."""
        return self._predictor.record

    def predict(
        self, inputs: dict[str, Any], signature: str = "serving_default"
    ) -> dict[str, np.ndarray]:
        """As `Client.predict`."""
        try:
            return self._predictor.call_signature(signature, inputs)
        except UserError as error:
            raise InputRefusedError(str(error)) from error

    def classify(self, examples: list[dict[str, Any]]) -> list[list[tuple[str, float]]]:
        """As `Client.classify`."""
        outputs = self.predict({"inputs": _serialize_examples(examples)}, "classify")
        rows = zip(outputs["classes"], outputs["scores"].tolist(), strict=True)
        return [list(zip(*row, strict=True)) for row in rows]

    def regress(self, examples: list[dict[str, Any]]) -> np.ndarray:
        """As `Client.regress`."""
        return self.predict({"inputs": _serialize_examples(examples)}, "regress")["outputs"]

    def spec(self) -> Spec:
        """As `Client.spec`."""
        return self._predictor.spec


def _serialize_examples(examples: list[dict[str, Any]]) -> np.ndarray:
    """Returns the examples as tf.Examples; image files as those that the graph decodes."""
    checked = (
        {name: convert_image_file(name, check_feature(name, x)) for name, x in example.items()}
        for example in examples
    )
    return np.array([make_example(x).SerializeToString() for x in checked], object)
