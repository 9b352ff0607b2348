"""Metrics that Keras does not have: exact R2, F1 of logits, and metrics for micro-batches.

In micro-batches (`zoo.data.microbatches`) each example counts once.
"""

from collections.abc import Callable

import keras


@keras.saving.register_keras_serializable("zoo")
class R2Score(keras.metrics.Metric):
    """The coefficient of determination of one output, as scikit-learn's `r2_score` computes it.

    Keras' own metric adds up squares of the targets in float32, where the variance of targets far
    from zero is lost: with targets of 1,000,000 +- 1 it is 1.0 whatever is predicted. Here the sums
    are of distances from `offset`, in float64. For constant targets the score is 1.0 if all
    predictions are exact, and otherwise 0.0.

    Args:
        offset: A number near the targets, such as their mean in the training split.
        name: Name of the metric.
        dtype: Dtype of the result.
    """

    def __init__(self, offset=0.0, name="r2", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.offset = float(offset)
        self._count, self._sum, self._squares, self._residuals = (
            self.add_variable((), initializer="zeros", dtype="float64", name=variable)
            for variable in ("count", "sum", "squares", "residuals")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch; y_true and y_pred have the shape (batch, 1), sample_weight (batch,)."""
        y_true, y_pred = (keras.ops.reshape(keras.ops.cast(y, "float64"), (-1,))
                          for y in (y_true, y_pred))  # fmt: skip
        weights = keras.ops.ones_like(y_true)
        if sample_weight is not None:
            weights *= keras.ops.reshape(keras.ops.cast(sample_weight, "float64"), (-1,))
        distance = y_true - self.offset
        for variable, terms in (
            (self._count, weights),
            (self._sum, weights * distance),
            (self._squares, weights * distance * distance),
            (self._residuals, weights * keras.ops.square(y_true - y_pred)),
        ):
            variable.assign_add(keras.ops.sum(terms))

    def result(self):
        """Returns the score; 0 before the first batch."""
        count = keras.ops.maximum(self._count, 1.0)
        total = keras.ops.maximum(self._squares - self._sum * self._sum / count, 0.0)
        is_constant = total <= 1e-14 * self._squares
        score = 1.0 - self._residuals / keras.ops.where(is_constant, 1.0, total)
        is_exact = (self._residuals == 0.0) & (self._count > 0.0)
        constant_score = keras.ops.cast(is_exact, "float64")
        return keras.ops.cast(keras.ops.where(is_constant, constant_score, score), self.dtype)

    def get_config(self):
        """Returns the arguments of the constructor."""
        return {"name": self.name, "dtype": self.dtype, "offset": self.offset}


@keras.saving.register_keras_serializable("zoo")
class MicroF1(keras.metrics.Metric):
    """F1 of all labels of all examples together, as scikit-learn's `f1_score(average="micro")`.

    A label is predicted if its logit is above 0, a probability of 0.5. Blended targets count as
    present from 0.5 on. Keras' own metric takes probabilities, and counts in float32.

    Args:
        name: Name of the metric.
        dtype: Dtype of the result.
    """

    def __init__(self, name="f1", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self._correct, self._predicted, self._present = (
            self.add_variable((), initializer="zeros", dtype="float64", name=variable)
            for variable in ("correct", "predicted", "present")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch; y_true and y_pred have the shape (batch, classes), weights (batch,)."""
        present = keras.ops.cast(keras.ops.convert_to_tensor(y_true) >= 0.5, "float64")
        predicted = keras.ops.cast(keras.ops.convert_to_tensor(y_pred) > 0, "float64")
        if sample_weight is not None:
            weights = keras.ops.reshape(keras.ops.cast(sample_weight, "float64"), (-1, 1))
            present, predicted = present * weights, predicted * (weights > 0)
        self._correct.assign_add(keras.ops.sum(present * predicted))
        self._predicted.assign_add(keras.ops.sum(predicted))
        self._present.assign_add(keras.ops.sum(present))

    def result(self):
        """Returns the score; 0 if no label is present or predicted."""
        total = keras.ops.maximum(self._predicted + self._present, 1.0)
        return keras.ops.cast(2 * self._correct / total, self.dtype)


@keras.saving.register_keras_serializable("zoo")
class ExampleMetric(keras.metrics.Metric):
    """A metric that ignores the weights of the examples, and examples of weight 0.

    Args:
        metric: The metric for whole batches.
        name: Name of the metric; by default that of `metric`.
        dtype: Dtype of the metric.
    """

    def __init__(self, metric, name=None, dtype=None):
        super().__init__(name=name or metric.name, dtype=dtype)
        self.metric = metric

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch; sample_weight has the shape (batch,)."""
        return self.metric.update_state(y_true, y_pred, _example_mask(sample_weight))

    def result(self):
        """Returns the value of the metric."""
        return self.metric.result()

    def reset_state(self):
        """Resets the metric."""
        self.metric.reset_state()

    def get_config(self):
        """Returns the arguments of the constructor, with the metric serialized."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "metric": keras.saving.serialize_keras_object(self.metric),
        }

    @classmethod
    def from_config(cls, config):
        """Creates the metric from its config."""
        return cls(**config | {"metric": keras.saving.deserialize_keras_object(config["metric"])})


@keras.saving.register_keras_serializable("zoo")
class ExampleLoss(keras.metrics.Mean):
    """The mean loss of the examples, with the penalties of the weights.

    It is reported as `loss` in place of Keras' own mean, which counts the rows of padding in
    micro-batches. With weights of the examples it counts them too, since these weights cannot be
    told from the scale of the micro-batches: only a last, smaller batch has a slightly larger part
    in the mean than its examples.

    Args:
        loss: The loss function.
        scale: Its weight in `loss_weights`.
        class_weights: Weights of the classes in training, or None.
        weighted: Whether the training examples have weights of their own.
        name: Name of the metric.
        dtype: Dtype of the metric.
    """

    def __init__(
        self, loss, scale=1.0, class_weights=None, weighted=False, name="loss", dtype=None
    ):
        super().__init__(name=name, dtype=dtype)
        self.loss = loss
        self.scale = scale
        self.class_weights = class_weights and tuple(map(float, class_weights))
        self.weighted = weighted
        self.penalties: Callable[[], list] = list

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch; sample_weight has the shape (batch,)."""
        y_true = keras.ops.convert_to_tensor(y_true)
        values = self.loss.call(y_true, y_pred) * self.scale
        mask = _example_mask(sample_weight)
        if sample_weight is not None and (self.weighted or self.class_weights):
            # validation has no such weights: those of the examples are 0 or 1
            training = keras.ops.any((sample_weight != 0) & (sample_weight != 1))
            weights = sample_weight if self.weighted else self._find_class_weights(y_true)
            values *= keras.ops.cast(keras.ops.where(training, weights, 1.0), values.dtype)
            mask = keras.ops.where(training, 1.0, mask) if self.weighted else mask
        for penalty in self.penalties():
            values += penalty
        return super().update_state(values, mask)

    def _find_class_weights(self, y_true):
        """Returns the weight of the class of each example, float32 (batch,)."""
        classes = keras.ops.argmax(y_true, -1) if len(y_true.shape) > 1 else y_true
        weights = keras.ops.array(self.class_weights, "float32")
        return keras.ops.take(weights, keras.ops.cast(classes, "int32"))

    def get_config(self):
        """Returns the arguments of the constructor, with the loss serialized."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "loss": keras.saving.serialize_keras_object(self.loss),
            "scale": self.scale,
            "class_weights": self.class_weights,
            "weighted": self.weighted,
        }

    @classmethod
    def from_config(cls, config):
        """Creates the metric from its config."""
        return cls(**config | {"loss": keras.saving.deserialize_keras_object(config["loss"])})


def _example_mask(sample_weight):
    """Returns 1 for each example, and 0 for each row of padding; float32 (batch,)."""
    return None if sample_weight is None else keras.ops.cast(sample_weight > 0, "float32")
