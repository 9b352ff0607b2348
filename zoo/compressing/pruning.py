"""Magnitude pruning: the smallest weights become zero while the model is trained further.

It follows Zhu and Gupta 2017, 'To prune, or not to prune' (arXiv 1710.01878), section 3.
"""

import keras
import numpy as np
import tensorflow as tf

from zoo.errors import UserError

_UPDATES = 100  # of the masks, at most
_PRUNED_PART = 0.75  # of the training; in the rest the remaining weights recover


def find_prunable_weights(model: keras.Model) -> list[keras.Variable]:
    """Returns the kernels and embeddings of a model: its trained weights with two axes or more.

    Biases, which have two axes in a GRU, and the scales of normalisations are few, and each stands
    for a whole unit.

    Raises:
        UserError: if there are none.
    """
    weights = [w for w in model.trainable_weights if len(w.shape) > 1 and w.name != "bias"]
    if not weights:
        raise UserError(
            f"prune: {model.name} has no trained kernels or embeddings to prune: use int8 or a "
            "converted format instead"
        )
    return weights


def measure_sparsity(model: keras.Model) -> float:
    """Returns the share of zeros in the kernels and embeddings of a model."""
    arrays = [np.asarray(weight) for weight in find_prunable_weights(model)]
    return 1 - sum(map(np.count_nonzero, arrays)) / sum(array.size for array in arrays)


def schedule_sparsity(step: int, steps: int, final: float) -> float:
    """Returns the share of zeros after a step of a training, by the paper's cubic schedule.

    The share rises from 0, fast at first, and reaches `final` after three quarters of the steps.

    Args:
        step: Number of steps so far.
        steps: Steps of the whole training.
        final: The share at the end.
    """
    progress = min(1.0, step / max(1, round(_PRUNED_PART * steps)))
    return final * (1 - (1 - progress) ** 3)


class _Masked(keras.constraints.Constraint):
    """Keeps masked weights at zero; the optimizer applies it after each step."""

    def __init__(self, mask):
        self._mask = mask

    def __call__(self, weight):
        return weight * self._mask


class PruningCallback(keras.callbacks.Callback):
    """Sets the smallest weights of each layer to zero, and keeps them there.

    The masks are variables of the optimizer, so that checkpoints have them. A weight that is zero
    stays zero, since its share only rises and zero is the smallest magnitude.

    Args:
        model: The compiled model.
        share: Share of the weights of each layer that are zero at the end.
        steps: Steps of the whole training.

    Raises:
        UserError: if the model has no weights to prune.
    """

    def __init__(self, model: keras.Model, share: float, steps: int):
        super().__init__()
        self._share, self._steps = share, steps
        self._every = max(1, steps // _UPDATES)
        self._weights = find_prunable_weights(model)
        # Keras puts an optimizer that scales the loss around another one
        self._optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        self._masks = []
        for weight in self._weights:
            mask = self._optimizer.add_variable(weight.shape, "ones", name="mask")
            weight.constraint = _Masked(mask)
            self._masks.append(mask)

    def on_train_batch_begin(self, batch, logs=None):
        """Notes the step, which a checkpoint may have restored."""
        self._before = int(self._optimizer.iterations)

    def on_train_batch_end(self, batch, logs=None):
        """Makes new masks, at the same steps in each training."""
        step = int(self._optimizer.iterations)
        if step // self._every != self._before // self._every:
            self._update_masks(schedule_sparsity(step, self._steps, self._share))

    def _update_masks(self, share: float) -> None:
        for weight, mask in zip(self._weights, self._masks, strict=True):
            magnitudes = np.abs(np.asarray(weight)).ravel()
            count = round(share * magnitudes.size)
            kept = np.ones(magnitudes.size, "float32")
            # a stable order, so that ties are broken in the same way everywhere
            kept[np.argsort(magnitudes, kind="stable")[:count]] = 0
            mask.assign(kept.reshape(weight.shape))
            weight.assign(tf.convert_to_tensor(weight) * mask)
