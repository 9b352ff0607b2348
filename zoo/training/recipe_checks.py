"""Whether a recipe fits the data."""

from collections.abc import Sequence

from zoo.data.images.augmentation import check_augmentation
from zoo.data.spec import Spec
from zoo.errors import UserError, shorten_names
from zoo.recipe import Recipe, parse_class_weights
from zoo.schema import suggest_closest

_SCORES = {  # that may be monitored, by task
    "classification": ("loss", "accuracy"),
    "multilabel": ("loss", "f1"),
    "regression": ("loss", "mae", "mse", "r2"),
}


def check_recipe(recipe: Recipe, spec: Spec) -> None:
    """Checks that the recipe fits the data, before anything is built.

    Raises:
        UserError: if the class weights are not of the classes, the monitored score is not of the
            task, or for augmentation without images, and label smoothing or class weights without
            classes.
    """
    check_augmentation(recipe, spec)
    if spec.class_names is None:
        for setting in ("loss", "label_smoothing", "class_weights", "oversample", "threshold"):
            if getattr(recipe, setting):
                raise UserError(
                    f"{setting}={getattr(recipe, setting)}: the target is a number, there are no "
                    f"classes: omit --{setting}"
                )
    elif recipe.class_weights not in ("", "balanced"):
        order_class_weights(recipe.class_weights, spec.class_names)
    if spec.multilabel:
        _check_multilabel_recipe(recipe)
    if recipe.threshold and spec.num_classes not in (None, 2):
        raise UserError(
            f"threshold={recipe.threshold}: it decides between two classes, but there are "
            f"{spec.num_classes}: omit --threshold"
        )
    scores = _SCORES[spec.task]
    if recipe.monitor not in (None, *scores):
        raise UserError(
            f"monitor={recipe.monitor!r}: a {spec.task} has no such score: expected one of "
            f"{', '.join(scores)}"
        )


def order_class_weights(text: str, class_names: Sequence[str]) -> tuple[float, ...]:
    """Returns class weights, by name or by position, in the order of the classes.

    Classes that are not named have weight 1.

    Raises:
        UserError: if a name is not a class, or there is another number of weights than of classes.
    """
    weights = parse_class_weights(text)
    if isinstance(weights, dict):
        for name in weights:
            if name not in class_names:
                raise UserError(
                    f"class_weights={text!r}: there is no class {name!r}."
                    f"{suggest_closest(name, class_names)} Known: {shorten_names(class_names)}"
                )
        return tuple(weights.get(name, 1.0) for name in class_names)
    if len(weights) != len(class_names):
        raise UserError(
            f"class_weights={text!r}: {len(weights)} numbers for {len(class_names)} classes: "
            f"expected one for each of {shorten_names(class_names)}"
        )
    return weights


def _check_multilabel_recipe(recipe: Recipe) -> None:
    """Raises a UserError if a setting needs one class for each example."""
    if recipe.threshold:
        raise UserError(
            f"threshold={recipe.threshold}: each of several labels has a threshold of its own, "
            "which is chosen on the validation split: omit --threshold"
        )
    if recipe.oversample:
        raise UserError(
            "oversample=True: an example may have several labels, and repeating it for a rare one "
            "repeats the others too: omit it, or weight the labels with --class_weights=balanced"
        )
