"""What `zoo evaluate --kfold` does."""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.flags import read_data_config, read_model, read_recipe_settings
from zoo.commands.runner import command_line, import_tensorflow, print_lines, print_notes
from zoo.commands.starting_weights import adopt_preset, fit_weights_to_data
from zoo.storage.atomic import make_output_folder
from zoo.storage.filenames import METRICS

if TYPE_CHECKING:
    from zoo.data.spec import Spec
    from zoo.data.splits import Data


def cross_validate(values: flags.FlagValues) -> None:
    """Cross-validates the recipe, and prints and writes the scores."""
    entry, hparams, recipe = read_model(values)
    seed = values.seed or 0
    config = read_data_config(values, entry, seed)
    import_tensorflow()
    from zoo.data.loading import dataset_slug, prepare_data, read_data
    from zoo.evaluation.cross_validation import (
        describe_folds,
        format_fold_summary,
        score_folds,
    )
    from zoo.storage.json_files import write_json
    from zoo.training.recipe_adaptation import adapt_recipe
    from zoo.training.recipe_checks import check_recipe

    config = adopt_preset(config, entry, hparams)
    hparams, data = fit_weights_to_data(None, entry, hparams, read_data(config))
    print_notes(data.notes)
    check_recipe(recipe, data.spec)
    default = f"evaluations/{entry.name}-{dataset_slug(data.name)}-kfold"
    out, count = make_output_folder(values.out or default), values.kfold
    fold_examples = len(data.train) * (count - 1) // count
    named = set(read_recipe_settings(values))
    recipe, notes = adapt_recipe(recipe, fold_examples, None, hparams, named)
    options = {"count": count, "seed": seed, "directory": out}
    options["prepare"] = functools.partial(prepare_data, config=config)
    fold_scores, folds = score_folds(entry, hparams, recipe, data, **options), []
    print_lines(notes)
    print(f"{count} folds of {data.splits['train']}: {describe_folds(data)}")
    for title in (f"fold {number}/{count}" for number in range(1, count + 1)):
        print(title, flush=True)
        folds.append(next(fold_scores))
        _print_scores(folds[-1], title, data.spec)
    facts = {"model": entry.name, "hyperparameters": hparams, "recipe": dataclasses.asdict(recipe)}
    record = facts | _describe_run(data, folds, seed)
    write_json(out / METRICS, record)
    print(format_fold_summary(record))
    print(f"cross-validation: {out / METRICS}")


def _describe_run(data: "Data", folds: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Returns what metrics.json says about the data, the folds and the machine."""
    from zoo.evaluation.cross_validation import summarize_folds
    from zoo.evaluation.record import describe_machine

    return {
        "dataset": data.name,
        "dataset_version": data.version,
        "notes": data.notes,
        "data_settings": dict(data.settings),
        "seed": seed,
        **summarize_folds(folds, data.spec),
        "folds": folds,
        **describe_machine(),
        "command": command_line(),
    }


def _print_scores(fold: dict[str, Any], title: str, spec: "Spec") -> None:
    """Prints the scores of a fold, and the threshold that was chosen for it."""
    from zoo.evaluation.decision_threshold import format_threshold
    from zoo.evaluation.record import format_scores

    if chosen := fold.get("threshold"):
        print(format_threshold(chosen["threshold"], spec.class_names or (), chosen))
    print(format_scores(fold, title), flush=True)
