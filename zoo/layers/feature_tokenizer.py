"""Turns the features of a table into the tokens of a Transformer."""

import keras
import numpy as np
from keras import layers, ops


@keras.saving.register_keras_serializable("zoo")
class FeatureTokenizer(layers.Layer):
    """The feature tokenizer of Gorishniy et al. 2021 (arXiv 2106.11959), section 3.3.

    A number x becomes b + x * w, with vectors b and w of its own; a category becomes b + e, with a
    vector e for each code, and 0 for code 0, which no value of the training split has. The [CLS]
    token comes first.

    Under mixed precision the vectors are rounded at the end: codes above 256 are no bfloat16.

    Args:
        cardinalities: Number of codes of each feature that is a category; 0 for numbers.
        width: Width of the tokens.
    """

    def __init__(self, cardinalities, width, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.cardinalities = tuple(cardinalities)
        self.width = width
        sizes = np.array(self.cardinalities)
        self._numbers, self._categories = np.flatnonzero(sizes == 0), np.flatnonzero(sizes)
        # all embeddings are in one table; those of a category begin at its offset
        self._offsets = np.cumsum([0, *sizes[self._categories]])[:-1].astype("int32")

    def build(self, input_shape):
        """Creates the weights, uniform within 1 / sqrt(width) as in the paper's code."""
        limit = self.width**-0.5
        initializer = keras.initializers.RandomUniform(-limit, limit)

        def add(name, *shape):
            return self.add_weight((*shape, self.width), initializer, name=name)

        if self.cardinalities:  # a table may have texts alone
            self.bias = add("bias", len(self.cardinalities))
        self.cls = add("cls", 1)
        if len(self._numbers):
            self.kernel = add("kernel", len(self._numbers))
        if len(self._categories):
            self.embeddings = add("embeddings", sum(self.cardinalities))

    def call(self, features):
        """Returns (batch, 1 + n, width) for features of shape (batch, n)."""
        tokens = []
        if len(self._numbers):
            numbers = ops.take(features, self._numbers, axis=1)
            tokens.append(ops.expand_dims(numbers, 2) * self.kernel)
        if len(self._categories):
            codes = ops.cast(ops.take(features, self._categories, axis=1), "int32")
            vectors = ops.take(self.embeddings, codes + self._offsets, axis=0)
            is_known = ops.cast(ops.expand_dims(codes > 0, 2), vectors.dtype)
            tokens.append(vectors * is_known)
        cls = ops.broadcast_to(self.cls, (ops.shape(features)[0], 1, self.width))
        if tokens:
            cls = ops.concatenate([cls, ops.concatenate(tokens, axis=1) + self.bias], axis=1)
        return ops.cast(cls, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """As `call`."""
        return (input_shape[0], 1 + len(self.cardinalities), self.width)

    def get_config(self):
        """As Keras asks."""
        return super().get_config() | {
            "cardinalities": list(self.cardinalities),
            "width": self.width,
        }
