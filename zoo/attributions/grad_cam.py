"""Grad-CAM (Selvaraju et al. 2017, 'Grad-CAM', arXiv 1610.02391, section 3)."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from zoo.attributions.embeddings import Inputs, read_outputs, replace_outputs
from zoo.distribution.keras_patches import list_operations
from zoo.errors import UserError

GradCam = Callable[[Inputs, int], np.ndarray]


def find_feature_map(model: keras.Model) -> keras.Operation | None:
    """Returns the last operation whose output has rows and columns; None if there is none.

    The rescaled pixels do not count, so that a network of dense layers has none.
    """
    found, has_filters = None, False
    for operation, *_ in list_operations(model):
        shape = tuple(getattr(operation.output, "shape", ()))
        if len(shape) != 4:
            continue
        has_filters |= any(len(weight.shape) == 4 for weight in getattr(operation, "weights", []))
        _, rows, columns, _ = shape
        if has_filters and (rows, columns) != (1, 1):
            found = operation
    return found


def make_grad_cam(model: keras.Model) -> GradCam:
    """Returns the function that computes the Grad-CAM of one image.

    It takes the model's inputs by name, of shape (1, rows, columns, channels), and a class, and
    returns the map as float32 of shape (rows, columns): where the last feature map raises the logit
    of the class, at its coarse resolution, interpolated to the size of the image. It is at least 0.

    Args:
        model: A functional model of images.

    Raises:
        UserError: if the model has no convolution.
    """
    operation = find_feature_map(model)
    if operation is None:
        raise UserError(
            f"{model.name} has no convolution, whose output Grad-CAM needs: choose "
            "--method=integrated_gradients"
        )

    def compute(inputs: Inputs, class_id: int) -> np.ndarray:
        maps = read_outputs(model, [operation], inputs)
        with tf.GradientTape() as tape:
            tape.watch(maps)
            logit = replace_outputs(model, [operation], inputs, maps)[:, class_id]
        weights = tf.reduce_mean(tape.gradient(logit, maps[-1]), axis=(1, 2), keepdims=True)
        cam = tf.nn.relu(tf.reduce_sum(maps[-1] * weights, axis=-1, keepdims=True))
        (image,) = inputs.values()
        resized = tf.image.resize(tf.cast(cam, tf.float32), image.shape[1:3])
        return resized[0, :, :, 0].numpy()

    return compute
