"""A linear model over the tokens of a text, scaled by how much each token tells of a class."""

from collections.abc import Iterable

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable("zoo")
class LogCountRatios(layers.Layer):
    """Adds up, for each class, weight times log-count ratio of the different tokens of a text.

    The ratios are those of Wang and Manning 2012, 'Baselines and Bigrams' (ACL 2012, section 2.1),
    one class against all others. They are 1 until `adapt` is called, and are not trained. The
    weights, which are trained, begin near 0.

    Args:
        vocabulary_size: Number of token ids. Id 0 is padding.
        num_classes: Number of classes, or 1 for a regression.
    """

    def __init__(self, vocabulary_size, num_classes, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.num_classes = num_classes

    def build(self, input_shape):
        """Creates the ratios and the weights."""
        shape = (self.vocabulary_size, self.num_classes)
        self.ratios = self.add_weight(shape, "ones", trainable=False, name="ratios")
        near_zero = keras.initializers.RandomUniform(-0.01, 0.01)
        self.kernel = self.add_weight(shape, near_zero, name="kernel")

    def adapt(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
        """Sets the ratios from examples.

        Args:
            batches: Pairs of token ids (batch, length) and labels: classes (batch,); 0 or 1 for
                each class (batch, classes); or for a regression numbers (batch, 1), of which those
                above their mean make a class.
        """
        rows, labels = [], []
        for tokens, batch_labels in batches:
            rows += [np.unique(text) for text in tokens]
            labels.append(batch_labels)
        targets = np.concatenate(labels)
        if self.num_classes == 1:
            targets = targets > targets.mean()
        elif targets.ndim == 1:
            targets = targets[:, None] == np.arange(self.num_classes)
        is_class = targets.T.astype(bool)
        tokens = np.concatenate(rows)
        texts = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        counts = [
            np.bincount(tokens[mask[texts]], minlength=self.vocabulary_size) for mask in is_class
        ]
        total = np.bincount(tokens, minlength=self.vocabulary_size)
        ratios = [_log_share(count) - _log_share(total - count) for count in counts]
        self.ratios.assign(np.stack(ratios, axis=1))

    def call(self, tokens):
        """Returns (batch, classes) for token ids of shape (batch, length)."""
        tokens = ops.sort(tokens, axis=1)
        before = ops.pad(tokens[:, :-1], [[0, 0], [1, 0]])  # padding, which counts for nothing
        is_new = ops.cast(ops.not_equal(tokens, before), self.compute_dtype)
        scores = ops.take(self.ratios, tokens, axis=0) * ops.take(self.kernel, tokens, axis=0)
        return ops.sum(scores * ops.expand_dims(is_new, 2), axis=1)

    def score_tokens(self, tokens):
        """Returns what each token adds to the result: (batch, length, classes).

        Of a token that occurs several times, one occurrence counts.
        """
        order = ops.argsort(tokens, axis=1)
        ordered = ops.take_along_axis(tokens, order, axis=1)
        is_new = ops.not_equal(ordered, ops.pad(ordered[:, :-1], [[0, 0], [1, 0]]))
        counts = ops.take_along_axis(is_new, ops.argsort(order, axis=1), axis=1)
        scores = ops.take(self.ratios, tokens, axis=0) * ops.take(self.kernel, tokens, axis=0)
        return scores * ops.expand_dims(ops.cast(counts, self.compute_dtype), 2)

    def compute_output_shape(self, input_shape):
        """As `call`."""
        return (input_shape[0], self.num_classes)

    def get_config(self):
        """As Keras asks."""
        return super().get_config() | {
            "vocabulary_size": self.vocabulary_size,
            "num_classes": self.num_classes,
        }


def _log_share(counts: np.ndarray) -> np.ndarray:
    """Returns the logarithm of the share of each token, smoothed by 1."""
    smoothed = counts + 1.0
    return np.log(smoothed / smoothed.sum())
