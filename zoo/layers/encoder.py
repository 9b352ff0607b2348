"""The Transformer's encoder layer, arranged for the CPU; its weights are those of KerasHub's."""

import keras
import tensorflow as tf
from keras import layers

from zoo.layers.noise import Dropout

# exp(-100) is nothing beside a token's weight, and within the range that int8 has for scores
_MASKED = -100.0


@keras.saving.register_keras_serializable("zoo")
class LayerNormalization(layers.LayerNormalization):
    """Keras' layer over the last axis, with its gradient in closed form (Ba et al. 2016, (4))."""

    def call(self, inputs):
        """(..., width) from the same, by float32 arithmetic."""
        x = tf.cast(inputs, tf.float32)
        gamma, beta = (tf.cast(weight, tf.float32) for weight in (self.gamma, self.beta))
        return tf.cast(_normalised(x, gamma, beta, tf.constant(self.epsilon)), inputs.dtype)


@tf.custom_gradient
def _normalised(x, gamma, beta, epsilon):
    centred = x - _mean(x)
    rate = tf.math.rsqrt(_mean(centred * centred) + epsilon)
    normal = centred * rate

    def gradient(dy):
        product, dnormal = dy * normal, dy * gamma
        dx = rate * (dnormal - _mean(dnormal) - normal * _mean(dnormal * normal))
        return dx, _column_sums(product), _column_sums(dy), None

    return tf.nn.bias_add(normal * gamma, beta), gradient


def _mean(x):
    return tf.reduce_mean(x, -1, keepdims=True)


def _column_sums(x):
    return tf.raw_ops.BiasAddGrad(out_backprop=x)  # quicker than reduce_sum


@keras.saving.register_keras_serializable("zoo")
class SelfAttention(layers.MultiHeadAttention):
    """Keras' attention of a sequence to itself: one product for queries, keys and values.

    There is no dropout of attention weights, as in the paper (section 5.4).
    """

    def call(self, x, mask):
        """(batch, length, width) from the same; `mask`, (batch, length), is True for tokens."""
        width = x.shape[-1]
        parts = (self._query_dense, self._key_dense, self._value_dense)
        kernel = tf.concat([tf.reshape(part.kernel, [width, -1]) for part in parts], 1)
        bias = tf.concat([tf.reshape(part.bias, [-1]) for part in parts], 0)
        kernel, bias = tf.cast(kernel, x.dtype), tf.cast(bias, x.dtype)
        batch, length = tf.unstack(tf.shape(x)[:2])
        projected = tf.nn.bias_add(tf.matmul(tf.reshape(x, [-1, width]), kernel), bias)
        shape = [batch, length, 3, self._num_heads, self._key_dim]
        query, key, value = tf.unstack(
            tf.transpose(tf.reshape(projected, shape), [2, 0, 3, 1, 4]), axis=0
        )
        hidden = tf.cast(tf.where(mask, 0.0, _MASKED), x.dtype)[:, None, None, :]
        read = attention(query * self._key_dim**-0.5, key, value, hidden)
        read = tf.reshape(tf.transpose(read, [0, 2, 1, 3]), [batch * length, -1])
        output = self._output_dense
        y = tf.matmul(read, tf.cast(tf.reshape(output.kernel, [-1, width]), x.dtype))
        y = tf.nn.bias_add(y, tf.cast(output.bias, x.dtype))
        return tf.reshape(y, [batch, length, width])


@tf.custom_gradient
def attention(query, key, value, hidden):
    """softmax(Q K^T + hidden) V.

    Its gradient needs two passes over the weights instead of four: the sum of dP P over a row is
    that of dO O (Dao et al. 2022, 'FlashAttention', arXiv 2205.14135, appendix B.2).

    Args:
        query: (batch, heads, length, width), divided by sqrt(width).
        key: The same shape.
        value: The same shape.
        hidden: What is added to the scores, broadcast to (batch, heads, length, length).
    """
    weights = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) + hidden)
    output = tf.matmul(weights, value)

    def gradient(doutput):
        dvalue = tf.matmul(weights, doutput, transpose_a=True)
        along = tf.reduce_sum(doutput * output, -1, keepdims=True)
        dscores = weights * (tf.matmul(doutput, value, transpose_b=True) - along)
        dquery = tf.matmul(dscores, key)
        return dquery, tf.matmul(dscores, query, transpose_a=True), dvalue, None

    return output, gradient


@keras.saving.register_keras_serializable("zoo")
class EncoderLayer(layers.Layer):
    """A layer of the encoder of Vaswani et al. 2017 (arXiv 1706.03762), section 3.1.

    Its weights, their names and their order are those of `keras_hub.layers.TransformerEncoder`.

    Args:
        feed_forward: Inner width of the feed-forward part.
        heads: Attention heads.
        dropout: Share of what each half adds that is dropped in training.
        activation: Nonlinearity of the feed-forward part.
        norm: "pre" or "post": layer normalisation before each half, or after it.
    """

    def __init__(self, feed_forward, heads, *, dropout, activation, norm, **kwargs):
        super().__init__(**kwargs)
        self.feed_forward, self.heads, self.dropout = feed_forward, heads, dropout
        self.activation, self.norm = activation, norm

    def build(self, shape):
        """Makes the weights for inputs of shape (batch, length, width)."""

        def part(layer, name, *arguments, **options):
            return layer(*arguments, **options, name=name, dtype=self.dtype_policy)

        width = shape[-1]
        size = width // self.heads
        # fmt: off
        self._attention = part(SelfAttention, "self_attention_layer", self.heads, size)
        self._attention_norm = part(LayerNormalization, "self_attention_layer_norm", epsilon=1e-5)
        self._norm = part(LayerNormalization, "feedforward_layer_norm", epsilon=1e-5)
        self._inner = part(layers.Dense, "feedforward_intermediate_dense", self.feed_forward,
                           activation=self.activation)
        self._outer = part(layers.Dense, "feedforward_output_dense", width)
        # fmt: on
        self._attention_dropout = part(Dropout, "self_attention_dropout", self.dropout)
        self._dropout = part(Dropout, "feedforward_dropout", self.dropout)
        self._attention.build(shape, shape)
        for layer in (self._attention_norm, self._norm, self._inner):
            layer.build(shape)
        self._outer.build((*shape[:-1], self.feed_forward))

    def call(self, x, mask, training=False):
        """(batch, length, width) from the same; `mask`, (batch, length), is True for tokens."""

        def attend(x):
            return self._attention_dropout(self._attention(x, mask), training=training)

        def transform(x):
            return self._dropout(self._outer(self._inner(x)), training=training)

        if self.norm == "pre":
            x = x + attend(self._attention_norm(x))
            return x + transform(self._norm(x))
        x = self._attention_norm(x + attend(x))
        return self._norm(x + transform(x))

    def compute_output_shape(self, shape, *_):
        """That of the input."""
        return shape

    def get_config(self):
        """The arguments of the constructor."""
        names = ("feed_forward", "heads", "dropout", "activation", "norm")
        return super().get_config() | {name: getattr(self, name) for name in names}
