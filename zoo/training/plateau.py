"""The plateau schedule: a learning rate that falls when the validation score does not improve."""

import keras
from keras.optimizers import schedules

from zoo.recipe import PLATEAU_PATIENCE, Recipe
from zoo.training.checkpoints import TrainingState

_FACTOR = 0.1  # of the learning rate, by each reduction
_MAX_REDUCTIONS = 4  # with a lower learning rate, nothing changes any more


@keras.saving.register_keras_serializable("zoo")
class PlateauSchedule(schedules.LearningRateSchedule):
    """A constant learning rate, which a callback reduces when a score does not improve.

    Args:
        peak: The learning rate before the first reduction.
        reductions: Number of reductions.
    """

    def __init__(self, peak: float, reductions: float = 0.0):
        self.peak = peak
        self.reductions = keras.Variable(reductions, dtype="float32", trainable=False)

    def __call__(self, step):
        """Returns the learning rate at a step, a float32 scalar."""
        return self.peak * _FACTOR**self.reductions.value

    def get_config(self):
        """Returns the arguments of the constructor."""
        reductions = float(keras.ops.convert_to_numpy(self.reductions))
        return {"peak": self.peak, "reductions": reductions}


class PlateauCallback(keras.callbacks.Callback):
    """Reduces the learning rate after epochs without a better validation score.

    It comes after `BestModelCallback`, which counts these epochs. Unlike `ReduceLROnPlateau` of
    Keras it goes on from a checkpoint: the number of reductions is in the `TrainingState`.

    Args:
        state: Where the training is; gets the number of reductions.
        schedule: The schedule that is reduced.
        recipe: How the model is trained.
        chief: Whether this process tells about it.
    """

    def __init__(
        self, state: TrainingState, schedule: PlateauSchedule, recipe: Recipe, chief: bool
    ):
        super().__init__()
        self._state = state
        self._schedule = schedule
        self._patience = recipe.plateau_patience or PLATEAU_PATIENCE
        self._epochs = recipe.epochs
        self._chief = chief

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the learning rate; not at the end of the epoch before, which records its own."""
        self._schedule.reductions.assign(self._state.reductions)

    def on_epoch_end(self, epoch, logs=None):
        """Decides whether the learning rate of the next epoch is lower."""
        state, waited = self._state, self._state.waited
        if waited <= 0 or waited % self._patience or state.reductions >= _MAX_REDUCTIONS:
            return
        state.reductions += 1
        if self._chief and epoch + 1 < self._epochs and not self.model.stop_training:
            rate = self._schedule.peak * _FACTOR**state.reductions
            print(
                f"no better validation score in {waited} epoch{'s' * (waited > 1)}: the learning "
                f"rate is now {rate:.3g}",
                flush=True,
            )
