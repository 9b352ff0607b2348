"""The trainings of a compression: their recipes, and what is told before the first of them."""

import numpy as np
import pytest
from support.small_models import build_small

from zoo.compressing.methods import parse_methods
from zoo.compressing.training_methods import (
    Trained,
    check_methods,
    make_finetuning_recipe,
    make_student_recipe,
)
from zoo.data.spec import Spec
from zoo.data.splits import Arrays, Data
from zoo.errors import UserError
from zoo.registry import find_entry


@pytest.fixture(scope="module")
def images():
    split = Arrays(np.zeros((6, 14, 14, 1), "uint8"), np.arange(6) % 3)
    spec = Spec("image", (14, 14, 1), ("0", "1", "2"))
    return Data("images", "", spec, split, split, split, {})


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("structured:0.5", "structured: this lenet5 cannot lose whole filters or units"),
        ("distill:mlp", "choose a smaller model, or smaller hyperparameters"),
        ("distill:lstm", "lstm reads text or text_pair data"),
    ],
)
def test_what_does_not_suit_the_model_is_told_first(method, message, images):
    """Although another method, which does, comes before it."""
    model = build_small("lenet5", input_shape=(14, 14, 1), num_classes=3)
    original = Trained(find_entry("lenet5"), {}, lambda: model, {})
    check_methods(parse_methods("prune:0.5"), original, images)
    with pytest.raises(UserError, match=message):
        check_methods(parse_methods(f"prune:0.5,{method}"), original, images)


def test_recipes():
    entry = find_entry("cnn")
    stored = {
        "epochs": 5,
        "learning_rate": 0.01,
        "ema": 0.9,
        "early_stopping": 3,
        "trainable": "head",
    }
    recipe = make_finetuning_recipe({"recipe": stored | {"of_later": 1}}, entry, {}, 100)
    assert (recipe.epochs, recipe.learning_rate) == (3, 0.01)
    assert (recipe.ema, recipe.early_stopping, recipe.trainable) == (0, 0, "all")
    recipe = make_finetuning_recipe({}, entry, {"epochs": 7, "learning_rate": 0.5}, 100_000)
    assert (recipe.epochs, recipe.learning_rate) == (7, 0.5)
    assert recipe.batch_size == entry.recipe.batch_size
    record = {"model": "cnn", "recipe": stored}
    student = make_student_recipe(record, find_entry("lenet5"), {"epochs": 2}, 100_000)
    assert student.epochs == 2 and student.optimizer == find_entry("lenet5").recipe.optimizer
    student = make_student_recipe(record, entry, {}, 100_000)
    assert (student.epochs, student.learning_rate, student.ema) == (5, 0.01, 0)
