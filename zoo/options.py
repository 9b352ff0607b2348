"""The flags of a model, its data and its recipe, which train.py and zoo.evaluate share."""

import dataclasses
import itertools
import os
import sys
from typing import TYPE_CHECKING, Any, Literal

from absl import flags

from zoo import cli, registry
from zoo.errors import UserError
from zoo.recipe import Recipe

if TYPE_CHECKING:
    from zoo.data.spec import Data, Tokenizer

FLAGS = flags.FLAGS
GROUPS = MODEL, DATA, _ = "Model", "Data", cli.TRAINING


def define() -> None:
    """The flags, under the headings of `GROUPS`."""
    # fmt: off
    cli.flag(MODEL, "model", str, None, "Name of the model.")
    cli.flag(MODEL, "hparam", list, [], "NAME=VALUE of one of its hyperparameters.")
    cli.flag(MODEL, "preset", str, None, "Pretrained weights of bert: a name in KerasHub, or a "
             "folder.")
    cli.flag(MODEL, "plugin", str, None, "Module, or .py file, that registers more models.")

    cli.flag(DATA, "dataset", str, None, "Name in TensorFlow Datasets (mnist, imdb_reviews, ...), "
             "folder:PATH of images by class, csv:PATH or jsonl:PATH. The model's by default.")
    cli.flag(DATA, "data_dir", str, None, "Where TFDS keeps its data. By default TFDS_DATA_DIR, "
             "or else ~/tensorflow_datasets.")
    cli.flag(DATA, "train_split", str, None, "TFDS split to train on, such as 'train[:90%]'.")
    cli.flag(DATA, "label", str, None, "Column to predict: decimals are a regression, else "
             "classes.")
    cli.flag(DATA, "text", str, None, "Column of texts, or A,B of pairs; by default all are "
             "numbers.")
    cli.flag(DATA, "tokenizer", Literal["words", "characters", "wordpiece"], None, "What a token "
             "is. By default words, or wordpiece for bert.")
    cli.flag(DATA, "vocabulary_size", int, 20_000, "Most tokens, counted in the training texts.",
             10)
    cli.flag(DATA, "length", int, None, "Most tokens of a text. By default 95% are shorter.", 4)
    cli.flag(DATA, "image_size", str, None, "ROWS,COLUMNS of all images. By default their median.")
    cli.flag(DATA, "holdout", float, 0.1, "Share of the training split that becomes the "
             "validation split, and the test split, where the dataset has none.", 0.001, 0.5)
    cli.flag(DATA, "memory_budget", int, None, "MiB of data to hold, else stream. By default a "
             "quarter of the memory.", 0)
    # fmt: on
    cli.define_recipe_flags()


def plugin() -> None:
    """Imports the module that --plugin names.

    Raises:
        UserError: if it cannot be imported.
    """
    if FLAGS.plugin:
        registry.load_plugin(FLAGS.plugin)


def model() -> tuple[registry.Entry, dict[str, Any], Recipe]:
    """The model that --model names, its hyperparameters as given, and its recipe.

    Raises:
        UserError: for a name, hyperparameter or setting that does not do.
    """
    if FLAGS.model is None:
        raise UserError("no model: name one with --model, such as --model=cnn (see --list)")
    entry = registry.find(FLAGS.model)
    hparams = cli.hparams(FLAGS.hparam) | ({"preset": FLAGS.preset} if FLAGS.preset else {})
    hparams = entry.check(hparams, entry.hyperparameters)
    return entry, hparams, dataclasses.replace(entry.recipe, **cli.given_settings())


def config() -> str:
    """Name of the last config on the command line: "x" of --flagfile=configs/x.flags; else ""."""
    name = ""
    for word, following in itertools.pairwise([*sys.argv[1:], ""]):
        flag, equals, value = word.lstrip("-").partition("=")
        path = value if equals else following
        if word.startswith("-") and flag == "flagfile" and path.endswith(".flags"):
            name = os.path.basename(path).removesuffix(".flags")
    return name


def read(name: str | None, default: str, image_size: tuple[int, int] | None, seed: int) -> "Data":
    """The dataset of that name, or the default, by `zoo.data.read`.

    Raises:
        UserError: as that does.
    """
    from zoo import data as datasets

    return datasets.read(
        name,
        default=default,
        data_dir=FLAGS.data_dir,
        train_split=FLAGS.train_split,
        text=FLAGS.text.split(",") if FLAGS.text else (),
        label=FLAGS.label,
        image_size=image_size,
        holdout=FLAGS.holdout,
        seed=seed,
    )


def prepare(data: "Data", tokenizer: "str | Tokenizer", preset: str) -> "Data":
    """The dataset with token ids for texts, and in memory if it fits, by `zoo.data.prepare`.

    Raises:
        UserError: as that does.
    """
    from zoo import data as datasets

    return datasets.prepare(
        data,
        tokenizer=tokenizer,
        preset=preset,
        vocabulary_size=FLAGS.vocabulary_size,
        length=FLAGS.length,
        budget=budget(),
    )


def budget() -> int | None:
    """Bytes of data that may be held in memory, where --memory_budget says."""
    return None if FLAGS.memory_budget is None else FLAGS.memory_budget << 20
