"""Trains a model of the zoo on a dataset, scores it, and exports it for TF Serving.

zoo train --model=cnn                                    MNIST, or 5,000 of its digits when offline
zoo train --model=mlp --dataset=csv:cars.csv --label=price
zoo train --model=resnet20 --dataset=folder:photos --image_size=64,64
zoo train --model=lstm --dataset=csv:reviews.csv --text=review --label=stars
zoo train --model=bert --preset=bert_tiny_en_uncased --dataset=glue/mrpc --lora_rank=8
zoo train --model=cnn --hparam=filters=32,64,128 --epochs=20 --augment=shift=0.1
zoo train --recipe=cnn_mnist                             a recipe that ships with the package
zoo train --flagfile=runs/cnn-mnist/flags.txt --overwrite    repeats a run
zoo train --list                                         lists the models
zoo train --model=cnn --help                             also shows the hyperparameters of cnn

The run is written to runs/<model>-<dataset>, the export to saved_models/<model>/<version>. The same
command resumes a run that was interrupted. `python train.py` and `python -m zoo train` are the same
program.
"""

import contextlib
import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from zoo.commands.announcement import announce_training, print_weights
from zoo.commands.flags import (
    define_model_flags,
    find_config_name,
    format_flagfile,
    read_data_config,
    read_model,
    read_settings,
    under_heading,
)
from zoo.commands.help import format_help, format_model_table
from zoo.commands.runner import command_line, import_tensorflow
from zoo.commands.weights import open_weights
from zoo.data.config import DataConfig
from zoo.exporting.formats import check_formats
from zoo.pretrained.store import resolve_weights
from zoo.recipe import Recipe
from zoo.registry import Entry, find_entry, find_plugin, load_plugin
from zoo.storage.atomic import check_writable
from zoo.storage.filenames import METRICS
from zoo.training.run_folder import (
    check_run_folder,
    choose_run_folder,
    lacks_flag,
    open_run,
    parse_checkpoint_interval,
)
from zoo.training.signals import advise_on_interrupt

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from zoo.data.splits import Data
    from zoo.evaluation.record import RunRecord
    from zoo.training.finetuning import Source

FLAGS = flags.FlagValues()
WORDS = ""
# flags that may change when a run is resumed
CHANGEABLE_FLAGS = ("data_dir", "run_dir", "overwrite", "checkpoint_every", "export_dir",
                    "export_formats", "keep_versions")  # fmt: skip
MODEL, RUN = under_heading(FLAGS, "Model"), under_heading(FLAGS, "Run")

define_model_flags(FLAGS)
# fmt: off
flags.DEFINE_string("weights", None, "Trained weights to start from: a name that ships with the "
                    "package (see --list), a run, an export or a .keras file. Layers that do not "
                    "fit, such as a head for other classes, are newly initialised.", **MODEL)
flags.DEFINE_bool("list", False, "Lists the models and exits.", **MODEL)

flags.DEFINE_integer("seed", 0, "Seed of the initial weights, the held-out rows, the order of the "
                     "examples, augmentation and dropout.", 0, 2**31 - 1, **RUN)
flags.DEFINE_string("run_dir", None, "Folder of the run; an unfinished run there is resumed. By "
                    "default runs/<model>-<dataset>, with -2, -3, ... for other flags.", **RUN)
flags.DEFINE_bool("overwrite", False, "Deletes the run in the folder and starts over.", **RUN)
flags.DEFINE_string("checkpoint_every", "5m", "Time between checkpoints: a number of steps (500) "
                    "or minutes (5m).", **RUN)
flags.DEFINE_string("export_dir", "saved_models", "Folder of the exported models.", **RUN)
flags.DEFINE_string("export_formats", "saved_model", "Formats to export, separated by commas: "
                    "saved_model, litert, litert_int8, onnx.", **RUN)
flags.DEFINE_integer("keep_versions", 2, "Number of newest versions of a model that TF Serving "
                     "serves.", 1, **RUN)
flags.DEFINE_enum("strategy", "auto", ("auto", "cpu", "gpu", "mirrored", "multi_worker", "tpu"),
                  "Devices to train on. auto takes the workers of TF_CONFIG, a TPU, all GPUs, or "
                  "else the CPU, whichever is available first.", **RUN)
