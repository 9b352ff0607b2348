"""Pretraining on texts without labels: the model, what it is compiled with, and its score."""

import math
from typing import Any

import keras
import numpy as np

from zoo.data.batching import make_evaluation_batches
from zoo.data.spec import Spec
from zoo.data.splits import Data, Split
from zoo.models.masked_language_model import build_masked_language_model
from zoo.recipe import Recipe
from zoo.registry import Entry
from zoo.training.building import build_model
from zoo.training.class_balance import steps_per_epoch
from zoo.training.optimizers import make_optimizer
from zoo.training.source import Source
from zoo.training.transfer import LayerTransfer, load_matching_weights


def prepare_pretraining(
    entry: Entry,
    hparams: dict[str, Any],
    recipe: Recipe,
    data: Data,
    seed: int,
    source: Source | None = None,
) -> tuple[keras.Model, list[LayerTransfer]]:
    """Builds and compiles a masked language model that is ready for `fit`.

    The loss is the cross-entropy of the masked tokens, the mean over those of a batch.

    Args:
        entry: The text model whose encoder is pretrained.
        hparams: Its hyperparameters.
        recipe: How it will be trained; sets Keras' global dtype policy to the recipe's precision.
        data: The texts, from `zoo.data.unlabelled.load_unlabelled`.
        seed: Seed of its weights, and of Python's, NumPy's and TensorFlow's global generators.
        source: A trained model whose weights are copied where they fit.

    Returns:
        The compiled model, and for each layer with weights whether they were copied.

    Raises:
        UserError: if the model has no encoder to pretrain.
    """
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(recipe.precision)
    model = build_masked_language_model(build_model(entry, data.spec, hparams))
    transfers = load_matching_weights(model, source) if source else []
    steps = steps_per_epoch(data, recipe)
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction="mean_with_sample_weight"
    )
    model.compile(
        optimizer=make_optimizer(recipe, steps * recipe.epochs, {}, 1),
        loss={"logits": loss},
        weighted_metrics={"logits": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]},
        jit_compile=recipe.jit_compile,
        steps_per_execution=min(recipe.steps_per_execution, steps),
    )
    # otherwise the first step creates the variables, and Keras traces it a second time
    model.optimizer.build(model.trainable_variables)
    return model, transfers


def score_masked_tokens(
    model: keras.Model, split: Split, spec: Spec, batch_size: int
) -> dict[str, Any]:
    """Predicts the masked tokens of a split, the same ones each time.

    Args:
        model: A masked language model.
        split: Encoded texts.
        spec: Their spec.
        batch_size: Texts per batch.

    Returns:
        "loss" (the mean cross-entropy of a masked token, in nats), "perplexity" (its exponential),
        "accuracy" and the number of "tokens".
    """
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
    totals = np.zeros(3)
    for inputs, targets, weights in make_evaluation_batches(split, spec, batch_size=batch_size):
        logits, y, weight = model.predict_on_batch(inputs), targets["logits"], weights["logits"]
        losses = keras.ops.convert_to_numpy(loss(y, logits["logits"]))
        hits = logits["logits"].argmax(axis=-1) == y.numpy()
        for i, values in enumerate((losses, hits, np.ones_like(losses))):
            totals[i] += float((values * weight.numpy()).sum(dtype="float64"))
    mean = totals[0] / totals[2]
    return {
        "loss": mean,
        "perplexity": math.exp(mean),
        "accuracy": totals[1] / totals[2],
        "tokens": int(totals[2]),
    }
