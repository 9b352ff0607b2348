"""Dropout from random bytes."""

import keras
import tensorflow as tf
from keras import layers


@keras.saving.register_keras_serializable("zoo")
class Dropout(layers.Dropout):
    """Keras' dropout with a random byte for each unit, a quarter of what Keras draws.

    So the rate is met to 1/256; what is kept is divided by the share that really is kept.
    """

    def call(self, inputs, training=False):
        """Numbers of any shape, from the same."""
        if not training or not self.rate:
            return inputs
        kept = min(max(round(256 * (1 - self.rate)), 1), 255)
        sizes = self.noise_shape or [None] * inputs.shape.rank
        shape = tf.stack([tf.shape(inputs)[i] if n is None else n for i, n in enumerate(sizes)])
        units = tf.reduce_prod(shape)
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        words = tf.random.stateless_uniform([(units + 3) // 4], seed, None, None, tf.uint32)
        drawn = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:units]
        mask = tf.cast(tf.reshape(drawn, shape) < kept, inputs.dtype)
        return inputs * (mask * (256 / kept))


def dropout(x, rate: float, name: str):
    """Dropout, or nothing at rate 0."""
    return Dropout(rate, name=name)(x) if rate else x


def token_dropout(x, rate: float, name: str):
    """Dropout of whole tokens of x, (batch, length, width), or nothing at rate 0.

    Iyyer et al. 2015, 'Deep unordered composition rivals syntactic methods', section 3.2.
    """
    return Dropout(rate, (None, None, 1), name=name)(x) if rate else x
