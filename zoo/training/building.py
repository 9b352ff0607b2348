"""Building a model for a dataset, and compiling it with a recipe."""

from collections.abc import Container
from typing import Any

import keras

from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data, read_labels
from zoo.distribution.strategy import uses_microbatches
from zoo.errors import UserError
from zoo.recipe import BLENDING, FOCAL_GAMMA, Recipe, parse_augmentation
from zoo.registry import Entry, find_entry, list_names
from zoo.training.class_balance import compute_class_weights, steps_per_epoch
from zoo.training.finetuning import freeze_layers, learning_rate_multipliers
from zoo.training.layer_statistics import adapt_layers
from zoo.training.losses import FocalLoss
from zoo.training.metrics import ExampleLoss, ExampleMetric, MicroF1, R2Score
from zoo.training.model_checks import (
    check_labels,
    check_model,
    check_text_columns,
    check_threshold,
)
from zoo.training.optimizers import make_optimizer
from zoo.training.preset_head import load_preset_head
from zoo.training.recipe_adaptation import make_main_recipe
from zoo.training.source import Source, replace_preset
from zoo.training.transfer import LayerTransfer, load_matching_weights


def build_model(entry: Entry, spec: Spec, hparams: dict[str, Any]) -> keras.Model:
    """Builds the entry's model for the data that `spec` describes.

    The settings of ~/.keras/keras.json do not count: the builders and the scores are written for
    Keras' own.

    Raises:
        UserError: if the model cannot read that kind or shape of data.
    """
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    if spec.kind not in entry.kinds:
        fitting = [name for name in list_names() if spec.kind in find_entry(name).kinds]
        advice = ""
        if "text" in entry.kinds:
            advice = ", or pass the column of texts with --text"
        elif spec.is_text and "features" in entry.kinds:
            advice = (
                ", or read the columns of a table: omit --text, or pass --columns=NAME:text with "
                "the column of texts"
            )
        raise UserError(
            f"{entry.name} reads {' or '.join(entry.kinds)} data, but the dataset has "
            f"{spec.kind} of shape {spec.shape}: choose one of {', '.join(fitting)}{advice}"
        )
    if spec.tokenizer:
        kind = spec.tokenizer.kind
        entry.check_tokens(f"tokenizer={kind!r}", kind, "omit --tokenizer")
    if spec.tokenizer and "vocabulary_size" in entry.arguments:
        hparams = {"vocabulary_size": len(spec.tokenizer.vocabulary), **hparams}
    if spec.tokenizer and spec.tokenizer.window:
        if "window" not in entry.arguments:
            raise UserError(
                f"{entry.name} does not read texts in windows, as --long_texts=windows divides "
                "them: choose bert or text_encoder, or weights that were trained without"
            )
        hparams = {"window": spec.tokenizer.window, **hparams}
    if spec.columns and "cardinalities" in entry.arguments:
        hparams = {"cardinalities": spec.cardinalities, **hparams}
    if spec.texts:
        check_text_columns(entry, spec)
        hparams = {"texts": spec.texts, **hparams}
    return entry.builder(spec.shape, spec.num_classes, **hparams)


def prepare_model(
    entry: Entry,
    hparams: dict[str, Any],
    recipe: Recipe,
    data: Data,
    seed: int,
    source: Source | None = None,
) -> tuple[keras.Model, list[LayerTransfer]]:
    """Builds a model that is ready for `fit`.

    Args:
        entry: The model to build.
        hparams: Its hyperparameters.
        recipe: How it will be trained; sets Keras' global dtype policy to the recipe's precision.
        data: The data it will be trained on.
        seed: Seed of its weights, and of Python's, NumPy's and TensorFlow's global generators.
        source: A trained model whose weights are copied where they fit.

    Returns:
        The compiled model, and for each layer with weights whether they were copied.

    Raises:
        UserError: if the hyperparameters don't fit the data, no weights fit the model, a label is
            not of the spec, or the builder of a plug-in breaks its contract.
    """
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(recipe.precision)
    check_labels(data)
    check_threshold(recipe, data)
    hparams = replace_preset(hparams, source) if source else hparams
    model = build_model(entry, data.spec, hparams)
    check_model(entry, model, data.spec)
    transfers = load_matching_weights(model, source, data.spec) if source else []
    if source is None:
        load_preset_head(model, hparams, data.spec)
    adapt_layers(model, data, {item.name for item in transfers if not item.reason})
    new = {item.name for item in transfers if item.reason}
    compile_model(model, data, make_main_recipe(recipe), new)
    return model, transfers


def compile_model(model: keras.Model, data: Data, recipe: Recipe, new: Container[str] = ()) -> None:
    """Compiles the model with the recipe's loss, metrics, penalties and optimizer.

    Layers that the recipe does not train are frozen, except for the `new` ones and the head.

    A classification has cross-entropy as loss and accuracy as metric; several labels per example
    have binary cross-entropy and micro F1. The loss of a regression is the MSE, divided by the
    variance of the training targets so that it has no unit; its metrics are MAE, MSE and R2, in the
    unit of the target.
    """
    freeze_layers(model, recipe, new)
    compile_trainable(model, data, recipe)


