"""Windows of long texts, which an encoder reads one by one."""

import keras
from keras import layers, ops

from zoo.errors import UserError
from zoo.layers.inputs import mask_padding


@keras.saving.register_keras_serializable("zoo")
class SplitWindows(layers.Layer):
    """Divides token ids, (batch, length), into windows, (batch * windows, tokens).

    Args:
        window: Tokens of a window. A text that is not longer is one window of its own length;
            otherwise the last window is padded with 0.
        **kwargs: As those of any Keras layer.
    """

    def __init__(self, window: int, **kwargs):
        super().__init__(**kwargs)
        self.window = window

    def call(self, tokens):
        """Returns the windows, those of a text one after the other."""
        length = ops.shape(tokens)[1]
        width = ops.minimum(length, self.window)
        missing = -length % ops.maximum(width, 1)
        tokens = ops.pad(tokens, [[0, 0], [0, missing]])
        return ops.reshape(tokens, [-1, width])

    def compute_output_shape(self, input_shape):
        """Neither the number of windows nor their width is known."""
        return (None, None)

    def get_config(self):
        """Returns the arguments of the layer."""
        return {**super().get_config(), "window": self.window}


@keras.saving.register_keras_serializable("zoo")
class WindowMean(layers.Layer):
    """Averages the vectors of the windows of each text, without those that have no tokens.

    The mean of the logits is the same, since the head is linear.
    """

    def call(self, vectors, windows, tokens):
        """Returns one vector for each text.

        Args:
            vectors: Those of the windows, (batch * windows, width).
            windows: The token ids of the windows, int32 (batch * windows, tokens).
            tokens: The token ids of the texts, int32 (batch, length).
        """
        rows = ops.shape(tokens)[0]
        count = ops.shape(windows)[0] // ops.maximum(rows, 1)
        has_tokens = ops.reshape(ops.not_equal(windows[:, 0], 0), [rows, count])
        is_first = ops.arange(count) == 0  # of an empty text too
        weights = ops.cast(ops.logical_or(has_tokens, is_first), vectors.dtype)[:, :, None]
        vectors = ops.reshape(vectors, [rows, count, vectors.shape[-1]])
        return ops.sum(vectors * weights, axis=1) / ops.sum(weights, axis=1)

    def compute_output_shape(self, vectors_shape, windows_shape, tokens_shape):
        """One vector for each text."""
        return (tokens_shape[0], vectors_shape[-1])


def divide_tokens(
    tokens: keras.KerasTensor, mask: keras.KerasTensor, window: int | None
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Divides texts into windows, and returns these with their padding mask.

    Args:
        tokens: Token ids, int32 (batch, length).
        mask: Their padding mask, bool (batch, length).
        window: Tokens of a window; None to return both as they are.
    """
    if not window:
        return tokens, mask
    windows = SplitWindows(window, name="windows")(tokens)
    return windows, mask_padding(windows)


def average_windows(
    x: keras.KerasTensor, windows: keras.KerasTensor, tokens: keras.KerasTensor
) -> keras.KerasTensor:
    """Returns one vector per text; `x` itself if the texts were not divided.

    Args:
        x: Vectors of the windows, (batch * windows, width).
        windows: Token ids of the windows, from `divide_tokens`.
        tokens: Token ids of the texts.
    """
    return x if windows is tokens else WindowMean(name="window_mean")(x, windows, tokens)


def check_positions(model: str, length: int, positions: int | None) -> None:
    """Checks that a model has positions for the tokens of a text or a window.

    Args:
        model: Name of the model.
        length: Number of tokens.
        positions: Number of positions; None for any.

    Raises:
        UserError: if there are more tokens.
    """
    if positions and length > positions:
        raise UserError(
            f"{model}: length={length}: this model has positions for {positions} tokens: use "
            f"--length={positions}, or --long_texts=windows to read longer texts in windows"
        )
