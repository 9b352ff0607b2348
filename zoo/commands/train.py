"""Trains a model of the zoo on a dataset, scores it, and exports it for TF Serving.

zoo train --model=cnn                                    MNIST, or 5,000 of its digits when offline
zoo train --model=mlp --dataset=csv:cars.csv --label=price
zoo train --model=resnet20 --dataset=folder:photos --image_size=64,64
zoo train --model=lstm --dataset=csv:reviews.csv --text=review --label=stars
zoo train --model=mlp --dataset=csv:weather.csv --label=sun,rain,wind    several labels per row
zoo train --model=bert --preset=bert_tiny_en_uncased --dataset=glue/mrpc --lora_rank=8
zoo train --model=textcnn --dataset=csv:reviews.csv --text=review --label=stars --vectors=glove.txt
zoo train --model=cnn --hparam=filters=32,64,128 --epochs=20 --augment=shift=0.1
zoo train --recipe=cnn_mnist                             a recipe that ships with the package
zoo train --flagfile=runs/cnn-mnist/flags.txt --overwrite    repeats a run
zoo train --model=cnn --find_learning_rate               suggests a learning rate
zoo train --list                                         lists the models
zoo train --model=cnn --help                             also shows the hyperparameters of cnn

The run is written to runs/<model>-<dataset>, the export to saved_models/<model>/<version>. The same
command resumes a run that was interrupted. `python train.py` and `python -m zoo train` are the same
program.
"""

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.flags import (
    define_model_flags,
    format_flagfile,
    read_data_config,
    read_model,
    read_recipe_settings,
    under_heading,
)
from zoo.commands.help import format_help, format_model_table
from zoo.commands.runner import command_line, import_tensorflow, print_lines, print_warning
from zoo.commands.starting_weights import choose_stratify, fit_weights_to_data, open_weights
from zoo.commands.train_data import load_training_data
from zoo.commands.train_job import TrainJob
from zoo.commands.train_learning_rate import find_learning_rate
from zoo.commands.train_report import (
    announce_training,
    check_exportable,
    print_weights,
    report_finished,
    score_model,
    write_outputs,
)
from zoo.exporting.formats import check_formats
from zoo.exporting.versions import check_export_name
from zoo.pretrained.store import resolve_weights
from zoo.recipe import Recipe
from zoo.registry import find_entry, load_plugin
from zoo.storage.atomic import check_writable
from zoo.training.run_folder import (
    check_run_folder,
    choose_run_folder,
    open_run,
    parse_checkpoint_interval,
)
from zoo.training.signals import advise_on_interrupt

if TYPE_CHECKING:
    import tensorflow as tf

    from zoo.data.splits import Data

FLAGS = flags.FlagValues()
WORDS = ""
# flags that may change when a run is resumed
CHANGEABLE_FLAGS = ("data_dir", "cache_dir", "run_dir", "overwrite", "checkpoint_every",
                    "export_dir", "export_name", "export_formats", "keep_versions",
                    "change_contract", "explain_signature")  # fmt: skip
MODEL, RUN = under_heading(FLAGS, "Model"), under_heading(FLAGS, "Run")
DATA = under_heading(FLAGS, "Data")

define_model_flags(FLAGS)
# fmt: off
flags.DEFINE_string("weights", None, "Trained weights to start from: a name that ships with the "
                    "package (see --list), a run, an export or a .keras file. Layers that do not "
                    "fit, such as a head for other classes, are newly initialised.", **MODEL)
flags.DEFINE_multi_string("add_dataset", [], "Further dataset of the same columns and classes as "
                          "--dataset; its splits are added.", **DATA)
flags.DEFINE_string("vectors", None, "Text file of pretrained word vectors (GloVe, word2vec, "
                    "fastText .vec), gzipped or not: the initial embeddings of the words that it "
                    "has. The model takes their width.", **MODEL)
flags.DEFINE_bool("find_learning_rate", None, "Trains for 120 steps at most, at learning rates "
                  "from 1e-7 to 10, suggests one of them, and exits. The plot and the table go to "
                  "--run_dir, or else to evaluations/<model>-<dataset>-learning_rate.", **MODEL)
flags.DEFINE_bool("list", False, "Lists the models and exits.", **MODEL)

flags.DEFINE_integer("seed", 0, "Seed of the initial weights, the held-out rows, the order of the "
                     "examples, augmentation and dropout.", 0, 2**31 - 1, **RUN)
flags.DEFINE_string("run_dir", None, "Folder of the run; an unfinished run there is resumed. By "
                    "default runs/<model>-<dataset>, with -2, -3, ... for other flags.", **RUN)
flags.DEFINE_string("cache_dir", None, "Folder where prepared data is kept for the next run with "
                    "the same files and settings. By default none is kept.", **DATA)
