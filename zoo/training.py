"""Compiles and fits a model by a recipe, with Keras' own parts."""

import dataclasses
import math
import statistics
import sys
import time
from collections.abc import Container
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from zoo import distribution, finetuning, optimizers
from zoo import metrics as example_metrics
from zoo import recipe as recipes
from zoo.data import pipeline
from zoo.data.spec import Arrays, Data, Spec
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.run_folder import BEST, LAST


def check(recipe: Recipe, spec: Spec) -> None:
    """Refuses a recipe that does not suit the data, before anything is built.

    Raises:
        UserError: for class weights that are not as many as the classes, or augmentation and
            label smoothing where there are no images or classes.
    """
    changes = recipes.augmentation(recipe.augment)
    if changes and spec.kind != "image":
        raise UserError(f"augment={recipe.augment!r}: the dataset has {spec.kind}, not images")
    if spec.class_names is None:
        for setting in ("label_smoothing", "class_weights"):
            if getattr(recipe, setting):
                raise UserError(f"{setting}: the target is a number, there are no classes")
    elif "mixup" in changes and recipe.class_weights:
        raise UserError("augment: mixup blends classes and cannot go with class_weights")
    if recipe.class_weights not in ("", "balanced"):
        given = recipes.class_weights(recipe.class_weights)
        if len(given) != spec.num_classes:
            raise UserError(
                f"class_weights={recipe.class_weights!r}: {len(given)} numbers for "
                f"{spec.num_classes} classes: {', '.join(spec.class_names)}"
            )


def suited(recipe: Recipe, examples: int, named: set[str]) -> Recipe:
    """The recipe with a smaller batch where there are few examples, unless the user named one.

    The recipes are made for tens of thousands of examples. With a hundred, one batch would be the
    whole epoch, so that a training would end after a dozen steps: the batch is halved, down to 8,
    until an epoch has 30 steps.
    """
    batch_size = recipe.batch_size
    while "batch_size" not in named and batch_size > 8 and examples / batch_size < 30:
        batch_size //= 2
    return dataclasses.replace(recipe, batch_size=batch_size)


def adapt(model: keras.Model, data: Data, taken: Container[str] = ()) -> None:
    """Sets the statistics of the model's `Normalization` layers from the training split.

    Those of the inputs stay if they were taken over, and those of the targets if the head was.
    """
    for name, column, owner in (
        ("normalization", 0, "normalization"),
        ("denormalization", 1, finetuning.HEAD),
    ):
        layer = next((layer for layer in model.layers if layer.name == name), None)
        if layer is None or owner in taken:
            continue
        if isinstance(data.train, Arrays):
            layer.adapt((data.train.x, data.train.y)[column])
        else:
            values = data.train.read(None).map(lambda *pair, column=column: pair[column])
            layer.adapt(values.batch(1024))


def compile(model: keras.Model, data: Data, recipe: Recipe, new: Container[str] = ()) -> None:
    """Compiles the model with the recipe's loss, metrics, penalties and optimizer.

    What the recipe does not train is frozen, except for the `new` blocks and the head.

    Classification: cross-entropy and accuracy. Regression: MSE, weighted by 1 / variance of the
    training targets so that the loss has no units, and MAE, MSE and R2 in the target's own.
    """
    finetuning.freeze(model, recipe, new)
    if recipe.l1 or recipe.l2:
        for weight in model.trainable_weights:
            if weight.name == "kernel":
                weight.regularizer = keras.regularizers.L1L2(recipe.l1, recipe.l2)
    loss_weights = None
    if data.spec.class_names is None:
        loss = keras.losses.MeanSquaredError()
        metrics = [
            keras.metrics.MeanAbsoluteError(name="mae"),
            keras.metrics.MeanSquaredError(name="mse"),
            keras.metrics.R2Score(name="r2"),
        ]
        variance = float(model.get_layer("denormalization").variance.numpy().item())
        loss_weights = {"logits": 1 / max(variance, 1e-12)}
    elif one_hot(recipe):
        loss = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=recipe.label_smoothing
        )
        metrics = [keras.metrics.CategoricalAccuracy(name="accuracy")]
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    parted = distribution.parted(model.distribute_strategy, recipe)
    if parted:
        weights = _class_weights(data, recipe)
        with model.distribute_strategy.scope():
            metrics = _metrics_of_examples(model, loss, loss_weights, metrics, weights)
    model.compile(
        optimizer=optimizers.optimizer(
            recipe, _steps(data, recipe) * recipe.epochs, finetuning.rates(model, recipe)
        ),
        loss={"logits": loss},
        loss_weights=loss_weights,
        metrics=None if parted else {"logits": metrics},
        weighted_metrics={"logits": metrics} if parted else None,
        jit_compile=recipe.jit_compile,
        steps_per_execution=min(
            recipe.steps_per_execution, _steps(data, recipe) * recipe.accumulate_steps
        ),
    )
    distribution.agree_on_overflow(model)


