"""What counts for more in a training: class weights, and classes that are repeated."""

import math

import numpy as np

from zoo.data.oversampling import count_oversampled
from zoo.data.splits import Arrays, Data, read_labels
from zoo.data.targets import count_classes
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.training.recipe_checks import order_class_weights

_SHOWN_CLASSES = 10


def compute_class_weights(data: Data, recipe: Recipe) -> np.ndarray | None:
    """Returns the weights of the classes, float32 (classes,), or None if the recipe has none.

    An example counts as much in the loss as its class has weight. Where an example may have several
    labels, the loss of each label is multiplied by its weight where the label is present.

    "balanced" weights are inversely proportional to the number of examples of each class, with
    mean 1 over the training examples. For several labels they are the number of examples without
    the label per example with it. A class without examples, and a label of all, has weight 1.
    """
    if not recipe.class_weights:
        return None
    class_names = data.spec.class_names or ()
    if recipe.class_weights != "balanced":
        return np.array(order_class_weights(recipe.class_weights, class_names), "float32")
    labels = read_labels(data.train)
    counts = count_classes(labels, data.spec)
    if data.spec.multilabel:
        absent = len(labels) - counts
        return np.where(counts * absent, absent / np.maximum(counts, 1), 1.0).astype("float32")
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


def describe_class_balance(data: Data, recipe: Recipe) -> list[str]:
    """Returns a line for the headline of a run that balances its classes; otherwise none."""
    if recipe.class_weights == "balanced":
        return [_format_balanced_weights(data, recipe)]
    return [_format_oversampling(data, recipe)] if recipe.oversample else []


def _format_balanced_weights(data: Data, recipe: Recipe) -> str:
    weights, names = compute_class_weights(data, recipe), data.spec.class_names or ()
    assert weights is not None
    items = [f"{name} {weight:.3g}" for name, weight in zip(names, weights, strict=True)]
    return f"class weights: {_join_shown(items)}" + " where present" * data.spec.multilabel


def _format_oversampling(data: Data, recipe: Recipe) -> str:
    counts = np.bincount(read_labels(data.train))
    repeated = [
        f"{name} {counts.max() / count:.3g} times"
        for name, count in zip(data.spec.class_names or (), counts, strict=False)
        if 0 < count < counts.max()
    ]
    shown = _join_shown(repeated) or "no class, since all have as many"
    return (
        f"oversampling repeats {shown}: each class has {counts.max():,} of the "
        f"{count_epoch_examples(data, recipe):,} examples of an epoch"
    )


def _join_shown(items: list[str]) -> str:
    more = len(items) - _SHOWN_CLASSES
    return ", ".join(items[:_SHOWN_CLASSES]) + f" and {more} more classes" * (more > 0)