flags.DEFINE_bool("overwrite", False, "Deletes the run in the folder and starts over.", **RUN)
flags.DEFINE_string("checkpoint_every", "5m", "Time between checkpoints: a number of steps (500) "
                    "or minutes (5m).", **RUN)
flags.DEFINE_string("export_dir", "saved_models", "Folder of the exported models.", **RUN)
flags.DEFINE_string("export_name", None, "Name of the exported model in --export_dir and in TF "
                    "Serving. By default the name of --model.", **RUN)
flags.DEFINE_bool("change_contract", False, "Exports a version although its task, inputs or "
                  "classes differ from those of the version before.", **RUN)
flags.DEFINE_string("export_formats", "saved_model", "Formats to export, separated by commas: "
                    "saved_model, litert, litert_float16, litert_int8, onnx, onnx_int8.", **RUN)
# None, so that runs of versions without the flag have the same flags
flags.DEFINE_bool("explain_signature", None, "Adds the signature `explain` to the SavedModel, "
                  "which returns the integrated gradients of each prediction.", **RUN)
flags.DEFINE_integer("keep_versions", 2, "Number of newest versions of a model that TF Serving "
                     "serves.", 1, **RUN)
flags.DEFINE_enum("strategy", "auto", ("auto", "cpu", "gpu", "mirrored", "multi_worker", "tpu"),
                  "Devices to train on. auto takes the workers of TF_CONFIG, a TPU, all GPUs, or "
                  "else the CPU, whichever is available first.", **RUN)
flags.DEFINE_string("tpu", None, "Name or address of the TPU. By default $TPU_NAME.", **RUN)
# fmt: on


def main() -> Path | None:
    """Trains, scores and exports the model that the flags describe; returns the run's folder."""
    if FLAGS.list:
        if FLAGS.plugin:
            load_plugin(FLAGS.plugin)
        print(format_model_table())
        return None
    entry, hparams, recipe = read_model(FLAGS)
    config = read_data_config(FLAGS, entry, seed=FLAGS.seed)
    weights = resolve_weights(entry.name, FLAGS.weights) if FLAGS.weights else None
    export_name = FLAGS.export_name or entry.name
    check_export_name(export_name)
    export_dir = Path(os.path.expanduser(FLAGS.export_dir), export_name)
    check_writable(export_dir)
    check_run_folder(FLAGS.run_dir)
    parse_checkpoint_interval(FLAGS.checkpoint_every)
    check_formats(FLAGS.export_formats.split(","))

    # imported here, so that errors in the flags, --help and --list don't wait for TensorFlow
    import_tensorflow()
    from zoo.data.memory import report_unreadable_files
    from zoo.distribution.multi_worker import report_lost_workers
    from zoo.distribution.strategy import choose_strategy, run_chief_first
    from zoo.training.recipe_checks import check_recipe

    # workers can only be connected before TensorFlow does anything else
    strategy, devices = choose_strategy(FLAGS.strategy, FLAGS.tpu, print_warning)
    source, hparams, config = open_weights(FLAGS, weights, entry, hparams, config)
    if FLAGS["stratify"].value is None:
        FLAGS["stratify"].value = choose_stratify(FLAGS, source, config)
    # beside the runs, since the folder of temporary files may be in memory
    mapped_dir = Path(os.path.expanduser(FLAGS.run_dir or "runs/run")).parent
    config = dataclasses.replace(
        config, stratify=bool(FLAGS["stratify"].value), mapped_dir=str(mapped_dir)
    )
    with report_lost_workers(strategy):
        # the chief prepares the dataset, and the other workers read it
        with run_chief_first(strategy):
            data = load_training_data(config, FLAGS.cache_dir)
        check_recipe(recipe, data.spec)
        hparams, data = fit_weights_to_data(source, entry, hparams, data)
        if FLAGS.find_learning_rate:
            find_learning_rate(FLAGS, entry, hparams, recipe, source, data, strategy)
            return None
        export_dir = _find_export_folder(export_dir, data, strategy)
        recipe, notes = _adapt_recipe(recipe, hparams, data, strategy)
        job = TrainJob(entry, hparams, recipe, source, data, strategy, devices, export_dir)
        with report_unreadable_files(data.train, data.validation, data.test):
            return train_model(job, notes)


