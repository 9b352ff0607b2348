"""The learning-rate range test: a short training whose learning rate rises until it diverges."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage
from tqdm import tqdm

from zoo.console import progress_bar
from zoo.data.splits import Data
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.training.class_balance import steps_per_epoch
from zoo.training.loop import distribute_training_batches

_STEPS, _LOWEST, _HIGHEST = 120, 1e-7, 10.0
_DIVERGED = 4  # times the lowest loss
_FALL = 0.99  # of the first loss, that the lowest is below
_SMOOTHED_STEPS = 3  # standard deviation of the weights of neighbours


@dataclasses.dataclass(frozen=True)
class RangeTest:
    """What a range test has measured.

    Attributes:
        rates: Learning rate of each step, float64 (n,).
        losses: Loss of the batch before that step, float64 (n,).
        smoothed: The losses, smoothed over neighbouring steps, float64 (n,).
        suggestion: The learning rate where the loss falls fastest; None if it does not fall.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None


def adapt_recipe_to_range_test(recipe: Recipe) -> Recipe:
    """Returns the recipe with a learning rate that can be set at each step."""
    return dataclasses.replace(
        recipe,
        head_epochs=None,
        schedule="constant",
        warmup=0.0,
        plateau_patience=None,
        early_stopping=0,
        ema=0.0,
        steps_per_execution=1,
    )


def run_range_test(model: keras.Model, data: Data, recipe: Recipe, seed: int) -> RangeTest:
    """Trains the model at rising learning rates, which spoils its weights.

    It follows Smith 2017, 'Cyclical learning rates for training neural networks' (arXiv 1506.01186,
    section 3.3), with a learning rate that grows by the same factor at each step.

    Args:
        model: A model that is compiled for `recipe`.
        data: The data, of which the training split is used.
        recipe: A recipe from `adapt_recipe_to_range_test`.
        seed: Seed of the order of the examples and of their augmentation.

    Raises:
        UserError: if the loss is not finite from the start.
    """
    epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
    batches = distribute_training_batches(model, data, recipe, seed, epoch)
    with progress_bar(_STEPS, "learning rates") as bar:
        callback = _RangeTestCallback(epoch, recipe.accumulate_steps, bar)
        epochs = math.ceil(_STEPS / steps_per_epoch(data, recipe))
        model.fit(batches, epochs=epochs, callbacks=[callback], verbose=0, shuffle=False)
    if not callback.losses:
        raise UserError(
            f"{data.name}: the loss is not finite before anything is learned: look for numbers "
            "among the inputs that are not finite or very large"
        )
    return summarize_losses(np.array(callback.losses))


def summarize_losses(losses: np.ndarray) -> RangeTest:
    """Returns the result of a range test with these losses, float (n,), of its first steps."""
    rates = _compute_rate(np.arange(len(losses)))
    smoothed = ndimage.gaussian_filter1d(losses, _SMOOTHED_STEPS, mode="nearest")
    best, suggestion = int(smoothed.argmin()), None
    if best > 0 and smoothed[best] < _FALL * smoothed[0]:
        steepest = int(np.gradient(smoothed[: best + 1]).argmin())
        suggestion = float(f"{rates[steepest]:.2g}")
    return RangeTest(rates, losses, smoothed, suggestion)


class _RangeTestCallback(keras.callbacks.Callback):
    """Sets the learning rate of each step, and notes the loss of its batch.

    Args:
        epoch: Variable that the dataset reads.
        accumulate_steps: Micro-batches of a batch.
        bar: Progress bar of the steps.
    """

    def __init__(self, epoch: tf.Variable, accumulate_steps: int, bar: tqdm):
        super().__init__()
        self.losses: list[float] = []
        self._epoch = epoch
        self._accumulate_steps = accumulate_steps
        self._bar = bar
        self._parts: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the epoch that the dataset reads."""
        self._epoch.assign(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        """Sets the learning rate."""
        self.model.reset_metrics()  # Keras reports the mean since the start of the epoch
        self.model.optimizer.learning_rate = float(_compute_rate(len(self.losses)))

    def on_train_batch_end(self, batch, logs=None):
        """Notes the loss, and ends the test when it diverges."""
        self._parts.append(float(logs["loss"]))
        if len(self._parts) < self._accumulate_steps:
            return
        loss, self._parts = float(np.mean(self._parts)), []
        self._bar.update()
        if math.isfinite(loss):
            self.losses.append(loss)
        is_lost = not math.isfinite(loss) or loss > _DIVERGED * min(self.losses)
        if is_lost or len(self.losses) >= _STEPS:
            self.model.stop_training = True


def _compute_rate(step):
    """Returns the learning rate of a step, or of an array of them."""
    return _LOWEST * (_HIGHEST / _LOWEST) ** (step / (_STEPS - 1))
