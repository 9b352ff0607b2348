"""What a recipe becomes for the size of the data."""

import pytest

from zoo.recipe import Recipe
from zoo.training.building import adapt_recipe_to_size


@pytest.mark.parametrize(
    ("examples", "named", "batch_size", "compiled"),
    [
        (100, set(), 8, False),
        (1_000, set(), 32, False),
        (10_000, set(), 128, False),
        (20_000, set(), 128, True),
        (100, {"batch_size", "jit_compile"}, 128, True),
    ],
)
def test_a_recipe_fits_the_size_of_the_data(examples, named, batch_size, compiled):
    recipe = adapt_recipe_to_size(Recipe(jit_compile=True), examples, named)
    assert (recipe.batch_size, recipe.jit_compile) == (batch_size, compiled)
    assert not adapt_recipe_to_size(Recipe(), examples, named).jit_compile
