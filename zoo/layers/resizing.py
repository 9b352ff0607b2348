"""Resizes images inside a model, by matrix products that every runtime has."""

import keras
import numpy as np
from keras import layers, ops

INTERPOLATIONS = {"nearest": 0.5, "bilinear": 1.0, "bicubic": 2.0, "lanczos3": 3.0, "lanczos5": 5.0}


@keras.saving.register_keras_serializable("zoo")
class Resize(layers.Layer):
    """Stretches images to a size, as `tf.image.resize` does with antialiasing.

    That operation is not one of LiteRT or ONNX where it is bicubic or antialiased.

    Args:
        size: (rows, columns) of the result.
        interpolation: "nearest", "bilinear", "bicubic", "lanczos3" or "lanczos5".
    """

    def __init__(self, size, interpolation="bilinear", **kwargs):
        super().__init__(**kwargs)
        self.size = tuple(size)
        self.interpolation = interpolation

    def build(self, input_shape):
        """Computes the weights of the pixels."""
        self._matrices = [
            make_resize_matrix(old, new, self.interpolation)
            for old, new in zip(input_shape[1:3], self.size, strict=True)
        ]

    def call(self, images):
        """Returns float images in the range 0 to 255, (batch, *size, channels)."""
        x = ops.cast(images, self.compute_dtype)
        if tuple(images.shape[1:3]) == self.size:
            return x
        rows, columns = (ops.cast(matrix, x.dtype) for matrix in self._matrices)
        channels = x.shape[3]
        x = ops.reshape(x, (-1, x.shape[1], x.shape[2] * channels))
        x = ops.reshape(ops.matmul(rows, x), (-1, self.size[0], images.shape[2], channels))
        return ops.clip(ops.matmul(columns, x), 0.0, 255.0)

    def compute_output_shape(self, input_shape):
        """As `call`."""
        return (input_shape[0], *self.size, input_shape[3])

    def get_config(self):
        """As Keras asks."""
        return super().get_config() | {
            "size": list(self.size),
            "interpolation": self.interpolation,
        }


def make_resize_matrix(old: int, new: int, interpolation: str) -> np.ndarray:
    """Returns the weights of `old` pixels in each of `new` pixels, float32 (new, old)."""
    scale = old / new
    centers = (np.arange(new)[:, None] + 0.5) * scale
    positions = np.arange(old)[None] + 0.5
    if interpolation == "nearest":
        return (np.floor(centers) == np.floor(positions)).astype("float32")
    distances = np.abs(positions - centers) / max(scale, 1.0)
    weights = np.where(
        distances < INTERPOLATIONS[interpolation], _evaluate_kernel(distances, interpolation), 0.0
    )
    return (weights / weights.sum(1, keepdims=True)).astype("float32")


def _evaluate_kernel(distances: np.ndarray, interpolation: str) -> np.ndarray:
    """Returns the kernel at distances in pixels; for bicubic that of Keys 1981 with a = -1/2."""
    if interpolation == "bilinear":
        return 1 - distances
    if interpolation == "bicubic":
        near = (1.5 * distances - 2.5) * distances**2 + 1
        far = ((-0.5 * distances + 2.5) * distances - 4) * distances + 2
        return np.where(distances < 1, near, far)
    return np.sinc(distances) * np.sinc(distances / INTERPOLATIONS[interpolation])
