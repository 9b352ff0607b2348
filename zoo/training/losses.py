"""Losses that Keras does not have, or not from logits of any size."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("zoo")
class FocalLoss(keras.losses.Loss):
    """The focal loss: the cross-entropy times (1 - the probability of the truth) ** gamma.

    It follows Lin et al. 2017 (arXiv 1708.02002), equation 4, for one of several classes, and for
    several labels, of which it is the mean. Their factor alpha is what class weights are. Keras'
    own clips the probabilities at 1e-7: examples whose true class is less probable, the hardest
    ones, would have no gradient.

    Args:
        gamma: Exponent; 0 gives the cross-entropy.
        label_smoothing: Fraction of the target probability that is spread evenly over all classes
            or, of several labels, over present and absent.
        multilabel: Whether an example may have several labels.
        positive_weights: Of several labels, the factor of each one's loss where it is present.
        name: Name of the loss.
        reduction: As of all losses of Keras.
        dtype: Dtype of the loss.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        label_smoothing: float = 0.0,
        multilabel: bool = False,
        positive_weights: Sequence[float] | None = None,
        name="focal_loss",
        reduction="sum_over_batch_size",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.gamma = float(gamma)
        self.label_smoothing = float(label_smoothing)
        self.multilabel = multilabel
        self.positive_weights = positive_weights

    def call(self, y_true, y_pred):
        """Returns the loss of each example.

        Args:
            y_true: Probabilities of the classes, such as one-hot labels, float (batch, classes).
            y_pred: Logits, float (batch, classes).
        """
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = ops.cast(y_true, y_pred.dtype)
        kept = 1 - self.label_smoothing
        if self.multilabel:
            present = y_true * kept + self.label_smoothing / 2
            losses = present * self._weight(ops.log_sigmoid(y_pred))
            if self.positive_weights:
                losses *= ops.convert_to_tensor(self.positive_weights, y_pred.dtype)
            losses += (1 - present) * self._weight(ops.log_sigmoid(-y_pred))
            return ops.mean(losses, axis=-1)
        y_true = y_true * kept + self.label_smoothing / y_true.shape[-1]
        return ops.sum(y_true * self._weight(ops.log_softmax(y_pred, axis=-1)), axis=-1)

    def _weight(self, log_probabilities):
        """Returns the loss of a truth with these probabilities."""
        # above 0, where a power below 1 has no finite gradient
        rest = ops.maximum(1 - ops.exp(log_probabilities), keras.config.epsilon())
        return -(rest**self.gamma) * log_probabilities

    def get_config(self):
        """Returns the arguments of the constructor."""
        own: dict[str, Any] = {"gamma": self.gamma, "label_smoothing": self.label_smoothing}
        own |= {"multilabel": self.multilabel, "positive_weights": self.positive_weights}
        return {**super().get_config(), **own}