def compile_trainable(model: keras.Model, data: Data, recipe: Recipe) -> None:
    """Does what `compile_model` does, without a change of what is trainable."""
    if recipe.l1 or recipe.l2:
        for weight in model.trainable_weights:
            if weight.name == "kernel":
                weight.regularizer = keras.regularizers.L1L2(recipe.l1, recipe.l2)
    model.compile(**make_compile_options(model, data, recipe))
    # otherwise the first step creates the variables, and Keras traces it a second time
    model.optimizer.build(model.trainable_variables)


def make_compile_options(model: keras.Model, data: Data, recipe: Recipe) -> dict[str, Any]:
    """Returns the arguments of `keras.Model.compile` for a recipe; see `compile_model`."""
    mean, variance = _measure_targets(model, data)
    loss, metrics = _choose_loss_and_metrics(data, recipe, mean)
    loss_weights = {"logits": 1 / variance} if data.spec.class_names is None else None
    in_microbatches = uses_microbatches(model.distribute_strategy, recipe)
    if in_microbatches:
        with model.distribute_strategy.scope():
            metrics = _make_example_metrics(model, loss, loss_weights, metrics, data, recipe)
    steps = steps_per_epoch(data, recipe)
    return {
        "optimizer": make_optimizer(
            recipe,
            steps * recipe.epochs,
            learning_rate_multipliers(model, recipe),
            model.distribute_strategy.num_replicas_in_sync,
        ),
        "loss": {"logits": loss},
        "loss_weights": loss_weights,
        "metrics": None if in_microbatches else {"logits": metrics},
        "weighted_metrics": {"logits": metrics} if in_microbatches else None,
        "jit_compile": recipe.jit_compile,
        "steps_per_execution": min(recipe.steps_per_execution, steps * recipe.accumulate_steps),
    }


def _measure_targets(model: keras.Model, data: Data) -> tuple[float, float]:
    """Returns the mean and the variance of the training targets; (0, 1) for classes.

    The variance of a constant target is 1. A plug-in need not have a layer that knows them.
    """
    if data.spec.class_names is not None:
        return 0.0, 1.0
    layer = next((layer for layer in model.layers if layer.name == "denormalization"), None)
    if layer is not None:
        return layer.mean.numpy().item(), layer.variance.numpy().item() or 1.0
    targets = read_labels(data.train).astype("float64")
    return float(targets.mean()), float(targets.var()) or 1.0


def _choose_loss_and_metrics(
    data: Data, recipe: Recipe, mean: float
) -> tuple[keras.losses.Loss, list[keras.metrics.Metric]]:
    spec, smoothing = data.spec, recipe.label_smoothing
    if spec.class_names is None:
        metrics = [
            keras.metrics.MeanAbsoluteError(name="mae"),
            keras.metrics.MeanSquaredError(name="mse"),
            R2Score(mean),
        ]
        return keras.losses.MeanSquaredError(), metrics
    gamma = FOCAL_GAMMA if recipe.focal_gamma is None else recipe.focal_gamma
    if spec.multilabel:
        weights = compute_class_weights(data, recipe)
        if recipe.loss == "focal" or weights is not None:
            gamma = gamma if recipe.loss == "focal" else 0.0  # the cross-entropy
            positive = None if weights is None else weights.tolist()
            return FocalLoss(gamma, smoothing, True, positive), [MicroF1()]
        return keras.losses.BinaryCrossentropy(True, smoothing), [MicroF1()]
    if recipe.loss == "focal":
        loss = FocalLoss(gamma, smoothing)
        return loss, [keras.metrics.CategoricalAccuracy(name="accuracy")]
    if needs_one_hot(recipe):
        loss = keras.losses.CategoricalCrossentropy(True, smoothing)
        return loss, [keras.metrics.CategoricalAccuracy(name="accuracy")]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return loss, [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]


def _make_example_metrics(
    model: keras.Model, loss, loss_weights, metrics: list, data: Data, recipe: Recipe
) -> list:
    """Returns the loss, as it is reported, and the metrics for batches in micro-batches."""
    scale = loss_weights["logits"] if loss_weights else 1.0
    class_weights = None if data.spec.multilabel else compute_class_weights(data, recipe)
    weights = None if class_weights is None else class_weights.tolist()
    is_weighted = isinstance(data.train, Arrays) and data.train.weights is not None
    reported_loss = ExampleLoss(loss, scale, weights, is_weighted)
    reported_loss.penalties = lambda: model.losses
    return [reported_loss, *map(ExampleMetric, metrics)]


def needs_one_hot(recipe: Recipe) -> bool:
    """Returns whether the loss needs a probability for each class instead of a class."""
    changes = parse_augmentation(recipe.augment)
    return bool(recipe.label_smoothing or recipe.loss == "focal" or changes.keys() & BLENDING)
