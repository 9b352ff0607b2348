"""Stops the training of a trial that is weak."""

from collections.abc import Callable, Iterable

import keras


class TrialPruningCallback(keras.callbacks.Callback):
    """Follows a validation score, and stops the training after an epoch in which it is weak.

    Args:
        score: Name of the score, such as "accuracy".
        is_weak: Whether a trial with these scores by epoch, from 1, is weak.
        history: Logs of the epochs before, if the training was interrupted.

    Attributes:
        progress: The score after each epoch, by its number from 1.
        pruned: Whether the training was stopped.
    """

    def __init__(
        self,
        score: str,
        is_weak: Callable[[dict[int, float]], bool],
        history: Iterable[dict[str, float]],
    ):
        super().__init__()
        self._score = f"val_{score}"
        self._is_weak = is_weak
        self.progress = {int(row["epoch"]) + 1: row[self._score] for row in history}
        self.pruned = False

    def on_epoch_end(self, epoch, logs=None):
        """Stops the training if the trial is weak, but not after its last epoch."""
        self.progress[epoch + 1] = float(logs[self._score])
        if epoch + 1 < self.params["epochs"] and self._is_weak(self.progress):
            self.pruned = self.model.stop_training = True
