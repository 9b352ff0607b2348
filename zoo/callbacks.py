"""What happens between the steps of a training; all of it goes on from a `State`."""

import csv
import math
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from zoo import checkpoints, distribution
from zoo.checkpoints import Checkpoint, State
from zoo.errors import UserError
from zoo.interruption import Interrupted
from zoo.recipe import Recipe
from zoo.run_folder import BEST, HISTORY, interval, replacing

_SOON = 10  # seconds of work that a checkpoint at the end of an epoch is worth


class Progress(keras.callbacks.Callback):
    """Tells the dataset which epoch it is, times it, and shows how the training goes.

    On a terminal there is a bar with the loss, the score, examples/s and the time left; elsewhere
    only a line an epoch. Of several workers the chief alone shows anything.
    """

    def __init__(
        self, state: State, epoch: tf.Variable, examples: int, recipe: Recipe, chief: bool
    ):
        super().__init__()
        self._state = state
        self._epoch = epoch
        self._examples = examples
        self._recipe = recipe
        self._chief = chief

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the epoch that the dataset reads."""
        self._epoch.assign(epoch)
        self._title = f"epoch {epoch + 1}/{self._recipe.epochs}"
        self._bar = tqdm(
            total=self._examples,
            desc=self._title,
            unit=" examples",
            leave=False,
            disable=not (self._chief and sys.stderr.isatty()),
        )
        # of an epoch that was cut off, as if it had begun that much earlier
        self._started = time.perf_counter() - self._state.elapsed

    def on_train_batch_end(self, batch, logs=None):
        """Moves the bar, and takes the time."""
        self._state.elapsed = time.perf_counter() - self._started
        if not self._bar.disable:
            done = (batch + 1) * self._recipe.batch_size // self._recipe.accumulate_steps
            self._bar.update(min(done, self._examples) - self._bar.n)
            self._bar.set_postfix_str(_scores(logs), refresh=False)

    def on_epoch_end(self, epoch, logs=None):
        """Prints the epoch's line."""
        self._bar.close()
        rate = self._examples / self._state.elapsed
        seconds = time.perf_counter() - self._started
        self._state.rates.append(rate)
        self._state.seconds += seconds
        if not self._chief:
            return
        left = seconds * (self._recipe.epochs - epoch - 1)
        print(
            f"{self._title}  {_scores(logs)}  {rate:,.0f} examples/s"
            f"  {seconds:.1f} s" + (f"  (about {left:.0f} s left)" if left else ""),
            flush=True,
        )


class Best(keras.callbacks.Callback):
    """Keeps the model of the best epoch in best.keras; stops when no better one comes."""

    def __init__(
        self, state: State, score: str, mode: str, patience: int, run_dir: Path, chief: bool
    ):
        super().__init__()
        self._state = state
        self._score = score
        self._better = {"max": float.__gt__, "min": float.__lt__}[mode]
        self._patience = patience
        self._path = run_dir / BEST
        self._chief = chief

    def on_epoch_end(self, epoch, logs=None):
        """Saves the model if it is the best so far."""
        score = float(logs[self._score])
        if self._state.best is None or self._better(score, self._state.best):
            self._state.best, self._state.waited = score, 0
            if self._chief:
                with replacing(self._path) as draft:
                    self.model.save(draft)
        else:
            self._state.waited += 1
            if self._patience and self._state.waited >= self._patience:
                self.model.stop_training = True

    def on_train_end(self, logs=None):
        """Gives the model the weights of the best epoch, if training was to stop early."""
        if self._patience and self._chief:
            self.model.load_weights(self._path)


