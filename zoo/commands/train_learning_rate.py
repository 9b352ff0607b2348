"""What `zoo train --find_learning_rate` does."""

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.flags import read_recipe_settings
from zoo.commands.runner import print_lines, print_notes, print_warning
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import Entry
from zoo.storage.atomic import make_output_folder, replace_file
from zoo.storage.filenames import RATES_PLOT, RATES_TABLE

if TYPE_CHECKING:
    import tensorflow as tf

    from zoo.data.splits import Data
    from zoo.training.learning_rate_finder import RangeTest
    from zoo.training.source import Source


def find_learning_rate(
    values: flags.FlagValues,
    entry: Entry,
    hparams: dict[str, Any],
    recipe: Recipe,
    source: "Source | None",
    data: "Data",
    strategy: "tf.distribute.Strategy",
) -> None:
    """Runs a range test, prints a learning rate to train with, and writes the table and the plot.

    The weights of the test are not kept, and a run in the folder stays as it is.

    Raises:
        UserError: with several workers.
    """
    from zoo.data.loading import dataset_slug
    from zoo.distribution.keras_patches import spans_workers
    from zoo.distribution.strategy import adapt_recipe_to_strategy
    from zoo.training.building import prepare_model
    from zoo.training.learning_rate_finder import adapt_recipe_to_range_test, run_range_test
    from zoo.training.recipe_adaptation import adapt_recipe
    from zoo.training.word_vectors import load_word_vectors

    if spans_workers(strategy):
        raise UserError(
            "--find_learning_rate: the test runs in one process, not on several workers: pass "
            "--strategy=cpu or --strategy=gpu"
        )
    named = set(read_recipe_settings(values))
    recipe, notes = adapt_recipe(recipe, len(data.train), values.weights, hparams, named)
    recipe, _ = adapt_recipe_to_strategy(recipe, strategy, named)
    print_lines(notes)
    tested = adapt_recipe_to_range_test(recipe)
    with strategy.scope():
        model, _ = prepare_model(entry, hparams, tested, data, values.seed, source)
        data = load_word_vectors(values.vectors, model, data)
    print_notes(data.notes)
    result = run_range_test(model, data, tested, values.seed)
    default = f"evaluations/{entry.name}-{dataset_slug(data.name)}-learning_rate"
    folder = _make_folder(values.run_dir) if values.run_dir else make_output_folder(default)
    _write_result(result, folder)
    _print_result(result, recipe)
    print(f"range test: {folder / RATES_TABLE}, {folder / RATES_PLOT}")


def _print_result(result: "RangeTest", recipe: Recipe) -> None:
    from zoo.training.recipe_adaptation import scale_to_peak

    print(
        f"learning rates from {result.rates[0]:.2g} to {result.rates[-1]:.2g} in "
        f"{len(result.rates)} steps: the loss is {result.smoothed[0]:.4g} at first and "
        f"{result.smoothed.min():.4g} at best"
    )
    if result.suggestion is None:
        print_warning("the loss does not fall at any of these learning rates: none is suggested")
    else:
        rate, later = scale_to_peak(recipe, result.suggestion), ""
        if recipe.head_epochs:
            later = f" at {result.suggestion:g}, a tenth of it, as after the epochs of the head"
        print(
            f"suggestion: --learning_rate={rate:g}, where the loss falls fastest{later}; it "
            f"is {recipe.learning_rate:g} now"
        )


def _write_result(result: "RangeTest", folder: Path) -> None:
    """Writes the table and the plot."""
    from zoo.evaluation.plots import plot_learning_rates

    columns = (result.rates, result.losses, result.smoothed)
    plot_learning_rates(*columns, result.suggestion, folder / RATES_PLOT)
    with replace_file(folder / RATES_TABLE) as draft, draft.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["learning_rate", "loss", "smoothed_loss"])
        writer.writerows(zip(*columns, strict=True))


def _make_folder(run_dir: str) -> Path:
    """Creates the folder of a run, in which there may be one, and returns it."""
    folder = Path(os.path.expanduser(run_dir))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
