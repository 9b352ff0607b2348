"""Integrated gradients (Sundararajan, Taly and Yan 2017, arXiv 1703.01365)."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from zoo.attributions.adaptive_steps import integrate_adaptively
from zoo.attributions.baselines import make_baseline_inputs
from zoo.attributions.embeddings import Inputs, find_embeddings, read_outputs, replace_outputs
from zoo.attributions.units import make_unit_sum
from zoo.data.spec import Spec
from zoo.errors import UserError

FIRST_STEPS = 27  # tripled while the attributions do not add up
MAX_EQUAL_STEPS = 729
MAX_POINTS = 4096
TOLERANCE = 1e-3  # of the sum of the attributions

_MAX_BATCH = 256
_BATCH_NUMBERS = 1 << 20  # floating-point numbers at the embeddings of a batch

Tensors = list[tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Integral:
    """The integrated gradients of one example.

    Attributes:
        attributions: float32 of the shape of the units; see `IntegratedGradients`.
        output: The model's output for the example.
        baseline_output: The model's output for the baseline.
        points: Number of points on the path at which the gradient was computed.
    """

    attributions: np.ndarray
    output: float
    baseline_output: float
    points: int


def check_explainable(model: keras.Model, spec: Spec) -> None:
    """Checks that a model has integrated gradients, before it is trained.

    Raises:
        UserError: if it has none.
    """
    IntegratedGradients(model, spec, traced=False)


class IntegratedGradients:
    """Integrates the gradients of a model's outputs along straight paths from the baseline.

    Token ids and codes of categories have no gradient. The path goes through the outputs of the
    embeddings instead (`zoo.attributions.embeddings`), and the attributions of their vectors are
    summed for each unit: a pixel, shape (rows, columns); a token, shape (tokens,); or a column of a
    table, shape (columns,).

    Args:
        model: A functional model from one named input to `{"logits": ...}`.
        spec: Spec of its data.
        traced: Whether to trace the gradient as a graph, which pays off for many examples.

    Raises:
        UserError: if the model has no embeddings, or they do not tell the units apart.
    """

    def __init__(self, model: keras.Model, spec: Spec, *, traced: bool = True):
        if spec.tokenizer and spec.tokenizer.window:
            raise UserError(
                "texts that are read in windows have no integrated gradients: use zoo explain "
                "--method=occlusion"
            )
        self._model, self._spec = model, spec
        self._embeddings = find_embeddings(model, booleans=spec.kind == "features")
        self._baseline = make_baseline_inputs(model, spec)
        self._sum_by_unit = make_unit_sum(model, spec, self._embeddings)
        shape = (None,) if spec.is_text else spec.shape
        signature = [
            {spec.input_name: tf.TensorSpec((None, *shape), spec.dtype)},
            tf.TensorSpec((None,), tf.int64),
            tf.TensorSpec((None,), tf.float32),
        ]
        self._differentiate: Callable = self._differentiate_at
        if traced:
            self._differentiate = tf.function(
                self._differentiate_at, input_signature=signature, autograph=False
            )

    def attribute(self, inputs: Inputs, class_id: int) -> Integral:
        """Attributes the output for one example.

        The integral is the mean of the gradients at the midpoints of equal steps. Their number is
        tripled, which keeps the midpoints, until the attributions add up to the difference of the
        outputs within `TOLERANCE`. If they do not by `MAX_EQUAL_STEPS`, the steps are short where
        the gradient jumps, up to `MAX_POINTS`.

        Args:
            inputs: The model's inputs by name, of shape (1, *shape of an example).
            class_id: The class whose logit is attributed; 0 for a regression.
        """
        class_ids = np.array([class_id])
        integral = self.attribute_quickly(inputs, class_ids)[0]
        difference = integral.output - integral.baseline_output
        unit = 1.0 if self._spec.class_names is not None else TOLERANCE * abs(integral.output)
        allowed = TOLERANCE * max(abs(difference), unit)
        total, steps = integral.attributions * np.float64(integral.points), integral.points
        while abs(total.sum() / steps - difference) > allowed and steps < MAX_EQUAL_STEPS:
            steps *= 3
            thirds = np.arange(steps)
            midpoints = (thirds[thirds % 3 != 1] + 0.5) / steps
            for points in np.split(midpoints, range(_MAX_BATCH, len(midpoints), _MAX_BATCH)):
                contributions = self._differentiate_along(inputs, class_ids, points)[1][0]
                total += contributions.sum(axis=0, dtype="float64")
        if abs(total.sum() / steps - difference) <= allowed:
            attributions = (total / steps).astype("float32")
            return dataclasses.replace(integral, attributions=attributions, points=steps)

        def differentiate(alphas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            outputs, contributions = self._differentiate_along(inputs, class_ids, alphas)
            return outputs[0], contributions[0]

        total, count = integrate_adaptively(differentiate, steps // 3, allowed, MAX_POINTS)
        return dataclasses.replace(integral, attributions=total.astype("float32"), points=count)

    def attribute_quickly(self, inputs: Inputs, class_ids: np.ndarray) -> list[Integral]:
        """Attributes the outputs for a batch by `FIRST_STEPS` steps: they may not add up.

        Args:
            inputs: The model's inputs by name.
            class_ids: The classes whose logits are attributed, int64 (batch,).
        """
        midpoints = (np.arange(FIRST_STEPS) + 0.5) / FIRST_STEPS
        alphas = np.array([0.0, *midpoints, 1.0])
        outputs, contributions = self._differentiate_along(inputs, class_ids, alphas)
        means = contributions[:, 1:-1].mean(axis=1, dtype="float64").astype("float32")
        return [
            Integral(mean, float(along[-1]), float(along[0]), FIRST_STEPS)
            for mean, along in zip(means, outputs, strict=True)
        ]

    def integrate(
        self, inputs: Inputs, class_ids: tf.Tensor, steps: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Attributes the outputs for a batch in a graph, by a fixed number of steps.

        Args:
            inputs: The model's inputs by name.
            class_ids: The classes whose logits are attributed, int64 (batch,).
            steps: Number of steps.

        Returns:
            The attributions, float32 (batch, *units), and the baseline's outputs, float32 (batch,).
        """
        path = self._find_path(inputs)
        baseline_outputs, contributions = self._differentiate_path(
            path, inputs, class_ids, tf.zeros_like(class_ids, tf.float32)
        )

        def add_step(step, total):
            alphas = tf.fill(tf.shape(class_ids), (tf.cast(step, tf.float32) + 0.5) / steps)
            _, contributions = self._differentiate_path(path, inputs, class_ids, alphas)
            return step + 1, total + contributions / steps

        _, attributions = tf.while_loop(
            lambda step, _: step < steps, add_step, (0, tf.zeros_like(contributions))
        )
        return attributions, baseline_outputs

    def _differentiate_along(
        self, inputs: Inputs, class_ids: np.ndarray, alphas: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the outputs at points on the paths, and the contributions of the units there.

        Args:
            inputs: The model's inputs by name.
            class_ids: The classes, int64 (batch,).
            alphas: The points, from 0 for the baseline to 1 for the example.

        Returns:
            The outputs, float32 (batch, len(alphas)), and the contributions, float32
            (batch, len(alphas), *units).
        """
        _, ends = self._find_path(inputs)
        size = sum(int(tf.size(end)) for end in ends) // len(class_ids)
        batch = min(_MAX_BATCH, max(1, _BATCH_NUMBERS // size))
        examples = np.repeat(np.arange(len(class_ids)), len(alphas))
        points = np.tile(alphas, len(class_ids)).astype("float32")
        parts = [
            self._differentiate(
                {name: tf.gather(x, examples[start : start + batch]) for name, x in inputs.items()},
                tf.constant(class_ids[examples[start : start + batch]], tf.int64),
                tf.constant(points[start : start + batch]),
            )
            for start in range(0, len(points), batch)
        ]
        outputs, contributions = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        shape = (len(class_ids), len(alphas))
        return outputs.reshape(shape), contributions.reshape(*shape, *contributions.shape[1:])

    def _differentiate_at(
        self, inputs: Inputs, class_ids: tf.Tensor, alphas: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return self._differentiate_path(self._find_path(inputs), inputs, class_ids, alphas)

    def _find_path(self, inputs: Inputs) -> tuple[Tensors, Tensors]:
        """Returns where the paths of a batch start and end: at an input that has a gradient, if
        the model has one, and at the outputs of its embeddings.
        """
        ends = read_outputs(self._model, self._embeddings, inputs)
        if self._baseline is None:
            starts = [tf.zeros_like(end) for end in ends]
        else:
            baseline = {name: tf.constant(x) for name, x in self._baseline.items()}
            starts = read_outputs(self._model, self._embeddings, baseline)
            if self._spec.kind == "features":
                starts, ends = [*baseline.values(), *starts], [*inputs.values(), *ends]
        return starts, ends

    def _differentiate_path(
        self,
        path: tuple[Tensors, Tensors],
        inputs: Inputs,
        class_ids: tf.Tensor,
        alphas: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the outputs at one point of each path, and the contributions of the units there:
        the gradient times the length of the path.
        """
        points = []
        for start, end in zip(*path, strict=True):
            share = tf.reshape(alphas, [-1] + [1] * (end.shape.rank - 1))
            points.append(start + tf.cast(share, end.dtype) * (end - start))
        with tf.GradientTape() as tape:
            tape.watch(points)
            embeddings = points
            if self._spec.kind == "features":
                inputs, embeddings = {self._spec.input_name: points[0]}, points[1:]
            logits = replace_outputs(self._model, self._embeddings, inputs, embeddings)
            outputs = tf.gather(logits, class_ids, axis=1, batch_dims=1)
        gradients = tape.gradient(
            outputs, points, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        contributions = [
            tf.cast(gradient * (end - start), tf.float32)
            for gradient, start, end in zip(gradients, *path, strict=True)
        ]
        length = tf.shape(inputs[self._spec.input_name])[1]
        return tf.cast(outputs, tf.float32), self._sum_by_unit(contributions, length)
