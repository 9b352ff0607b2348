"""Pretrains the encoder of a text model on texts without labels, by guessing masked words.

zoo pretrain --model=transformer --dataset=imdb_reviews      its train and unsupervised splits
zoo pretrain --model=transformer --dataset=txt:reviews.txt   one text per line
zoo pretrain --model=transformer --dataset=csv:reviews.csv --text=review
zoo train --model=transformer --weights=runs/transformer-imdb_reviews-pretrained

15% of the tokens of each text are hidden, and the model learns to guess them from the others. What
it learns of the language carries over to a training with labels: pass the run to `zoo train` with
--weights, which takes its vocabulary along. The score is the perplexity of hidden tokens in
texts that are held out: 1 is perfect, the size of the vocabulary is chance.

The run is written to runs/<model>-<dataset>-pretrained. The same command resumes a run that was
interrupted, and ends with the same weights. With more --epochs it goes on.
"""

import contextlib
import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.flags import (
    define_model_flags,
    format_flagfile,
    parse_hparams,
    read_recipe_settings,
    under_heading,
)
from zoo.commands.help import format_help
from zoo.commands.runner import (
    command_line,
    import_tensorflow,
    print_lines,
    print_notes,
    print_warning,
)
from zoo.commands.starting_weights import open_weights
from zoo.commands.train_report import announce_resume
from zoo.data.config import DataConfig, parse_separator, parse_text_columns
from zoo.data.encoding_names import parse_encoding
from zoo.errors import UserError
from zoo.pretrained.store import resolve_weights
from zoo.recipe import Recipe
from zoo.registry import Entry, find_entry, find_plugin, load_plugin
from zoo.storage.filenames import METRICS
from zoo.storage.json_files import write_json
from zoo.training.run_folder import (
    check_run_folder,
    choose_run_folder,
    open_run,
    parse_checkpoint_interval,
)
from zoo.training.signals import advise_on_interrupt

if TYPE_CHECKING:
    import keras

    from zoo.data.splits import Data
    from zoo.training.checkpoints import Checkpoint
    from zoo.training.transfer import LayerTransfer

FLAGS = flags.FlagValues()
WORDS = ""
_MODEL = "transformer"  # the default
# flags that may change when a run is resumed
CHANGEABLE_FLAGS = ("data_dir", "run_dir", "overwrite", "checkpoint_every")
MODEL, RUN = under_heading(FLAGS, "Model"), under_heading(FLAGS, "Run")
RECIPE = Recipe(epochs=10, batch_size=64, clip_norm=1.0)

define_model_flags(FLAGS)
# what needs labels, columns, images, or several devices
FLAGS.remove_flag_values(
    ["preset", "preset_weights", "recipe", "label", "task", "columns", "image_size", "resize",
     "color", "group", "merge_label_case", "skip_broken", "memory_budget", "stratify", "time",
     "weight", "head_epochs", "loss", "focal_gamma", "label_smoothing", "class_weights",
     "oversample", "threshold", "augment", "trainable", "lora_rank", "layer_decay",
     "head_learning_rate", "accumulate_steps", "l1", "l2"]
)  # fmt: skip
# fmt: off
flags.DEFINE_string("weights", None, "A run, an export or a .keras file to start from, whose "
                    "vocabulary is used too.", **MODEL)
flags.DEFINE_integer("seed", 0, "Seed of the initial weights, the held-out texts, the masks and "
                     "the order of the texts.", 0, 2**31 - 1, **RUN)
flags.DEFINE_string("run_dir", None, "Folder of the run; an unfinished run there is resumed. By "
                    "default runs/<model>-<dataset>-pretrained, with -2, -3, ... for other flags.",
                    **RUN)
flags.DEFINE_bool("overwrite", False, "Deletes the run in the folder and starts over.", **RUN)
flags.DEFINE_string("checkpoint_every", "5m", "Time between checkpoints: a number of steps (500) "
                    "or minutes (5m).", **RUN)
flags.DEFINE_enum("strategy", "auto", ("auto", "cpu", "gpu"), "Device to train on: auto takes a "
                  "GPU if there is one.", **RUN)
