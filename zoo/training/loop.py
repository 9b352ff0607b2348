"""The training loop."""

import dataclasses
import itertools
import statistics
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from zoo.data.batching import make_evaluation_batches, make_training_batches
from zoo.data.spec import Spec
from zoo.data.splits import Data
from zoo.distribution.keras_patches import build_training_variables, skip_batches
from zoo.distribution.strategy import distribute_batches, is_chief
from zoo.recipe import Recipe, parse_augmentation
from zoo.storage.atomic import replace_file
from zoo.storage.filenames import LAST
from zoo.training.building import needs_one_hot
from zoo.training.callbacks import BestModelCallback, CheckpointCallback, ProgressCallback
from zoo.training.checkpoints import Checkpoint, TrainingState
from zoo.training.class_balance import compute_class_weights, steps_per_epoch
from zoo.training.phases import Phase, make_main_phase, open_head_phase
from zoo.training.plateau import PlateauCallback
from zoo.training.recipe_adaptation import make_main_recipe
from zoo.training.schedules import make_schedule
from zoo.training.signals import defer_signals


def fit_model(
    model: keras.Model,
    data: Data,
    recipe: Recipe,
    *,
    seed: int,
    run_dir: Path,
    start: Checkpoint | None = None,
    checkpoint_every: str = "5m",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    title: str = "",
    new: Container[str] = (),
) -> dict[str, Any]:
    """Trains the compiled model and writes its best and last state to the folder of the run.

    Args:
        model: Gets the last weights, or the best if the recipe stops early; with ema, averages.
        data: The data, of which the training and validation splits are used.
        recipe: How to train.
        seed: Seed of the order of the examples and of their augmentation.
        run_dir: Gets history.csv, TensorBoard logs, best.keras, last.keras and checkpoints.
        start: Checkpoint to resume from; the result equals an uninterrupted run's bit for bit.
        checkpoint_every: Steps ("500") or minutes ("5m") between checkpoints.
        callbacks: Further callbacks.
        title: Text in front of the progress bar. With a title, no line is printed for an epoch.
        new: Names of newly initialised layers, which are trained with the head.

    Returns:
        "history" by epoch, "seconds" with validation, median "examples_per_second" without it.

    Raises:
        UserError: if the loss is not finite, or the checkpoint is of another training.
        Interrupted: after SIGINT or SIGTERM, with a new checkpoint.
    """
    state = start.state if start else TrainingState()
    options: dict[str, Any] = {"seed": seed, "run_dir": run_dir, "title": title}
    options |= {"checkpoint_every": checkpoint_every, "callbacks": callbacks}
    if recipe.head_epochs and state.head_epochs is None:
        with open_head_phase(model, data, recipe, new) as phase:
            _fit_phase(phase, model, state, start, **options)
        state.head_epochs, state.waited, state.reductions, start = state.epoch, 0, 0, None
    phase = make_main_phase(model, data, recipe, state.head_epochs or 0)
    plan_epochs(state, phase.recipe, data)
    _fit_phase(phase, model, state, start, **options)
    _save_last_model(model, run_dir)
    return _summarize_training(state)


def _fit_phase(
    phase: Phase,
    whole: keras.Model,
    state: TrainingState,
    start: Checkpoint | None,
    *,
    seed: int,
    run_dir: Path,
    checkpoint_every: str,
    callbacks: Sequence[keras.callbacks.Callback],
    title: str,
) -> None:
    """Trains the model of a phase, a part of the `whole`, from where the training is."""
    model, steps = phase.model, count_steps(phase.data, phase.recipe)
    epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
    train = distribute_training_batches(model, phase.data, phase.recipe, seed, epoch)
    if start:
        _prepare_resume(model, train, state)
    state.seconds += phase.seconds
    own = _make_callbacks(phase, whole, state, epoch, run_dir, title)
    with defer_signals() as received_signal:
        checkpointing = CheckpointCallback(
            state, start, phase, steps, run_dir, checkpoint_every, received_signal
        )
        validation = _distribute_validation_batches(model, phase.data, phase.recipe)
        epochs = {"initial_epoch": state.epoch, "epochs": phase.last_epoch}
        options = {"callbacks": [*own, *callbacks, checkpointing], "verbose": 0, "shuffle": False}
        model.fit(train, validation_data=validation, **epochs, **options)


def _save_last_model(model: keras.Model, run_dir: Path) -> None:
    if is_chief(model.distribute_strategy):
        with replace_file(run_dir / LAST) as draft:
            model.save(draft)


def _summarize_training(state: TrainingState) -> dict[str, Any]:
    return {
        "history": {name: [row[name] for row in state.history] for name in state.history[0]},
        "seconds": round(state.seconds, 2),
        "examples_per_second": round(statistics.median(state.rates[state.head_epochs :]), 1),
    }


def _prepare_resume(model: keras.Model, train: tf.data.Dataset, state: TrainingState) -> None:
    """Creates the variables that a checkpoint restores, and skips its batches."""
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        # Keras creates these variables in its first step, which is too late to restore them
        with strategy.scope():
            build_training_variables(model, next(iter(train)))
    skip_batches(model, state.step, model.steps_per_execution)


