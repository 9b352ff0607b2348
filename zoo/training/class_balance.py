"""What counts for more in a training: class weights, and classes that are repeated."""

import math

import numpy as np

from zoo.data.oversampling import count_oversampled
from zoo.data.splits import Arrays, Data, read_labels
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.training.recipe_checks import order_class_weights

_SHOWN_CLASSES = 10


def compute_class_weights(data: Data, recipe: Recipe) -> np.ndarray | None:
    """Returns the weights of the classes, float32 (classes,), or None if the recipe has none.

    "balanced" weights are inversely proportional to the number of examples of each class, with
    mean 1 over the training examples; a class without examples has weight 1.
    """
    if not recipe.class_weights:
        return None
    class_names = data.spec.class_names or ()
    if recipe.class_weights != "balanced":
        return np.array(order_class_weights(recipe.class_weights, class_names), "float32")
    labels = read_labels(data.train)
    counts = np.bincount(labels, minlength=len(class_names))
    mean = len(labels) / np.count_nonzero(counts)
    return np.where(counts, mean / np.maximum(counts, 1), 1.0).astype("float32")


def count_epoch_examples(data: Data, recipe: Recipe) -> int:
    """Returns the number of examples of an epoch, with those that oversampling repeats.

    Raises:
        UserError: for oversampling if the training split is not in memory.
    """
    if not recipe.oversample:
        return len(data.train)
    if not isinstance(data.train, Arrays):
        raise UserError(
            f"oversample=True: {data.name} is larger than the memory budget and streamed, in an "
            "order that leaves no example to be drawn: raise --memory_budget, or use "
            "--class_weights=balanced"
        )
    return count_oversampled(data.train.y)


def steps_per_epoch(data: Data, recipe: Recipe) -> int:
    """Returns the number of steps in an epoch."""
    return math.ceil(count_epoch_examples(data, recipe) / recipe.batch_size)


def describe_oversampling(data: Data, recipe: Recipe) -> list[str]:
    """Returns a line for the headline of a run that repeats examples; otherwise none."""
    if not recipe.oversample:
        return []
    counts = np.bincount(read_labels(data.train))
    repeated = [
        f"{name} {counts.max() / count:.3g} times"
        for name, count in zip(data.spec.class_names or (), counts, strict=False)
        if 0 < count < counts.max()
    ]
    more = f" and {len(repeated) - _SHOWN_CLASSES} more classes" * (len(repeated) > _SHOWN_CLASSES)
    shown = ", ".join(repeated[:_SHOWN_CLASSES]) or "no class, since all have as many"
    return [
        f"oversampling repeats {shown}{more}: each class has {counts.max():,} of the "
        f"{count_epoch_examples(data, recipe):,} examples of an epoch"
    ]