class Keep(keras.callbacks.Callback):
    """Goes on from a checkpoint, writes new ones and history.csv; the last of the callbacks.

    A checkpoint is due after so many steps or seconds, at the end of an epoch's steps if there is
    work worth it or the run may end with them, and when a signal has come.
    """

    def __init__(
        self,
        state: State,
        start: Checkpoint | None,
        recipe: Recipe,
        steps: int,
        run_dir: Path,
        every: str,
        signalled: Callable[[], int | None],
    ):
        super().__init__()
        self._state = state
        self._start = start
        self._recipe = recipe
        self._steps = steps
        self._run_dir = run_dir
        self._unit, self._every = interval(every)
        self._signalled = signalled

    def on_train_begin(self, logs=None):
        """From here on work can be lost."""
        self._saved = time.perf_counter()
        self._unsaved = 0

    def on_epoch_begin(self, epoch, logs=None):
        """Restores all variables, now that Keras has reset the metrics."""
        if self._start:
            checkpoints.restore(self._start, variables(self.model))
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
                raise self._diverged(f"the loss is {logs['loss']}", done)
            self._unsaved += done - self._state.step
            self._state.step = done
        signum = self._signalled()
        # all workers save, or none: values that are summed over them are exchanged for it
        stop, due = distribution.any_worker(
            self.model.distribute_strategy, signum is not None, self._due()
        )
        if self._unsaved and (stop or due):
            self._save()
        if stop:
            raise Interrupted(signum or signal.SIGTERM)

    def on_test_batch_end(self, batch, logs=None):
        """Ends after a signal: validation is made again from the last checkpoint."""
        if signum := self._signalled():
            raise Interrupted(signum)

    def on_epoch_end(self, epoch, logs=None):
        """Writes history.csv as far as it goes."""
        state = self._state
        row = {"epoch": epoch} | {name: float(value) for name, value in logs.items()}
        state.history.append(row | {"learning_rate": self._learning_rate()})
        state.epoch, state.step, state.elapsed = epoch + 1, 0, 0.0
        if not self._chief():
            return
        with replacing(self._run_dir / HISTORY) as draft, open(draft, "w", newline="") as file:
            writer = csv.DictWriter(file, list(state.history[-1]))
            writer.writeheader()
            writer.writerows(state.history)

    def _due(self) -> bool:
        waited, state = time.perf_counter() - self._saved, self._state
        if (waited if self._unit == "seconds" else self._unsaved) >= self._every:
            return True
        if state.step < self._steps:
            return False
        patience = self._recipe.early_stopping
        last = state.epoch + 1 == self._recipe.epochs or 0 < patience <= state.waited + 1
        return last or waited >= _SOON

    def _save(self) -> None:
        arrays = [keras.ops.convert_to_numpy(variable) for variable in variables(self.model)]
        # the loss that they would give is only known after the next step
        if not all(np.isfinite(array).all() for array in arrays):
            raise self._diverged("the weights are not finite", self._state.step)
        if self._chief():
            checkpoints.save(self._run_dir, arrays, self._state)
        self._saved, self._unsaved = time.perf_counter(), 0

    def _chief(self) -> bool:
        return distribution.is_chief(self.model.distribute_strategy)

    def _diverged(self, what: str, step: int) -> UserError:
        recipe = self._recipe
        return UserError(
            f"{what} after step {step} of epoch {self._state.epoch + 1}, at a learning rate of "
            f"{self._learning_rate():.3g}: training was stopped, its last checkpoint is kept. Try "
            f"--learning_rate={recipe.learning_rate / 10:g}"
            + ("" if recipe.clip_norm else " or --clip_norm=1")
        )

    def _learning_rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))


def variables(model: keras.Model) -> list[keras.Variable]:
    """All that training changes: of the model, its optimizer and its metrics."""
    found = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return list({id(variable): variable for variable in found}.values())


def pass_over(model: keras.Model, batches: int, steps_per_execution: int) -> None:
    """Lets the model's next training pass over the batches that it was trained on before.

    They are read and dropped, so that those after them come as they would have come.
    """
    model.make_train_function()
    step, left = model.train_function, batches

    def step_or_pass(iterator):
        nonlocal left
        if not left:
            return step(iterator)
        for _ in range(min(left, steps_per_execution)):
            next(iterator)
            left -= 1
        return model.get_metrics_result()

    model.train_function = step_or_pass


def _scores(logs: dict[str, Any]) -> str:
    return "  ".join(f"{name} {float(value):.4f}" for name, value in logs.items())
