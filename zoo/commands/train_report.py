"""What `zoo train` prints before the first epoch, and prints and writes at the end of a run."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.recipe_files import find_config_name
from zoo.commands.runner import command_line, print_notes, print_warning
from zoo.commands.train_job import TrainJob
from zoo.recipe import Recipe
from zoo.registry import find_plugin
from zoo.storage.filenames import METRICS
from zoo.training.run_folder import append_comments

if TYPE_CHECKING:
    import keras

    from zoo.data.spec import Spec
    from zoo.data.splits import Data
    from zoo.evaluation.record import RunRecord
    from zoo.training.checkpoints import Checkpoint
    from zoo.training.transfer import LayerTransfer


def check_exportable(values: flags.FlagValues, model: "keras.Model", spec: "Spec") -> None:
    """Checks, before the training, that a model can be exported as the flags ask for.

    Raises:
        UserError: if it cannot be converted to a format, or has no integrated gradients.
    """
    from zoo.attributions.integrated_gradients import check_explainable
    from zoo.exporting.converters import check_convertible

    check_convertible(model, values.export_formats.split(","))
    if values.explain_signature:
        check_explainable(model, spec)


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
    job: TrainJob,
    model: "keras.Model",
    run_dir: Path,
    start: "Checkpoint | None",
    damaged: list[Path],
    first: dict[str, Any],
) -> None:
    """Saves what identifies the data, and prints it, the model and where the training starts."""
    from zoo.data.split_checks import describe_data
    from zoo.evaluation.record import format_headline
    from zoo.training.class_balance import describe_class_balance
    from zoo.training.model_checks import describe_labels
    from zoo.training.run_data import save_run_data

    data, recipe = job.data, job.recipe
    save_run_data(run_dir, data, first)
    for path in damaged:
        print_warning(f"{path}: this checkpoint is damaged and was skipped")
    print_notes(data.notes)
    print_warning(describe_labels(data))
    print(format_headline(model, data, job.devices))
    print(*describe_data(data), *describe_class_balance(data, recipe), sep="\n", flush=True)
    if start:
        announce_resume(start, recipe, data, run_dir)


def announce_resume(start: "Checkpoint", recipe: Recipe, data: "Data", run_dir: Path) -> None:
    """Prints where a training goes on, and with how many more epochs, which flags.txt tells too."""
    from zoo.training.loop import describe_raised_epochs

    raised = describe_raised_epochs(start, recipe, data)
    append_comments(run_dir, raised)
    where = f"resumes in epoch {start.state.epoch + 1} after step {start.state.step}"
    print(*raised, where, sep="\n", flush=True)


def report_finished(run_dir: Path, record: dict[str, Any]) -> None:
    """Prints the scores and the export of a run that is finished, from its record."""
    from zoo.evaluation.record import format_scores

    print(
        f"{run_dir} is finished: raise --epochs to continue it, or pass --overwrite to start over"
    )
    print(format_scores(record["test"]), record["export"], sep="\n")


def score_model(
    values: flags.FlagValues,
    job: TrainJob,
    model: "keras.Model",
    trained: dict[str, Any],
    run_dir: Path,
) -> "tuple[RunRecord, Data]":
    """Scores the model on the test split, and draws and explains its mistakes.

    Returns:
        The record of the run, and the data with the thresholds of a multi-label task, or the
        decision threshold of two classes.
    """
    from zoo.evaluation.decision_threshold import decide_threshold, format_threshold
    from zoo.evaluation.label_thresholds import choose_thresholds
    from zoo.evaluation.record import describe_chance, make_record
    from zoo.evaluation.scoring import evaluate_model
    from zoo.explaining.mistakes import explain_mistakes

    recipe = job.recipe
    data, note = choose_thresholds(model, job.data, recipe.batch_size)
    print_warning(note)
    data = dataclasses.replace(data, notes=(*data.notes, *filter(None, [note])))
    data, threshold = decide_threshold(model, data, recipe)
    if threshold:
        names = data.spec.class_names or ()
        print(format_threshold(threshold["threshold"], names, threshold))
    test, predictions = evaluate_model(model, data, recipe.batch_size, run_dir)
    print_warning(describe_chance(test, data.spec.kind))
    raw = data.raw_test or data.test
    print_warning(explain_mistakes(model, predictions, raw, data.spec, run_dir))
    record = dataclasses.replace(
        make_record(job.entry, job.hparams, model, data, recipe, trained, test),
        threshold=threshold,
        seed=values.seed,
        devices=job.devices,
        command=command_line(),
        plugin=find_plugin(values.plugin) if values.plugin else "",
        config=find_config_name(sys.argv),
    )
    return record, data


def write_outputs(
    values: flags.FlagValues,
    job: TrainJob,
    model: "keras.Model",
    record: "RunRecord",
    history: dict[str, list[float]],
    run_dir: Path,
) -> None:
    """Writes the record, plots and exports of a run; the last printed line is the export's path."""
    from zoo.data.splits import take_inputs
    from zoo.evaluation.model_card import write_card
    from zoo.evaluation.plots import plot_curves
    from zoo.evaluation.record import format_scores
    from zoo.exporting.further_formats import export_formats
    from zoo.exporting.saved_model import export_model
    from zoo.exporting.statistics import compute_statistics
    from zoo.serving.server_config import write_server_files
    from zoo.serving.version_labels import describe_lost_labels
    from zoo.storage.json_files import write_json

    data = job.data
    plot_curves(history, run_dir / "curves.png")
    write_json(run_dir / METRICS, record.to_dict())
    samples = take_inputs(data.raw_test or data.test, 32)
    version = export_model(
        model,
        job.export_dir,
        spec=data.spec,
        samples=samples,
        record=record.to_dict(),
        change_contract=values.change_contract,
        explain_signature=bool(values.explain_signature),
        statistics=compute_statistics(model, data, record.recipe["batch_size"]),
    )
    formats = export_formats(model, data, version, values.export_formats.split(","), values.seed)
    write_server_files(job.export_dir.parent, values.keep_versions)
    print_notes(describe_lost_labels(job.export_dir.parent))
    record = dataclasses.replace(record, formats=formats, export=str(version))
    record = dataclasses.replace(record, explain_signature=bool(values.explain_signature))
    write_card(run_dir, record.to_dict())
    write_json(run_dir / METRICS, record.to_dict())
    print(format_scores(record.test))
    print(f"run: {run_dir}  (card.md, metrics.json, curves.png, flags.txt, ...)")
    print(version)
