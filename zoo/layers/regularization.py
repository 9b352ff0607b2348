"""Dropout of units and of whole tokens, and batch normalisation."""

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("zoo")
class Dropout(layers.Dropout):
    """Keras' dropout with one random byte per unit, a quarter of the random bits that Keras draws.

    The rate is rounded to a multiple of 1/256, and the units that remain are scaled by the rounded
    rate, so that the expected value is exact.
    """

    def call(self, inputs, training=False):
        """Drops units of a tensor of any shape and scales the others; the identity at inference."""
        if not training or not self.rate:
            return inputs
        keep_threshold = min(max(round(256 * (1 - self.rate)), 1), 255)
        sizes = self.noise_shape or [None] * inputs.shape.rank
        noise_shape = tf.stack(
            [tf.shape(inputs)[axis] if size is None else size for axis, size in enumerate(sizes)]
        )
        num_units = tf.reduce_prod(noise_shape)
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        # four random bytes per uint32
        words = tf.random.stateless_uniform([(num_units + 3) // 4], seed, None, None, tf.uint32)
        random_bytes = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:num_units]
        mask = tf.cast(tf.reshape(random_bytes, noise_shape) < keep_threshold, inputs.dtype)
        return inputs * (mask * (256 / keep_threshold))


@keras.saving.register_keras_serializable("zoo")
class BatchNormalization(layers.BatchNormalization):
    """Keras' batch normalisation, with the moving statistics where a batch has none.

    A last batch of one example has a single value for each unit. Its variance of 0 would make all
    outputs equal, and move the moving variance towards 0.
    """

    def _moments(self, inputs, mask):
        """Returns mean and variance of each channel, of the batch or else the moving ones."""
        mean, variance = super()._moments(inputs, mask)
        has_variance = tf.size(inputs) > inputs.shape[self.axis]
        moving_mean, moving_variance = (
            tf.cast(x, mean.dtype) for x in (self.moving_mean, self.moving_variance)
        )
        return (
            tf.where(has_variance, mean, moving_mean),
            tf.where(has_variance, variance, moving_variance),
        )


def apply_dropout(x, rate: float, name: str):
    """Adds a dropout layer to the model, or returns `x` unchanged if the rate is 0."""
    return Dropout(rate, name=name)(x) if rate else x


def apply_token_dropout(x, rate: float, name: str):
    """Adds dropout of whole tokens to the model, or returns `x` unchanged if the rate is 0.

    Follows Iyyer et al. 2015, 'Deep unordered composition rivals syntactic methods', section 3.2.

    Args:
        x: Embeddings of shape (batch, length, width).
        rate: Fraction of the tokens whose vectors are set to 0 in training.
        name: Name of the layer.
    """
    return Dropout(rate, (None, None, 1), name=name)(x) if rate else x