# fmt: on


def main() -> None:
    """Pretrains the model that the flags describe."""
    entry, hparams, recipe, config = _read_settings()
    weights = resolve_weights(entry.name, FLAGS.weights) if FLAGS.weights else None
    check_run_folder(FLAGS.run_dir)
    parse_checkpoint_interval(FLAGS.checkpoint_every)

    import_tensorflow()
    from zoo.data.unlabelled import load_unlabelled
    from zoo.training.pretraining import prepare_pretraining
    from zoo.training.recipe_adaptation import adapt_recipe_to_size

    devices = _choose_device()
    source, hparams, config = open_weights(FLAGS, weights, entry, hparams, config)
    data = load_unlabelled(config)
    named = set(read_recipe_settings(FLAGS))
    recipe, notes = adapt_recipe_to_size(recipe, len(data.train), named)
    resolved = {"dataset": data.name} | read_used_settings(recipe)
    flagfile = format_flagfile(FLAGS, resolved, command_line())
    model, transfers = prepare_pretraining(entry, hparams, recipe, data, FLAGS.seed, source)
    with _open_run_folder(data, recipe, flagfile) as (run_dir, finished):
        if finished:
            _report_finished(run_dir, finished)
            return
        _train(entry, hparams, recipe, notes, data, model, transfers, run_dir, devices)


def format_help_text() -> str:
    """Returns the text of --help, with the defaults of a pretraining."""
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    entry = find_entry(FLAGS.model or _MODEL)
    return format_help(__doc__, FLAGS, dataclasses.replace(entry, recipe=RECIPE))


def read_used_settings(recipe: Recipe) -> dict[str, Any]:
    """Returns the settings of a recipe that a pretraining has flags for."""
    return {name: value for name, value in dataclasses.asdict(recipe).items() if name in FLAGS}


def _read_settings() -> tuple[Entry, dict[str, Any], Recipe, DataConfig]:
    """Reads the flags, before TensorFlow is imported.

    Raises:
        UserError: if one of them is invalid, or the model reads no texts.
    """
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    entry = find_entry(FLAGS.model or _MODEL)
    if "text" not in entry.kinds:
        raise UserError(
            f"{entry.name} reads {' or '.join(entry.kinds)} data: a pretraining needs a model of "
            f"texts: pass --model={_MODEL}"
        )
    hparams = entry.check(parse_hparams(FLAGS.hparam), entry.hyperparameters)
    recipe = dataclasses.replace(RECIPE, **read_recipe_settings(FLAGS))
    if recipe.monitor not in (None, "loss", "accuracy"):
        raise UserError(
            f"monitor={recipe.monitor!r}: a pretraining has no such score: expected loss, or "
            "accuracy for the share of hidden tokens that are guessed"
        )
    config = DataConfig(
        name=FLAGS.dataset,
        default=entry.dataset,
        data_dir=FLAGS.data_dir,
        train_split=FLAGS.train_split,
        text=parse_text_columns(FLAGS.text),
        separator=parse_separator(FLAGS.separator),
        encoding=parse_encoding(FLAGS.encoding),
        holdout=FLAGS.holdout,
        stratify=False,
        seed=FLAGS.seed,
        tokenizer=FLAGS.tokenizer or entry.tokenizer,
        vocabulary_size=FLAGS.vocabulary_size,
        lowercase=FLAGS.lowercase,
        length=FLAGS.length,
    )
    return entry, hparams, recipe, config


def _choose_device() -> str:
    """Chooses the device of --strategy, and describes it."""
    import tensorflow as tf

    from zoo.distribution.strategy import choose_strategy

    gpus = tf.config.list_physical_devices("GPU")
    name = FLAGS.strategy if FLAGS.strategy != "auto" else "gpu" if gpus else "cpu"
    _, devices = choose_strategy(name)
    return devices