def _metrics_of_examples(model, loss, loss_weights, metrics: list, class_weights) -> list:
    """The loss and the metrics for batches in parts."""
    scale = loss_weights["logits"] if loss_weights else 1.0
    weights = None if class_weights is None else class_weights.tolist()
    shown = example_metrics.ExampleLoss(loss, scale, weights)
    shown.penalties = lambda: model.losses
    return [shown, *map(example_metrics.of_examples, metrics)]


def fit(
    model: keras.Model, data: Data, recipe: Recipe, *, seed: int, run_dir: Path | None
) -> dict[str, Any]:
    """Trains the compiled model and leaves its best and last state in the run folder.

    Args:
        model: What `compile` was called on; it ends with the last weights, or the best ones if the
            recipe stops early, or their moving average if it keeps one.
        data: Where the training and validation splits come from.
        recipe: How to train.
        seed: Order of the examples and their augmentation.
        run_dir: Gets history.csv, TensorBoard logs, best.keras and last.keras; None where another
            worker, the chief, writes them.

    Returns:
        {"history": {name: values by epoch}, "seconds": of the training with its validation,
        "examples_per_second": median over the epochs, without validation}.

    Raises:
        UserError: if the loss is not finite.
    """
    epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
    strategy = model.distribute_strategy
    train = distribution.batches(
        strategy,
        recipe,
        lambda parts: pipeline.training_batches(
            data.train,
            data.spec,
            batch_size=recipe.batch_size,
            seed=seed,
            epoch=epoch,
            changes=recipes.augmentation(recipe.augment),
            one_hot=one_hot(recipe),
            class_weights=_class_weights(data, recipe),
            parts=parts,
        ),
    )
    validation = distribution.batches(
        strategy,
        recipe,
        lambda parts: pipeline.batches(
            data.validation,
            data.spec,
            batch_size=recipe.batch_size,
            one_hot=one_hot(recipe),
            parts=parts,
        ),
    )
    progress = Progress(epoch, len(data.train), recipe, quiet=run_dir is None)
    started = time.perf_counter()
    history = model.fit(
        train,
        validation_data=validation,
        epochs=recipe.epochs,
        callbacks=[progress, *_callbacks(data.spec, recipe, run_dir)],
        verbose=0,
        shuffle=False,
    )
    seconds = time.perf_counter() - started
    if not math.isfinite(history.history["loss"][-1]):
        raise UserError(
            f"the loss is {history.history['loss'][-1]} in epoch {len(progress.rates)}: training "
            f"was stopped. Try a learning rate below {recipe.learning_rate:g}, or --clip_norm=1"
        )
    if run_dir:
        model.save(run_dir / LAST)
    return {
        "history": history.history,
        "seconds": round(seconds, 2),
        "examples_per_second": round(statistics.median(progress.rates), 1),
    }


def one_hot(recipe: Recipe) -> bool:
    """Whether the loss needs a probability for each class instead of a class."""
    return bool(recipe.label_smoothing) or "mixup" in recipes.augmentation(recipe.augment)