def train_model(job: TrainJob, notes: list[str]) -> Path:
    """Builds, trains or resumes, scores and exports the model; returns the run's folder.

    Args:
        job: What is trained.
        notes: Lines on what was changed in the recipe, printed before the training.
    """
    from zoo.distribution.strategy import is_chief
    from zoo.training.building import prepare_model
    from zoo.training.checkpoints import find_latest_checkpoint
    from zoo.training.loop import fit_model
    from zoo.training.run_data import describe_start
    from zoo.training.word_vectors import load_word_vectors
    from zoo.training.worker_agreement import check_same_inputs, check_same_start

    strategy, recipe = job.strategy, job.recipe
    resolved = {"dataset": job.data.name} | dataclasses.asdict(recipe)
    flagfile = format_flagfile(FLAGS, resolved, command_line())
    check_same_inputs(strategy, job.data, flagfile, (*CHANGEABLE_FLAGS, "strategy"))
    with strategy.scope():
        model, transfers = prepare_model(
            job.entry, job.hparams, recipe, job.data, FLAGS.seed, job.source
        )
        job = dataclasses.replace(job, data=load_word_vectors(FLAGS.vectors, model, job.data))
    check_exportable(FLAGS, model, job.data.spec)
    first = describe_start(job.entry, model)
    with contextlib.ExitStack() as stack:
        run_dir, finished = _open_folder(stack, job, first, flagfile)
        stack.enter_context(advise_on_interrupt(f"the same command resumes {run_dir}"))
        start, damaged = find_latest_checkpoint(run_dir)
        check_same_start(strategy, run_dir, start, finished is not None, first)
        if finished:
            if is_chief(strategy):
                report_finished(run_dir, finished)
            return run_dir
        if is_chief(strategy):
            print_weights(FLAGS.weights, [] if start else transfers, recipe, job.hparams)
            announce_training(job, model, run_dir, start, damaged, first)
            print_lines(notes)
        options = {"seed": FLAGS.seed, "checkpoint_every": FLAGS.checkpoint_every}
        options["new"] = {item.name for item in transfers if item.reason}
        trained = fit_model(model, job.data, recipe, run_dir=run_dir, start=start, **options)
        if is_chief(strategy):
            record, data = score_model(FLAGS, job, model, trained, run_dir)
            job = dataclasses.replace(job, data=data)
            write_outputs(FLAGS, job, model, record, trained["history"], run_dir)
    return run_dir


def _adapt_recipe(
    recipe: Recipe, hparams: dict, data: "Data", strategy: "tf.distribute.Strategy"
) -> tuple[Recipe, list[str]]:
    """Returns the recipe for the data, the weights and the devices, and a line for each change."""
    from zoo.distribution.strategy import adapt_recipe_to_strategy
    from zoo.training.recipe_adaptation import adapt_recipe

    named = set(read_recipe_settings(FLAGS))
    recipe, notes = adapt_recipe(recipe, len(data.train), FLAGS.weights, hparams, named)
    recipe, device_notes = adapt_recipe_to_strategy(recipe, strategy, named)
    return recipe, [*notes, *device_notes]


def format_help_text() -> str:
    """Returns the text of --help; with --model also the model's defaults and hyperparameters."""
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    return format_help(__doc__, FLAGS, find_entry(FLAGS.model) if FLAGS.model else None)


def _find_export_folder(export_dir: Path, data: "Data", strategy: "tf.distribute.Strategy") -> Path:
    """Returns the folder of the export: another one if a model of another contract has its name."""
    from zoo.data.loading import dataset_slug
    from zoo.distribution.strategy import is_chief
    from zoo.exporting.contract import choose_export_folder

    if FLAGS.export_name or FLAGS.change_contract:
        return export_dir
    advice = "--export_name gives it another name, --change_contract makes it the next version"
    folder, warning = choose_export_folder(export_dir, data.spec, dataset_slug(data.name), advice)
    if is_chief(strategy):
        print_warning(warning)
    return folder


def _open_folder(
    stack: contextlib.ExitStack, job: TrainJob, first: dict[str, Any], flagfile: str
) -> tuple[Path, dict | None]:
    """Chooses the folder of the run. The chief locks it until `stack` is closed.

    Returns:
        The folder, and the record of its run if that is finished.

    Raises:
        UserError: if the run there is of other flags or data, or the export would change what its
            clients expect. The folder is unchanged then.
    """
    from zoo.data.loading import dataset_slug
    from zoo.distribution.strategy import is_chief, run_chief_first
    from zoo.evaluation.record import find_finished_record
    from zoo.exporting.contract import check_contract
    from zoo.training.run_data import check_run_data

    def check_run(directory: Path) -> None:
        if not FLAGS.overwrite:
            check_run_data(directory, job.data, finished is not None, first)
        if not (finished or FLAGS.change_contract):
            check_contract(job.export_dir, job.data.spec)

    finished, formats = None, FLAGS.export_formats.split(",")
    # the chief creates the folder before the other workers look for it
    with run_chief_first(job.strategy):
        default = Path("runs", f"{FLAGS.model}-{dataset_slug(job.data.name)}")
        run_dir = choose_run_folder(FLAGS.run_dir, default, flagfile, CHANGEABLE_FLAGS)
        if not FLAGS.overwrite:
            explains = bool(FLAGS.explain_signature)
            finished = find_finished_record(run_dir, job.recipe, job.export_dir, formats, explains)
        if is_chief(job.strategy):
            options = {"free": CHANGEABLE_FLAGS, "overwrite": FLAGS.overwrite}
            stack.enter_context(open_run(run_dir, flagfile, check=check_run, **options))
    return run_dir, finished