flags.DEFINE_string("tpu", None, "Name or address of the TPU. By default $TPU_NAME.", **RUN)
# fmt: on


def main() -> None:
    """Trains, scores and exports the model that the flags describe."""
    if FLAGS.list:
        if FLAGS.plugin:
            load_plugin(FLAGS.plugin)
        print(format_model_table())
        return
    entry, hparams, recipe = read_model(FLAGS)
    config = read_data_config(FLAGS, entry, seed=FLAGS.seed)
    weights = resolve_weights(entry.name, FLAGS.weights) if FLAGS.weights else None
    export_dir = Path(os.path.expanduser(FLAGS.export_dir), entry.name)
    check_writable(export_dir)
    check_run_folder(FLAGS.run_dir)
    parse_checkpoint_interval(FLAGS.checkpoint_every)
    check_formats(FLAGS.export_formats.split(","))

    # imported here, so that errors in the flags, --help and --list don't wait for TensorFlow
    import_tensorflow()
    from zoo.data.loading import load_data
    from zoo.data.memory import report_unreadable_files
    from zoo.distribution.multi_worker import report_lost_workers
    from zoo.distribution.strategy import choose_strategy, run_chief_first
    from zoo.training.building import check_recipe
    from zoo.training.finetuning import check_source

    # workers can only be connected before TensorFlow does anything else
    strategy, devices = choose_strategy(FLAGS.strategy, FLAGS.tpu)
    source, hparams, config = open_weights(FLAGS, weights, entry, hparams, config)
    if FLAGS["stratify"].value is None:
        FLAGS["stratify"].value = _choose_stratify(source, config)
    config = dataclasses.replace(config, stratify=bool(FLAGS["stratify"].value))
    with report_lost_workers(strategy):
        # the chief prepares the dataset, and the other workers read it
        with run_chief_first(strategy):
            data = load_data(config)
        check_recipe(recipe, data.spec)
        if source:
            check_source(source, data)
        with report_unreadable_files(data.train, data.validation, data.test):
            train_model(entry, hparams, recipe, source, data, export_dir, strategy, devices)


def _choose_stratify(source: "Source | None", config: DataConfig) -> bool | None:
    """Returns whether rows are held out by class: as they were, where that is known.

    Returns None for a run of a version before 0.2, which did not, and has no such flag.
    """
    from zoo.data.loading import dataset_slug
    from zoo.evaluation.datasets import adopt_data_settings

    if source and source.record.get("dataset") == config.name:
        return adopt_data_settings(config, source.record, source.spec).stratify
    default = Path("runs", f"{FLAGS.model}-{dataset_slug(config.name or config.default)}")
    return None if lacks_flag(FLAGS.run_dir or default, "stratify") else True


def train_model(
    entry: Entry,
    hparams: dict,
    recipe: Recipe,
    source: "Source | None",
    data: "Data",
    export_dir: Path,
    strategy: "tf.distribute.Strategy",
    devices: str,
) -> None:
    """Builds and trains the model, or resumes its training, then scores and exports it.

    All workers train; only the chief writes.
    """
    from zoo.distribution.strategy import adapt_recipe_to_strategy, is_chief
    from zoo.evaluation.mistakes import evaluate_model
    from zoo.evaluation.record import make_record
    from zoo.exporting.converters import check_convertible
    from zoo.training.building import prepare_model, shrink_batch_size
    from zoo.training.checkpoints import find_latest_checkpoint
    from zoo.training.loop import fit_model

    named = set(read_settings(FLAGS))
    recipe = shrink_batch_size(recipe, len(data.train), named)
    recipe = adapt_recipe_to_strategy(recipe, strategy, named)
    with strategy.scope():
        model, transfers = prepare_model(entry, hparams, recipe, data, FLAGS.seed, source)
    check_convertible(model, FLAGS.export_formats.split(","))
    with contextlib.ExitStack() as stack:
        run_dir = _open_run_folder(stack, entry, recipe, data, strategy)
        stack.enter_context(advise_on_interrupt(f"the same command resumes {run_dir}"))
        if _report_finished(run_dir, recipe, export_dir, is_chief(strategy)):
            return
        start, damaged = find_latest_checkpoint(run_dir)
        if is_chief(strategy):
            print_weights(FLAGS.weights, [] if start else transfers, recipe, hparams)
            announce_training(model, data, recipe, run_dir, devices, start, damaged)
        options = {"seed": FLAGS.seed, "checkpoint_every": FLAGS.checkpoint_every}
        trained = fit_model(model, data, recipe, run_dir=run_dir, start=start, **options)
        if is_chief(strategy):
            test = evaluate_model(model, data, recipe.batch_size, run_dir)
            record = dataclasses.replace(
                make_record(entry, hparams, model, data, recipe, trained, test),
                seed=FLAGS.seed,
                devices=devices,
                command=command_line(),
                plugin=find_plugin(FLAGS.plugin) if FLAGS.plugin else "",
                config=find_config_name(sys.argv),
            )
            publish(model, data, record, trained["history"], run_dir, export_dir)


