"""Callbacks of `fit`: progress, the best model and checkpoints; all resume a `TrainingState`."""

import csv
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo.console import progress_bar
from zoo.distribution.strategy import any_worker, is_chief
from zoo.errors import UserError
from zoo.storage.atomic import replace_file
from zoo.storage.filenames import BEST, HISTORY
from zoo.training.checkpoints import Checkpoint, TrainingState, restore_checkpoint, save_checkpoint
from zoo.training.class_balance import count_epoch_examples
from zoo.training.phases import Phase
from zoo.training.run_folder import parse_checkpoint_interval
from zoo.training.signals import Interrupted

_MIN_EPOCH_CHECKPOINT_SECONDS = 10  # between the last checkpoint and one at the end of an epoch


class ProgressCallback(keras.callbacks.Callback):
    """Shows the progress of the training, and sets the epoch that the dataset reads.

    On a terminal a bar shows the loss, the score, examples/s and the time left. Each epoch ends
    with a printed line. With several workers only the chief shows anything.

    Args:
        state: Where the training is; gets the times and rates of the epochs.
        epoch: Variable that the dataset reads.
        phase: What is trained, and on what.
        chief: Whether this process shows the progress.
        title: Text in front of the bar. With a title, no lines are printed.
    """

    def __init__(
        self,
        state: TrainingState,
        epoch: tf.Variable,
        phase: Phase,
        chief: bool,
        title: str = "",
    ):
        super().__init__()
        self._state = state
        self._epoch = epoch
        self._phase = phase
        self._examples = count_epoch_examples(phase.data, phase.recipe)
        self._recipe = phase.recipe
        self._chief = chief
        self._title = title

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the epoch that the dataset reads."""
        self._epoch.assign(epoch)
        number = epoch + 1 - self._phase.first_epoch
        self._epoch_name = f"{self._phase.title} {number}/{self._recipe.epochs}"
        name = f"{self._title}, {self._epoch_name}" if self._title else self._epoch_name
        self._bar = progress_bar(
            self._examples, name, unit=" examples", delay=0, hidden=not self._chief
        )
        # the time of a resumed epoch includes that before the interruption
        self._started = time.perf_counter() - self._state.elapsed

    def on_train_batch_end(self, batch, logs=None):
        """Updates the bar and the elapsed time."""
        self._state.elapsed = time.perf_counter() - self._started
        if not self._bar.disable:
            done = (batch + 1) * self._recipe.batch_size // self._recipe.accumulate_steps
            self._bar.set_postfix_str(_format_logs(logs), refresh=False)
            self._bar.update(min(done, self._examples) - self._bar.n)

    def on_epoch_end(self, epoch, logs=None):
        """Prints the line of the epoch."""
        self._bar.close()
        rate = self._examples / self._state.elapsed
        seconds = time.perf_counter() - self._started
        self._state.rates.append(rate)
        self._state.seconds += seconds
        if self._title or not self._chief:
            return
        remaining = seconds * (self._phase.last_epoch - epoch - 1)
        print(
            f"{self._epoch_name}  {_format_logs(logs)}  {rate:,.0f} examples/s"
            f"  {seconds:.1f} s" + (f"  (about {remaining:.0f} s left)" if remaining else ""),
            flush=True,
        )


class BestModelCallback(keras.callbacks.Callback):
    """Saves the model of the best epoch as best.keras, and stops the training early.

    Of two epochs with the same score, such as an accuracy of 100%, the one with the lower
    validation loss is better.

    Args:
        state: Where the training is; gets the best score and its loss.
        score: Key of the validation score in the logs.
        mode: "max" or "min", the best value of the score.
        patience: Epochs without a better score after which training stops; 0 for no limit.
        run_dir: Folder of the run.
        chief: Whether this process writes files.
        whole: The model that is saved, if a part of it is trained.
    """

    def __init__(
        self,
        state: TrainingState,
        score: str,
        mode: str,
        patience: int,
        run_dir: Path,
        chief: bool,
        whole: keras.Model | None = None,
    ):
        super().__init__()
        self._state = state
        self._whole = whole
        self._score = score
        self._sign = {"max": -1, "min": 1}[mode]
        self._patience = patience
        self._path = run_dir / BEST
        self._chief = chief

    def on_epoch_end(self, epoch, logs=None):
        """Saves the model if it is the best so far."""
        state, score, loss = self._state, float(logs[self._score]), float(logs["val_loss"])
        if self._is_best(score, loss):
            state.best, state.best_loss, state.waited = score, loss, 0
            if self._chief:
                with replace_file(self._path) as draft:
                    (self._whole or self.model).save(draft)
        else:
            state.waited += 1
            if self._patience and state.waited >= self._patience:
                self.model.stop_training = True

    def on_train_end(self, logs=None):
        """Loads the weights of the best epoch, if the recipe stops early."""
        if self._patience and self._chief:
            (self._whole or self.model).load_weights(self._path)

    def _is_best(self, score: float, loss: float) -> bool:
        state = self._state
        if state.best is None or score == state.best:
            # checkpoints of earlier versions have no loss of the best epoch
            return state.best is None or (state.best_loss is not None and loss < state.best_loss)
        return self._sign * score < self._sign * state.best


class CheckpointCallback(keras.callbacks.Callback):
    """Restores a checkpoint, and writes new ones and history.csv; must be the last callback.

    Checkpoints are written after the given number of steps or seconds, on a signal, and after the
    last step of an epoch if it may be the last epoch or the last checkpoint is older than 10
    seconds.

    Args:
        state: Where the training is.
        start: The checkpoint to resume from.
        phase: What is trained, and how.
        steps: Steps of an epoch, in micro-batches.
        run_dir: Folder of the run.
        every: Steps ("500") or minutes ("5m") between checkpoints.
        received_signal: Returns the number of a signal that was received, or None.
    """

    def __init__(
        self,
        state: TrainingState,
        start: Checkpoint | None,
        phase: Phase,
        steps: int,
        run_dir: Path,
        every: str,
        received_signal: Callable[[], int | None],
    ):
        super().__init__()
        self._state = state
        self._start = start
        self._phase = phase
        self._recipe = phase.recipe
        self._steps = steps
        self._run_dir = run_dir
        self._unit, self._every = parse_checkpoint_interval(every)
        self._received_signal = received_signal

    def on_train_begin(self, logs=None):
        """Starts to count the work since the last checkpoint."""
        self._saved_at = time.perf_counter()
        self._unsaved = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Restores all variables; not earlier, since Keras resets the metrics before."""
        if self._start:
            restore_checkpoint(self._start, training_variables(self.model))
        self._start = None

    def on_train_batch_end(self, batch, logs=None):
        """Saves a checkpoint if one is due.

        Raises:
            UserError: if the loss is not finite.
            Interrupted: after a signal.
        """
        done = min(batch + 1, self._steps)
        if done > self._state.step:
            if not math.isfinite(logs["loss"]):
                raise self._make_divergence_error(f"the loss is {logs['loss']}", done)
            self._unsaved += done - self._state.step
            self._state.step = done
            if done == self._steps:  # with more epochs, a resumed run has another schedule
                self._state.learning_rate = self._learning_rate()
        signum = self._received_signal()
        # all workers save or none, since variables that are summed over workers are exchanged
        stop, due = any_worker(
            self.model.distribute_strategy, signum is not None, self._is_checkpoint_due()
        )
        if self._unsaved and (stop or due):
            self._save_checkpoint()
        if stop:
            raise Interrupted(signum or signal.SIGTERM)

    def on_test_batch_end(self, batch, logs=None):
        """Stops after a signal; a resumed run repeats the validation.

        Raises:
            Interrupted: after a signal.
        """
        if signum := self._received_signal():
            raise Interrupted(signum)

    def on_epoch_end(self, epoch, logs=None):
        """Adds the epoch to history.csv."""
        state = self._state
        row = {"epoch": epoch} | self._phase.columns
        row |= {name: float(value) for name, value in logs.items()}
        rate = self._learning_rate() if state.learning_rate is None else state.learning_rate
        state.history.append(row | {"learning_rate": rate})
        state.epoch, state.step, state.elapsed, state.learning_rate = epoch + 1, 0, 0.0, None
        if not self._is_chief():
            return
        with replace_file(self._run_dir / HISTORY) as draft, open(draft, "w", newline="") as file:
            writer = csv.DictWriter(file, list(state.history[-1]))
            writer.writeheader()
            writer.writerows(state.history)

    def _is_checkpoint_due(self) -> bool:
        age, state = time.perf_counter() - self._saved_at, self._state
        if (age if self._unit == "seconds" else self._unsaved) >= self._every:
            return True
        if state.step < self._steps:
            return False
        patience = self._recipe.early_stopping
        is_last = state.epoch + 1 == self._phase.last_epoch
        may_be_last = is_last or 0 < patience <= state.waited + 1
        return may_be_last or age >= _MIN_EPOCH_CHECKPOINT_SECONDS

    def _save_checkpoint(self) -> None:
        arrays = [
            keras.ops.convert_to_numpy(variable) for variable in training_variables(self.model)
        ]
        # the loss of these weights would only be known after the next step
        if not all(np.isfinite(array).all() for array in arrays):
            raise self._make_divergence_error("the weights are not finite", self._state.step)
        if self._is_chief():
            save_checkpoint(self._run_dir, arrays, self._state)
        self._saved_at, self._unsaved = time.perf_counter(), 0

    def _is_chief(self) -> bool:
        return is_chief(self.model.distribute_strategy)

    def _make_divergence_error(self, symptom: str, step: int) -> UserError:
        recipe = self._recipe
        return UserError(
            f"{symptom} after step {step} of epoch {self._state.epoch + 1}, at a learning rate of "
            f"{self._learning_rate():.3g}: training was stopped, the last checkpoint is kept. Try "
            f"--learning_rate={recipe.learning_rate / 10:g}"
            + ("" if recipe.clip_norm else " or --clip_norm=1")
        )

    def _learning_rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))


def training_variables(model: keras.Model) -> list[keras.Variable]:
    """Returns the variables of the model, its optimizer and its metrics, each once."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return list({id(variable): variable for variable in variables}.values())


def _format_logs(logs: dict[str, Any]) -> str:
    return "  ".join(f"{name} {float(value):.4f}" for name, value in logs.items())
