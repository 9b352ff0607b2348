"""Explains the predictions of a Keras model."""

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.attributions.baselines import (
    describe_baseline,
    describe_occlusion,
    make_baseline_inputs,
    make_typical_record,
)
from zoo.attributions.grad_cam import GradCam, find_feature_map, make_grad_cam
from zoo.attributions.integrated_gradients import IntegratedGradients
from zoo.attributions.occlusion import RawInputs
from zoo.attributions.tokens import join_tokens, read_tokens
from zoo.data.spec import Spec
from zoo.explaining.explainer import Explainer
from zoo.explaining.explanation import Explanation
from zoo.exporting.raw_inputs import make_input_encoder, make_raw_input_specs
from zoo.exporting.signatures import make_signatures
from zoo.exporting.validation import decode_output


class ModelExplainer(Explainer):
    """Explains the predictions of a Keras model, by any method that fits it.

    Args:
        model: A model of the zoo.
        spec: Spec of its data.
        note: As in `Explainer.note`.
        quick: Whether a few inputs are explained by few steps, rather than many by many: their
            integrated gradients may not add up.
    """

    def __init__(self, model: Any, spec: Spec, note: str = "", *, quick: bool = False):
        self.name, self.spec, self._model, self.note = model.name, spec, model, note
        specs = make_raw_input_specs(spec)
        self.takes = {name: (x.dtype.name, tuple(x.shape)) for name, x in specs.items()}
        function, _ = make_signatures(model, spec)[0]["serving_default"]
        self._call = tf.function(function, input_signature=[specs], autograph=False)
        self._encode, _ = make_input_encoder(spec)
        self._quick = quick
        has_map = spec.kind == "image" and find_feature_map(model) is not None
        self.methods = ("integrated_gradients", *["grad_cam"] * has_map, "occlusion")

    def describe_comparison(self, method: str) -> str:
        """As `Explainer.describe_comparison`."""
        if method == "grad_cam":
            return ""
        if method == "occlusion":
            return f"by {describe_occlusion(self.spec)}"
        return f"compared with {describe_baseline(self.spec)}"

    def predict(self, raw: RawInputs) -> dict[str, np.ndarray]:
        """As `Explainer.predict`."""
        outputs = self._call({name: tf.constant(x) for name, x in raw.items()})
        return {name: decode_output(x.numpy(), x.dtype.name) for name, x in outputs.items()}

    def _explain_inside(self, raw: RawInputs, method: str) -> Explanation:
        outputs = self.predict(raw)
        if method == "grad_cam":
            inputs = self._encode({name: tf.constant(x) for name, x in raw.items()})
            cam = self._grad_cam(inputs, self._find_class(outputs))
            return self._make_explanation(method, outputs, None, cam, (), raw)
        return self.explain_predictions(raw, outputs)[0]

    def explain_predictions(
        self, raw: RawInputs, outputs: dict[str, np.ndarray]
    ) -> list[Explanation]:
        """Explains the predictions of a batch by integrated gradients.

        Args:
            raw: The raw inputs of `serving_default` by name.
            outputs: Its outputs, as `predict` returns them.

        Raises:
            UserError: if the model has no integrated gradients.
        """
        tensors = {name: tf.constant(x) for name, x in raw.items()}
        inputs = self._encode(tensors)
        count = len(next(iter(raw.values())))
        rows = [{name: x[i : i + 1] for name, x in outputs.items()} for i in range(count)]
        class_ids = np.array([self._find_class(row) for row in rows])
        if self._quick:
            integrals = self._gradients.attribute_quickly(inputs, class_ids)
        else:
            integrals = [
                self._gradients.attribute({k: x[i : i + 1] for k, x in inputs.items()}, class_id)
                for i, class_id in enumerate(class_ids.tolist())
            ]
        tokens = raw.get("tokens", np.zeros((count, 0)))
        if self.spec.tokenizer:
            read = read_tokens(inputs["tokens"], list(tensors.values()), self.spec.tokenizer)
            tokens = decode_output(read.numpy(), "string")
        explanations = []
        for i, integral in enumerate(integrals):
            names = tuple(map(str, tokens[i]))
            attributions = integral.attributions
            if self.spec.tokenizer:
                names, attributions = join_tokens(names, attributions)
            explanation = self._make_explanation(
                "integrated_gradients",
                rows[i],
                integral.baseline_output,
                attributions,
                names,
                {name: x[i : i + 1] for name, x in raw.items()},
            )
            explanations.append(explanation)
        return explanations

    @functools.cached_property
    def _gradients(self) -> IntegratedGradients:
        return IntegratedGradients(self._model, self.spec, traced=not self._quick)

    @functools.cached_property
    def _grad_cam(self) -> GradCam:
        return make_grad_cam(self._model)

    def _find_typical_row(self) -> RawInputs:
        if not self.spec.columns:
            return make_baseline_inputs(self._model, self.spec) or {}
        record = make_typical_record(self.spec.columns)
        return {column.name: record[column.name] for column in self.spec.columns}