def publish(
    model: "keras.Model",
    data: "Data",
    record: "RunRecord",
    history: dict[str, list[float]],
    run_dir: Path,
    export_dir: Path,
) -> None:
    """Writes the record, plots and exports of a run; the last printed line is the export's path."""
    from zoo.data.splits import take_inputs
    from zoo.evaluation.model_card import write_card
    from zoo.evaluation.plots import plot_curves
    from zoo.evaluation.record import format_scores
    from zoo.exporting.format_scores import export_formats
    from zoo.exporting.saved_model import export_model
    from zoo.serving.server_config import write_server_files
    from zoo.storage.json_files import write_json

    plot_curves(history, run_dir / "curves.png")
    write_json(run_dir / METRICS, record.to_dict())
    samples = take_inputs(data.raw_test or data.test, 32)
    version = export_model(
        model, export_dir, spec=data.spec, samples=samples, record=record.to_dict()
    )
    formats = export_formats(model, data, version, FLAGS.export_formats.split(","), FLAGS.seed)
    write_server_files(export_dir.parent, FLAGS.keep_versions)
    record = dataclasses.replace(record, formats=formats, export=str(version))
    write_card(run_dir, record.to_dict())
    write_json(run_dir / METRICS, record.to_dict())
    print(format_scores(record.test))
    print(f"run: {run_dir}  (card.md, metrics.json, curves.png, flags.txt, ...)")
    print(version)


def format_help_text() -> str:
    """Returns the text of --help; with --model also the model's defaults and hyperparameters."""
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    return format_help(__doc__, FLAGS, find_entry(FLAGS.model) if FLAGS.model else None)


def _open_run_folder(
    stack: contextlib.ExitStack,
    entry: Entry,
    recipe: Recipe,
    data: "Data",
    strategy: "tf.distribute.Strategy",
) -> Path:
    """Chooses the folder of the run. The chief locks it until `stack` is closed."""
    from zoo.data.loading import dataset_slug
    from zoo.distribution.strategy import is_chief, run_chief_first

    resolved = {"dataset": data.name} | dataclasses.asdict(recipe)
    flagfile = format_flagfile(FLAGS, resolved, command_line())
    # the chief creates the folder before the other workers look for it
    with run_chief_first(strategy):
        if FLAGS.run_dir:
            run_dir = Path(os.path.expanduser(FLAGS.run_dir))
        else:
            default = Path("runs", f"{entry.name}-{dataset_slug(data.name)}")
            run_dir = choose_run_folder(default, flagfile, CHANGEABLE_FLAGS)
        if is_chief(strategy):
            lock = open_run(run_dir, flagfile, free=CHANGEABLE_FLAGS, overwrite=FLAGS.overwrite)
            stack.enter_context(lock)
    return run_dir


def _report_finished(run_dir: Path, recipe: Recipe, export_dir: Path, chief: bool) -> bool:
    """Returns whether the run in the folder is finished; if so, the chief prints its scores."""
    from zoo.evaluation.record import find_finished_record, format_scores

    formats = FLAGS.export_formats.split(",")
    record = find_finished_record(run_dir, recipe, export_dir, formats)
    if record and chief:
        print(
            f"{run_dir} is finished: raise --epochs to continue it, or pass --overwrite to start "
            "over"
        )
        print(format_scores(record["test"]), record["export"], sep="\n")
    return record is not None
