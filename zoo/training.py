"""Compiles and fits a model by a recipe, with Keras' own parts."""

import dataclasses
import math
import statistics
from collections.abc import Container
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from zoo import callbacks, distribution, finetuning, interruption, optimizers, registry
from zoo import data as datasets
from zoo import metrics as example_metrics
from zoo import recipe as recipes
from zoo.checkpoints import Checkpoint, State
from zoo.data import pipeline
from zoo.data.spec import Arrays, Data, Spec
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.run_folder import LAST, replacing


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


def build(
    entry: registry.Entry,
    hparams: dict[str, Any],
    recipe: Recipe,
    data: Data,
    seed: int,
    weights: Path | None = None,
) -> tuple[keras.Model, list[finetuning.Taken]]:
    """The model, ready for `fit`, and of each of its blocks whether it was taken over.

    Args:
        entry: What to build.
        hparams: Its hyperparameters.
        recipe: How it will be trained; Keras' global dtype policy becomes its precision.
        data: What it will be trained on.
        seed: Makes its weights; Python's, NumPy's and TensorFlow's generators are set to it.
        weights: A run, an export or a .keras file to start from.

    Raises:
        UserError: if the hyperparameters do not suit the data, or nothing of the weights fits.
    """
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(recipe.precision)
    model = registry.build(entry, data.spec, hparams)
    table = finetuning.take_over(model, weights) if weights else []
    adapt(model, data, {item.name for item in table if not item.reason})
    compile_model(model, data, recipe, {item.name for item in table if item.reason})
    return model, table


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


def compile_model(model: keras.Model, data: Data, recipe: Recipe, new: Container[str] = ()) -> None:
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
    # else the first step makes its variables, and Keras traces it a second time
    model.optimizer.build(model.trainable_variables)
    distribution.agree_on_overflow(model)


def _metrics_of_examples(model, loss, loss_weights, metrics: list, class_weights) -> list:
    """The loss and the metrics for batches in parts."""
    scale = loss_weights["logits"] if loss_weights else 1.0
    weights = None if class_weights is None else class_weights.tolist()
    shown = example_metrics.ExampleLoss(loss, scale, weights)
    shown.penalties = lambda: model.losses
    return [shown, *map(example_metrics.of_examples, metrics)]


def fit(
    model: keras.Model,
    data: Data,
    recipe: Recipe,
    *,
    seed: int,
    run_dir: Path,
    start: Checkpoint | None = None,
    checkpoint_every: str = "5m",
) -> dict[str, Any]:
    """Trains the compiled model and leaves its best and last state in the run folder.

    Args:
        model: What `build` made; it ends with the last weights, or the best ones if the recipe
            stops early, or their moving average if it keeps one.
        data: Where the training and validation splits come from.
        recipe: How to train.
        seed: Order of the examples and their augmentation.
        run_dir: Gets history.csv, TensorBoard logs, best.keras, last.keras and checkpoints, of
            several workers from the chief alone.
        start: The checkpoint to go on from: what comes out is, to the last bit, what comes out
            of a training that was never cut off.
        checkpoint_every: Steps, as in "500", or minutes, as in "5m", between checkpoints.

    Returns:
        {"history": {name: values by epoch}, "seconds": of the training with its validation,
        "examples_per_second": median over the epochs, without validation}.

    Raises:
        UserError: if the loss is not finite, or the checkpoint is not of this training.
        Interrupted: after SIGINT or SIGTERM, with a new checkpoint.
    """
    state = start.state if start else State()
    steps = _steps(data, recipe) * recipe.accumulate_steps
    epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
    train, validation = _batches(model, data, recipe, seed, epoch)
    strategy = model.distribute_strategy
    if start and strategy.num_replicas_in_sync == 1:
        # Keras makes the variables of optimizer and metrics in its first step, too late to restore
        with strategy.scope():
            model._symbolic_build(data_batch=next(iter(train)))
    if start:
        callbacks.pass_over(model, state.step, model.steps_per_execution)
    with interruption.noted() as signalled:
        keep = callbacks.Keep(state, start, recipe, steps, run_dir, checkpoint_every, signalled)
        model.fit(
            train,
            validation_data=validation,
            initial_epoch=state.epoch,
            epochs=recipe.epochs,
            callbacks=[*_callbacks(model, state, epoch, data, recipe, run_dir), keep],
            verbose=0,
            shuffle=False,
        )
    if distribution.is_chief(strategy):
        with replacing(run_dir / LAST) as draft:
            model.save(draft)
    return {
        "history": {name: [row[name] for row in state.history] for name in state.history[0]},
        "seconds": round(state.seconds, 2),
        "examples_per_second": round(statistics.median(state.rates), 1),
    }


def _batches(
    model: keras.Model, data: Data, recipe: Recipe, seed: int, epoch: tf.Variable
) -> tuple[tf.data.Dataset, tf.data.Dataset]:
    """Batches of the training split, shuffled for the `epoch`, and of the validation split."""
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
    return train, validation


def one_hot(recipe: Recipe) -> bool:
    """Whether the loss needs a probability for each class instead of a class."""
    return bool(recipe.label_smoothing) or "mixup" in recipes.augmentation(recipe.augment)


def _monitored(spec: Spec) -> tuple[str, str]:
    """The validation score that picks the best epoch, and whether "max" or "min" is best."""
    return ("val_loss", "min") if spec.class_names is None else ("val_accuracy", "max")


def _steps(data: Data, recipe: Recipe) -> int:
    return math.ceil(len(data.train) / recipe.batch_size)


def _callbacks(
    model: keras.Model,
    state: State,
    epoch: tf.Variable,
    data: Data,
    recipe: Recipe,
    run_dir: Path,
) -> list[keras.callbacks.Callback]:
    monitor, mode = _monitored(data.spec)
    chief = distribution.is_chief(model.distribute_strategy)
    # first, so that the others see the averaged weights
    averaged = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if recipe.ema else []
    logs = [keras.callbacks.TensorBoard(run_dir / "tensorboard")] if chief else []
    return [
        *averaged,
        callbacks.Progress(state, epoch, len(data.train), recipe, chief),
        callbacks.Best(state, monitor, mode, recipe.early_stopping, run_dir, chief),
        *logs,
    ]


def _class_weights(data: Data, recipe: Recipe) -> np.ndarray | None:
    """float32 weights of the classes, with mean 1 over the training examples if "balanced"."""
    if not recipe.class_weights:
        return None
    if recipe.class_weights != "balanced":
        return np.array(recipes.class_weights(recipe.class_weights), "float32")
    labels = datasets.labels(data.train)
    counts = np.bincount(labels, minlength=data.spec.num_classes)
    return (len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype("float32")