def _monitored(spec: Spec) -> tuple[str, str]:
    """The validation score that picks the best epoch, and whether "max" or "min" is best."""
    return ("val_loss", "min") if spec.class_names is None else ("val_accuracy", "max")


class Progress(keras.callbacks.Callback):
    """Tells the dataset which epoch it is, times it, and shows how the training goes.

    On a terminal there is a bar with the loss, the score, examples/s and the time left; elsewhere
    only a line an epoch.

    Attributes:
        rates: Examples per second of each epoch, without validation.
    """

    def __init__(self, epoch: tf.Variable, examples: int, recipe: Recipe, quiet: bool = False):
        super().__init__()
        self._quiet = quiet
        self.rates = []
        self._epoch = epoch
        self._examples = examples
        self._recipe = recipe

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the epoch that the dataset reads."""
        self._epoch.assign(epoch)
        self._title = f"epoch {epoch + 1}/{self._recipe.epochs}"
        self._bar = tqdm(
            total=self._examples,
            desc=self._title,
            unit=" examples",
            leave=False,
            disable=self._quiet or not sys.stderr.isatty(),
        )
        self._trained = None
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        """Moves the bar."""
        if not self._bar.disable:
            done = (batch + 1) * self._recipe.batch_size // self._recipe.accumulate_steps
            done = min(done, self._examples)
            self._bar.update(done - self._bar.n)
            self._bar.set_postfix_str(_scores(logs), refresh=False)

    def on_test_begin(self, logs=None):
        """The training part of the epoch ends where validation begins."""
        self._trained = self._trained or time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        """Adds the rate to what is logged, and prints the epoch's line."""
        self._bar.close()
        trained = self._trained or time.perf_counter()
        self.rates.append(self._examples / (trained - self._started))
        logs["learning_rate"] = float(
            keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        )
        logs["examples_per_second"] = round(self.rates[-1], 1)
        if self._quiet:
            return
        elapsed = time.perf_counter() - self._started
        left = elapsed * (self._recipe.epochs - epoch - 1)
        shown = {k: v for k, v in logs.items() if k not in ("learning_rate", "examples_per_second")}
        print(
            f"{self._title}  {_scores(shown)}  {self.rates[-1]:,.0f} examples/s"
            f"  {elapsed:.1f} s" + (f"  (about {left:.0f} s left)" if left else ""),
            flush=True,
        )


def _scores(logs: dict[str, Any]) -> str:
    return "  ".join(f"{name} {float(value):.4f}" for name, value in logs.items())


def _steps(data: Data, recipe: Recipe) -> int:
    return math.ceil(len(data.train) / recipe.batch_size)


def _callbacks(spec: Spec, recipe: Recipe, run_dir: Path | None) -> list[keras.callbacks.Callback]:
    """The recipe's callbacks, and where there is a run folder those that write there."""
    monitor, mode = _monitored(spec)
    callbacks = []
    if recipe.ema:
        # first, so that the others see the averaged weights
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    if run_dir:
        best = keras.callbacks.ModelCheckpoint(
            run_dir / BEST, monitor, save_best_only=True, mode=mode
        )
        callbacks += [
            best,
            keras.callbacks.CSVLogger(run_dir / "history.csv"),
            keras.callbacks.TensorBoard(run_dir / "tensorboard"),
        ]
    callbacks.append(keras.callbacks.TerminateOnNaN())
    if recipe.early_stopping:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor, patience=recipe.early_stopping, mode=mode, restore_best_weights=True
            )
        )
    return callbacks


def _class_weights(data: Data, recipe: Recipe) -> np.ndarray | None:
    """float32 weights of the classes, with mean 1 over the training examples if "balanced"."""
    if not recipe.class_weights:
        return None
    if recipe.class_weights != "balanced":
        return np.array(recipes.class_weights(recipe.class_weights), "float32")
    if isinstance(data.train, Arrays):
        labels = data.train.y
    else:
        labels = np.fromiter((y for _, y in data.train.read(None).as_numpy_iterator()), "int64")
    counts = np.bincount(labels, minlength=data.spec.num_classes)
    return (len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype("float32")
