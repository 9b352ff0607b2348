"""What `zoo train` prints before the first epoch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.commands.runner import print_notes, print_warning
from zoo.recipe import Recipe
from zoo.training.run_folder import append_comments

if TYPE_CHECKING:
    import keras

    from zoo.data.splits import Data
    from zoo.training.checkpoints import Checkpoint
    from zoo.training.transfer import LayerTransfer


def print_weights(
    weights: str | None, transfers: "list[LayerTransfer]", recipe: Recipe, hparams: dict
) -> None:
    """Prints what was copied from the weights, or warns if random ones are frozen."""
    from zoo.training.finetuning import describe_random_weights
    from zoo.training.transfer import format_transfers

    print_warning(describe_random_weights(recipe, weights, hparams))
    if transfers:
        print(f"weights from {weights}:", *format_transfers(transfers), sep="\n")


def announce_training(
    model: "keras.Model",
    data: "Data",
    recipe: Recipe,
    run_dir: Path,
    devices: str,
    start: "Checkpoint | None",
    damaged: list[Path],
    first: dict[str, Any],
) -> None:
    """Saves what identifies the data, and prints it, the model and where the training starts."""
    from zoo.data.split_checks import describe_data
    from zoo.evaluation.record import format_headline
    from zoo.training.class_balance import describe_class_balance
    from zoo.training.loop import describe_raised_epochs
    from zoo.training.model_checks import describe_labels
    from zoo.training.run_data import save_run_data

    save_run_data(run_dir, data, first)
    for path in damaged:
        print_warning(f"{path}: this checkpoint is damaged and was skipped")
    print_notes(data.notes)
    print_warning(describe_labels(data))
    print(format_headline(model, data, devices))
    print(*describe_data(data), *describe_class_balance(data, recipe), sep="\n", flush=True)
    if start:
        raised = describe_raised_epochs(start, recipe, data)
        append_comments(run_dir, raised)
        print(*raised, f"resumes in epoch {start.state.epoch + 1} after step {start.state.step}",
              sep="\n")  # fmt: skip


def report_finished(run_dir: Path, record: dict[str, Any]) -> None:
    """Prints the scores and the export of a run that is finished, from its record."""
    from zoo.evaluation.record import format_scores

    print(
        f"{run_dir} is finished: raise --epochs to continue it, or pass --overwrite to start over"
    )
    print(format_scores(record["test"]), record["export"], sep="\n")