@contextlib.contextmanager
def _open_run_folder(
    data: "Data", recipe: Recipe, flagfile: str
) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Context manager that locks the folder of the run.

    Yields:
        The folder, and the record of its run if that is finished.

    Raises:
        UserError: if the run there is of other flags or data. The folder is unchanged then.
    """
    from zoo.data.loading import dataset_slug
    from zoo.evaluation.pretraining_record import find_finished_pretraining
    from zoo.training.run_data import check_run_data

    def check_run(directory: Path) -> None:
        if not FLAGS.overwrite:
            check_run_data(directory, data, is_finished=finished is not None)

    default = Path("runs", f"{FLAGS.model or _MODEL}-{dataset_slug(data.name)}-pretrained")
    run_dir = choose_run_folder(FLAGS.run_dir, default, flagfile, CHANGEABLE_FLAGS)
    finished = None if FLAGS.overwrite else find_finished_pretraining(run_dir, recipe)
    options = {"free": CHANGEABLE_FLAGS, "overwrite": FLAGS.overwrite}
    with open_run(run_dir, flagfile, check=check_run, **options):
        yield run_dir, finished


def _report_finished(run_dir: Path, record: dict[str, Any]) -> None:
    from zoo.evaluation.pretraining_record import format_masked_scores

    print(
        f"{run_dir} is finished: raise --epochs to continue it, or pass --overwrite to start over"
    )
    print(format_masked_scores(record["validation"]))


def _train(
    entry: Entry,
    hparams: dict[str, Any],
    recipe: Recipe,
    notes: list[str],
    data: "Data",
    model: "keras.Model",
    transfers: "list[LayerTransfer]",
    run_dir: Path,
    devices: str,
) -> None:
    """Trains the model, scores it on the validation split, and writes the record of the run.

    The notes are lines on what was changed in the recipe.
    """
    from zoo.evaluation.plots import plot_curves
    from zoo.evaluation.pretraining_record import format_masked_scores, make_pretraining_record
    from zoo.training.checkpoints import find_latest_checkpoint
    from zoo.training.loop import fit_model
    from zoo.training.pretraining import score_masked_tokens

    start, damaged = find_latest_checkpoint(run_dir)
    for path in damaged:
        print_warning(f"{path}: this checkpoint is damaged and was skipped")
    _announce(model, data, recipe, [] if start else transfers, run_dir, devices, start)
    print_lines(notes)
    with advise_on_interrupt(f"the same command resumes {run_dir}"):
        options = {"seed": FLAGS.seed, "checkpoint_every": FLAGS.checkpoint_every}
        trained = fit_model(model, data, recipe, run_dir=run_dir, start=start, **options)
        validation = score_masked_tokens(model, data.validation, data.spec, recipe.batch_size)
    record = make_pretraining_record(entry, hparams, model, data, recipe, trained, validation)
    record |= {
        "seed": FLAGS.seed,
        "devices": devices,
        "command": command_line(),
        "plugin": find_plugin(FLAGS.plugin) if FLAGS.plugin else "",
    }
    plot_curves(trained["history"], run_dir / "curves.png")
    write_json(run_dir / METRICS, record)
    print(format_masked_scores(validation))
    command = shlex.join(["zoo", "train", f"--model={entry.name}", f"--weights={run_dir}"])
    print(f"to fine-tune it, add a dataset: {command}")


def _announce(
    model: "keras.Model",
    data: "Data",
    recipe: Recipe,
    transfers: "list[LayerTransfer]",
    run_dir: Path,
    devices: str,
    start: "Checkpoint | None",
) -> None:
    """Saves what identifies the data, and prints it, the model and where the training starts."""
    from zoo.data.texts.tokenizer_settings import format_tokenizer
    from zoo.training.run_data import save_run_data
    from zoo.training.transfer import format_transfers

    assert data.spec.tokenizer is not None
    save_run_data(run_dir, data)
    if transfers:
        print(f"weights from {FLAGS.weights}:", *format_transfers(transfers), sep="\n")
    print_notes(data.notes)
    print(
        f"{model.name}, {model.count_params():,} parameters, pretrained on {data.name} "
        f"({data.splits['train']}): {len(data.train):,} texts to train on, "
        f"{len(data.validation):,} to validate; devices: {devices}"
    )
    print(f"texts: {format_tokenizer(data.spec.tokenizer)}", flush=True)
    if start:
        announce_resume(start, recipe, data, run_dir)
