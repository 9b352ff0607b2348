"""Metrics of batches in parts (`zoo.data.parts`): each example counts once, and nothing else."""

from collections.abc import Callable

import keras


def of_examples(metric: keras.metrics.Metric) -> keras.metrics.Metric:
    """The same metric, for which an example counts once if its weight is above 0, and else not."""
    update = metric.update_state

    def update_state(y_true, y_pred, sample_weight=None):
        return update(y_true, y_pred, _there(sample_weight))

    metric.update_state = update_state
    return metric


@keras.saving.register_keras_serializable("zoo")
class ExampleLoss(keras.metrics.Mean):
    """The mean loss of the examples, with the penalties, as one process reports it.

    Keras' own mean, which this one's name takes the place of, counts the rows that fill up parts.

    Args:
        loss: What is minimized.
        scale: Its weight, from `loss_weights`.
        class_weights: The weights of the classes in training, or None.
    """

    def __init__(self, loss, scale=1.0, class_weights=None, name="loss", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.loss = loss
        self.scale = scale
        self.class_weights = class_weights and tuple(map(float, class_weights))
        self.penalties: Callable[[], list] = list

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch: y_true and y_pred as the loss takes them, sample_weight (batch,)."""
        y_true = keras.ops.convert_to_tensor(y_true)
        values = self.loss.call(y_true, y_pred) * self.scale
        if self.class_weights and sample_weight is not None:
            classes = keras.ops.argmax(y_true, -1) if len(y_true.shape) > 1 else y_true
            weights = keras.ops.array(self.class_weights, values.dtype)
            weights = keras.ops.take(weights, keras.ops.cast(classes, "int32"))
            # in validation classes have no weights: those of the examples are 0 or 1
            training = keras.ops.any((sample_weight != 0) & (sample_weight != 1))
            values *= keras.ops.where(training, weights, 1.0)
        for penalty in self.penalties():
            values += penalty
        return super().update_state(values, _there(sample_weight))

    def get_config(self):
        """What the constructor takes, with `loss` serialized."""
        own = {"scale": self.scale, "class_weights": self.class_weights}
        loss = keras.saving.serialize_keras_object(self.loss)
        return {"name": self.name, "dtype": self.dtype, "loss": loss, **own}

    @classmethod
    def from_config(cls, config):
        """The metric of a saved model."""
        return cls(**config | {"loss": keras.saving.deserialize_keras_object(config["loss"])})


def _there(sample_weight):
    return None if sample_weight is None else keras.ops.cast(sample_weight > 0, "float32")
