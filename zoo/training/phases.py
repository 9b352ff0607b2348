"""The phases of a training: first the head alone on frozen layers, then the recipe's layers.

The features that a pretrained backbone computes of an image do not change while it is frozen.
Without augmentation they are computed once, and the head is trained on them as on any other data.
"""

import contextlib
import dataclasses
import time
from collections.abc import Container, Iterator

import keras
import numpy as np
import tensorflow as tf

from zoo.console import show_progress
from zoo.data.batching import make_evaluation_batches
from zoo.data.memory import choose_budget
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data, Split
from zoo.distribution.keras_patches import flatten_layers
from zoo.layers.inference_model import InferenceModel
from zoo.layers.logits_model import LogitsModel
from zoo.recipe import Recipe
from zoo.training.building import compile_trainable
from zoo.training.finetuning import freeze_layers
from zoo.training.recipe_adaptation import make_head_recipe, make_main_recipe

_FEATURES = "features"  # kind and input name of vectors
_BATCH_SIZE = 32  # of images whose features are computed at once


@dataclasses.dataclass(frozen=True)
class Phase:
    """Some epochs of a training, with the same layers trained in all of them.

    Attributes:
        title: What the progress calls an epoch.
        model: The compiled model that is trained: the whole model, or its head.
        data: What it is trained on: the data, or the features of its examples.
        recipe: How it is trained; `epochs` are those of the phase.
        first_epoch: Number of epochs before the phase.
        columns: What history.csv says about the phase, if there are several.
        seconds: Seconds that the features took.
    """

    title: str
    model: keras.Model
    data: Data
    recipe: Recipe
    first_epoch: int = 0
    columns: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0

    @property
    def last_epoch(self) -> int:
        """Number of epochs at the end of the phase."""
        return self.first_epoch + self.recipe.epochs


@contextlib.contextmanager
def open_head_phase(
    model: keras.Model, data: Data, recipe: Recipe, new: Container[str]
) -> Iterator[Phase]:
    """Context manager with the phase in which the head alone is trained.

    At its end the model is compiled for the main phase, with the same layers trainable as before.

    Args:
        model: The model, compiled for the main phase.
        data: The data.
        recipe: The recipe of the whole training.
        new: Names of layers below the head that are newly initialised, and trained with it.
    """
    head_recipe = make_head_recipe(recipe)
    if phase := _make_feature_phase(model, data, head_recipe, "head epoch"):
        yield dataclasses.replace(phase, columns={"phase": 1})
        return
    trainable = [(layer, layer.trainable) for layer in flatten_layers(model)]
    trainable += [(variable, variable.trainable) for variable in model.variables]
    freeze_layers(model, head_recipe, new)
    compile_trainable(model, data, head_recipe)
    yield Phase("head epoch", model, data, head_recipe, columns={"phase": 1})
    for item, value in trainable:
        item.trainable = value
    with model.distribute_strategy.scope():
        compile_trainable(model, data, make_main_recipe(recipe))


def make_main_phase(model: keras.Model, data: Data, recipe: Recipe, first_epoch: int) -> Phase:
    """Returns the phase in which the recipe's layers are trained.

    Args:
        model: The model, compiled for it.
        data: The data.
        recipe: The recipe of the whole training.
        first_epoch: Number of epochs in which the head alone was trained.
    """
    main = make_main_recipe(recipe)
    phase = None
    if main.trainable == "head":
        phase = _make_feature_phase(model, data, main, "epoch")
    columns = {"phase": 2} if recipe.head_epochs else {}
    return phase or Phase("epoch", model, data, main, first_epoch, columns)


def _make_feature_phase(model: keras.Model, data: Data, recipe: Recipe, title: str) -> Phase | None:
    """Returns a phase that trains the head on features, or None if they are not computed once.

    They are not with augmentation, without a pretrained backbone, and if they don't fit in memory.
    """
    indices = [i for i, x in enumerate(model.layers) if isinstance(x, InferenceModel)]
    if recipe.augment or not indices:
        return None
    (index,) = indices
    tail = model.layers[index + 1 :]
    width = model.layers[index].output.shape[-1]
    size = (len(data.train) + len(data.validation)) * width * np.dtype("float32").itemsize
    if size > choose_budget(None):
        return None
    started = time.perf_counter()
    encoder = keras.Model(model.input, tail[0].input)
    feature_data = dataclasses.replace(
        data,
        spec=dataclasses.replace(data.spec, kind=_FEATURES, shape=(width,)),
        train=_compute_features(encoder, data.train, data.spec, "train"),
        validation=_compute_features(encoder, data.validation, data.spec, "validation"),
    )
    with model.distribute_strategy.scope():
        features = x = keras.Input((width,), name=_FEATURES)
        for layer in tail:
            x = layer(x)
        head = LogitsModel({_FEATURES: features}, {"logits": x}, name=model.name)
        compile_trainable(head, feature_data, recipe)
    return Phase(title, head, feature_data, recipe, seconds=time.perf_counter() - started)


def _compute_features(encoder: keras.Model, split: Split, spec: Spec, split_name: str) -> Arrays:
    """Returns the features of all examples of a split, float32 (n, width), with their targets."""
    (name, tensor), *_ = encoder.input.items()

    @tf.function(
        input_signature=[{name: tf.TensorSpec(tensor.shape, tensor.dtype)}], autograph=False
    )
    def compute(inputs):
        return tf.cast(encoder(inputs, training=False), tf.float32)

    batches = make_evaluation_batches(split, spec, batch_size=_BATCH_SIZE)
    pairs = [
        (compute(inputs).numpy(), targets["logits"].numpy())
        for inputs, targets in show_progress(batches, len(batches), f"features of {split_name}")
    ]
    features, targets = zip(*pairs, strict=True)
    weights = split.weights if isinstance(split, Arrays) else None
    return Arrays(np.concatenate(features), np.concatenate(targets), weights=weights)
