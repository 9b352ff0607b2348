"""`Explainer`: what explains predictions, and occlusion, which needs no more than predictions."""

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from zoo.attributions.occlusion import RawInputs, occlude_image, occlude_row, occlude_texts
from zoo.data.images.decoding import decode_image
from zoo.data.images.image_files import make_decodable
from zoo.data.spec import Spec
from zoo.errors import UserError, one_line, shorten_names
from zoo.explaining.explanation import Explanation
from zoo.exporting.validation import InputRefusedError, check_array, decode_output
from zoo.schema import suggest_closest

Example = dict[str, Any]  # a raw input of one example by name, or its features by name


class Explainer(abc.ABC):
    """Explains the predictions of one model.

    Attributes:
        name: Name of the model.
        spec: Spec of its data.
        methods: The methods that it can be explained by, the best one first.
        note: What the user has to know of how the model is explained; may be empty.
        takes: Dtype and shape of the raw inputs by name.
    """

    name: str
    spec: Spec
    methods: tuple[str, ...]
    note: str = ""
    _class_id: int | None = None  # of the class that is explained instead of the predicted one
    takes: dict[str, tuple[str, tuple[int | None, ...]]]

    def explain(self, example: Example, method: str) -> Explanation:
        """Explains the prediction for one example.

        Args:
            example: A raw input of `serving_default` by name, without the batch; the content of an
                image file as "image_bytes"; or the features by name.
            method: One of `methods`.

        Raises:
            InputRefusedError: if the example does not fit the model.
            UserError: if the model has nothing that the method needs.
        """
        raw = self.read_example(example)
        if method != "occlusion":
            return self._explain_inside(raw, method)
        outputs = self.predict(raw)
        names, attributions = self._occlude(raw, self._find_class(outputs))
        return self._make_explanation(method, outputs, None, attributions, names, raw)

    def split_examples(self, inputs: Any) -> list[Example]:
        """Returns the examples of a batch as `explain` takes them.

        Args:
            inputs: n images (uint8 arrays, or the bytes of files), n texts, n pairs of texts, n
                arrays of token ids, n vectors of features, or n rows of a table: a DataFrame,
                dicts, or a dict of columns.

        Raises:
            InputRefusedError: if they are no batch of this kind.
        """
        if isinstance(inputs, str | bytes) or not hasattr(inputs, "__len__"):
            raise InputRefusedError(f"{one_line(repr(inputs), 60)}: expected a list of inputs")
        if self.spec.columns or isinstance(inputs, pd.DataFrame | dict):
            try:
                return pd.DataFrame(inputs).to_dict("records")
            except ValueError as error:
                raise InputRefusedError(f"expected rows of a table: {one_line(error)}") from error
        names = list(self.takes)
        if len(names) == 1:
            are_files = names == ["image"] and all(isinstance(x, bytes) for x in inputs)
            return [{"image_bytes" if are_files else names[0]: x} for x in inputs]
        if any(isinstance(pair, str) or len(pair) != len(names) for pair in inputs):
            raise InputRefusedError("expected pairs of texts, such as [('it rains', 'rain falls')]")
        return [dict(zip(names, pair, strict=True)) for pair in inputs]

    def read_example(self, example: Example) -> RawInputs:
        """Returns the raw inputs of `serving_default` for an example, a batch of one."""
        if "image_bytes" in example:
            try:
                content = tf.constant(make_decodable(example["image_bytes"]))
                pixels = decode_image(content, self.spec.shape, self.spec.resize)
            except (UserError, tf.errors.OpError) as error:
                raise InputRefusedError(f"image_bytes: {one_line(error)}") from error
            example = {"image": pixels.numpy()}
        elif self.takes.keys() == {"features"} and "features" not in example:
            names = self.spec.feature_names or tuple(example)
            example = {"features": [example.get(name) for name in names]}
        if missing := self.takes.keys() - example.keys():
            name = min(missing)
            raise InputRefusedError(f"no {name!r}.{suggest_closest(name, example)}")
        if self.spec.columns:
            kinds = {name: dtype for name, (dtype, _) in self.takes.items()}
            example = {name: _to_input(example[name], kind) for name, kind in kinds.items()}
        return {
            name: check_array(name, [example[name]], dtype, shape)
            for name, (dtype, shape) in self.takes.items()
        }

    def choose_class(self, name: str) -> None:
        """Chooses the class that is explained, whichever is predicted.

        Raises:
            UserError: if the model has no such class.
        """
        names = self.spec.class_names
        if names is None:
            raise UserError(f"class={name}: {self.name} predicts a number: omit the class")
        if name not in names:
            raise UserError(
                f"class={name}: {self.name} has no such class.{suggest_closest(name, names)} It "
                f"has: {shorten_names(names)}"
            )
        self._class_id = names.index(name)

    @abc.abstractmethod
    def describe_comparison(self, method: str) -> str:
        """Returns what a method compares inputs with, in words; "" for nothing."""

    @abc.abstractmethod
    def predict(self, raw: RawInputs) -> dict[str, np.ndarray]:
        """Returns the outputs of `serving_default` for a batch of raw inputs by name."""

    @abc.abstractmethod
    def _explain_inside(self, raw: RawInputs, method: str) -> Explanation:
        """Explains a prediction by the gradients of the model."""

    @abc.abstractmethod
    def _find_typical_row(self) -> RawInputs:
        """Returns the row that cells are taken from where they are occluded."""

    def _occlude(self, raw: RawInputs, class_id: int) -> tuple[tuple[str, ...], np.ndarray]:
        """Returns the words, if any, and the attributions."""

        def predict(batch: RawInputs) -> np.ndarray:
            outputs = self.predict(batch)
            return outputs["logits"][:, class_id] if "logits" in outputs else outputs["prediction"]

        if self.spec.kind == "image":
            return (), occlude_image(predict, raw["image"][0])
        if self.spec.is_text:
            if "tokens" in raw:
                raise UserError(f"{self.name} reads token ids: occlusion needs texts")
            texts = {name: decode_output(x, "string")[0] for name, x in raw.items()}
            return occlude_texts(predict, texts)
        return (), occlude_row(predict, raw, self._find_typical_row())

    def _find_class(self, outputs: dict[str, np.ndarray]) -> int:
        """Returns the class that is explained."""
        return self._find_predicted(outputs) if self._class_id is None else self._class_id

    def _find_predicted(self, outputs: dict[str, np.ndarray]) -> int:
        if "class_id" in outputs:
            return int(outputs["class_id"][0])
        # the most probable of several labels; 0 for a regression
        return int(outputs["logits"][0].argmax()) if "logits" in outputs else 0

    def _find_label(self, outputs: dict[str, np.ndarray], class_id: int) -> str:
        if "label" in outputs and class_id == self._find_predicted(outputs):
            return str(outputs["label"][0])
        # a server only tells the names of labels that it predicts
        return self.spec.class_names[class_id] if self.spec.class_names else f"class {class_id}"

    def _make_explanation(
        self,
        method: str,
        outputs: dict[str, np.ndarray],
        baseline_output: float | None,
        attributions: np.ndarray,
        names: Sequence[str],
        raw: RawInputs,
    ) -> Explanation:
        """Returns the explanation of a prediction; of rows, the names and the cells are added."""
        values: tuple[Any, ...] = ()
        if self.spec.kind == "features" and "features" in raw:
            values = tuple(raw["features"][0].tolist())
            names = self.spec.feature_names or tuple(map(str, range(len(values))))
        elif self.spec.kind == "features":
            names, values = tuple(raw), tuple(_to_cell(cells[0]) for cells in raw.values())
        label = probability = predicted = None
        if "prediction" in outputs:
            output = float(outputs["prediction"][0])
        else:
            class_id = self._find_class(outputs)
            label = self._find_label(outputs, class_id)
            scores = outputs["probabilities" if "probabilities" in outputs else "scores"]
            probability = float(scores[0, class_id])
            output = float(outputs["logits"][0, class_id])
            best = self._find_predicted(outputs)
            predicted = None if best == class_id else self._find_label(outputs, best)
        return Explanation(
            method,
            label,
            probability,
            output,
            baseline_output,
            attributions,
            tuple(names),
            values,
            predicted,
        )


def _to_input(value: Any, dtype: str) -> Any:
    """Returns a cell as the signature takes it: NaN or "" where it is missing."""
    is_missing = value is None or value != value
    if dtype == "string":
        return "" if is_missing else value if isinstance(value, str | bytes) else str(value)
    return np.nan if is_missing else value


def _to_cell(value: Any) -> Any:
    """Returns a cell for JSON: None where it is missing."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if value == "" or value != value else value