def distribute_training_batches(
    model: keras.Model, data: Data, recipe: Recipe, seed: int, epoch: tf.Variable
) -> "tf.data.Dataset | tf.distribute.DistributedDataset":
    """Returns the batches of the training split for `fit`, shuffled by epoch.

    Args:
        model: The compiled model.
        data: The data.
        recipe: How the model is trained.
        seed: Seed of the order of the examples and of their augmentation.
        epoch: int64 scalar that is read while the dataset is iterated.
    """
    return distribute_batches(
        model.distribute_strategy,
        recipe,
        lambda microbatches: make_training_batches(
            data.train,
            data.spec,
            batch_size=recipe.batch_size,
            seed=seed,
            epoch=epoch,
            changes=parse_augmentation(recipe.augment),
            one_hot=needs_one_hot(recipe),
            # those of several labels are in the loss
            class_weights=None if data.spec.multilabel else compute_class_weights(data, recipe),
            oversample=bool(recipe.oversample),
            microbatches=microbatches,
        ),
    )


def _distribute_validation_batches(
    model: keras.Model, data: Data, recipe: Recipe
) -> "tf.data.Dataset | tf.distribute.DistributedDataset":
    return distribute_batches(
        model.distribute_strategy,
        recipe,
        lambda microbatches: make_evaluation_batches(
            data.validation,
            data.spec,
            batch_size=recipe.batch_size,
            one_hot=needs_one_hot(recipe),
            microbatches=microbatches,
        ),
    )


def plan_epochs(state: TrainingState, recipe: Recipe, data: Data) -> None:
    """Records the number of epochs in the state of a training that starts or goes on.

    If it was stopped early and the epochs are raised, the patience starts anew.

    Args:
        state: Where the training is; changed in place.
        recipe: How to train, with the number of epochs.
        data: The data.
    """
    steps = count_steps(data, recipe)
    before = state.planned[-1][0] if state.planned else recipe.epochs
    if recipe.epochs > before and 0 < recipe.early_stopping <= state.waited + 1:
        # the validation of the last epoch is repeated, and does not count
        state.waited = -1 if state.step == steps else 0
    if not state.planned or recipe.epochs > before:
        state.planned.append([recipe.epochs, state.epoch - (state.head_epochs or 0)])


def count_steps(data: Data, recipe: Recipe) -> int:
    """Returns the number of steps of an epoch, in micro-batches."""
    return steps_per_epoch(data, recipe) * recipe.accumulate_steps


def describe_raised_epochs(start: Checkpoint, recipe: Recipe, data: Data) -> list[str]:
    """Describes how a run goes on, or went on before, with more epochs than it was to have.

    The further steps follow the recipe's schedule over all epochs, as if they had been planned from
    the start; the steps before are not repeated.

    Args:
        start: The checkpoint to resume from.
        recipe: How to train, with the number of epochs.
        data: The data, for the number of steps.

    Returns:
        A line for each time that the epochs were raised; the last is about this time if the
        recipe has more epochs than the checkpoint.
    """
    plans = [*start.state.planned]
    if plans and recipe.epochs > plans[-1][0]:
        plans.append([recipe.epochs, start.state.epoch - (start.state.head_epochs or 0)])
    steps, recipe = steps_per_epoch(data, recipe), make_main_recipe(recipe)
    return [
        f"epochs raised from {before} to {after} in epoch {epoch + 1}: "
        + _describe_schedule(recipe, before, after, min(epoch + 1, before) * steps, steps)
        for (before, _), (after, epoch) in itertools.pairwise(plans)
    ]


def _describe_schedule(recipe: Recipe, before: int, after: int, step: int, steps: int) -> str:
    """Returns the learning rates at a step of the schedule over `before` and `after` epochs."""
    old, new = (
        make_schedule(dataclasses.replace(recipe, epochs=epochs), steps * epochs)
        for epochs in (before, after)
    )
    if not callable(old) or not callable(new):
        return f"the learning rate stays {recipe.learning_rate:.3g}"
    if recipe.schedule == "plateau":
        return "the learning rate goes on where the plateau schedule had brought it"
    return (
        f"the {recipe.schedule} schedule now spans {after} epochs, and its learning rate goes on "
        f"at {float(new(step)):.3g} after {float(old(step)):.3g}; {after} epochs in one run end "
        "with other weights"
    )


def _choose_monitor(spec: Spec, recipe: Recipe) -> tuple[str, str]:
    """Returns the validation score that selects the best epoch, and "max" or "min"."""
    defaults = {"classification": "accuracy", "multilabel": "f1"}
    score = recipe.monitor or defaults.get(spec.task, "loss")
    return f"val_{score}", "max" if score in ("accuracy", "f1", "r2") else "min"


def _make_callbacks(
    phase: Phase,
    whole: keras.Model,
    state: TrainingState,
    epoch: tf.Variable,
    run_dir: Path,
    title: str,
) -> list[keras.callbacks.Callback]:
    model, recipe = phase.model, phase.recipe
    monitor, mode = _choose_monitor(phase.data.spec, recipe)
    chief = is_chief(model.distribute_strategy)
    # first, so that the other callbacks see the averaged weights
    averaging = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if recipe.ema else []
    logs = [keras.callbacks.TensorBoard(run_dir / "tensorboard")] if chief else []
    # Keras puts an optimizer that scales the loss around another one
    schedule = getattr(model.optimizer, "inner_optimizer", model.optimizer).plateau
    planned = dataclasses.replace(recipe, epochs=phase.last_epoch)
    plateau = [PlateauCallback(state, schedule, planned, chief)] if schedule else []
    return [
        *averaging,
        ProgressCallback(state, epoch, phase, chief, title),
        BestModelCallback(state, monitor, mode, recipe.early_stopping, run_dir, chief, whole),
        *plateau,
        *logs,
    ]
