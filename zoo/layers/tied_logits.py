"""Layers of a masked language model, whose output weights are its token embeddings."""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("zoo")
class TokenIds(layers.Layer):
    """All token ids, with which an embedding layer returns its whole matrix.

    Args:
        vocabulary_size: Number of token ids.
    """

    def __init__(self, vocabulary_size, **kwargs):
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size

    def call(self, tokens):
        """Returns 0, 1, 2, ... as int32 of shape (vocabulary_size,), whatever the tokens are."""
        return ops.arange(self.vocabulary_size, dtype="int32")

    def compute_output_spec(self, tokens):
        """Returns the shape and the dtype of the ids."""
        return keras.KerasTensor((self.vocabulary_size,), "int32")

    def get_config(self):
        """Returns the arguments of the constructor."""
        return super().get_config() | {"vocabulary_size": self.vocabulary_size}


@keras.saving.register_keras_serializable("zoo")
class TiedLogits(layers.Layer):
    """Logits of all tokens: products with their embeddings, and a bias for each token.

    Source: Press and Wolf 2017, 'Using the output embedding to improve language models' (arXiv
    1608.05859), section 2.
    """

    def build(self, x_shape, embeddings_shape):
        """Creates the bias for vectors of shape (..., width) and embeddings (tokens, width)."""
        self.bias = self.add_weight(shape=(embeddings_shape[0],), initializer="zeros", name="bias")

    def call(self, x, embeddings):
        """Returns float32 logits of shape (..., tokens) for vectors of shape (..., width)."""
        products = ops.matmul(x, ops.transpose(ops.cast(embeddings, x.dtype)))
        return ops.cast(products, "float32") + ops.cast(self.bias, "float32")

    def compute_output_spec(self, x, embeddings):
        """Returns the shape and the dtype of the logits."""
        return keras.KerasTensor((*x.shape[:-1], embeddings.shape[0]), "float32")
