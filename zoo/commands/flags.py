"""Flags that several commands share, and functions that read them."""

import dataclasses
import typing
from collections.abc import Callable, Iterable
from typing import Any

import docstring_parser
from absl import flags

from zoo import models  # noqa: F401, registers the built-in models
from zoo.data.config import (
    LONG_TEXTS,
    TASKS,
    DataConfig,
    parse_column_kinds,
    parse_image_size,
    parse_separator,
    parse_text_columns,
)
from zoo.data.encoding_names import parse_encoding
from zoo.errors import UserError, one_line
from zoo.recipe import Recipe
from zoo.registry import Entry, find_entry, load_plugin
from zoo.schema import parse_literal

TRAINING = "Training"  # heading of the settings of a recipe
PRESETS = ("preset", "preset_weights")  # hyperparameters with flags of their own

_DEFINERS: dict[type, Callable] = {
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    bool: flags.DEFINE_bool,
    str: flags.DEFINE_string,
}


def under_heading(values: flags.FlagValues, title: str) -> dict[str, Any]:
    """Returns the arguments that put an absl flag under a heading of --help."""
    return {"flag_values": values, "module_name": title}


def define_model_flags(values: flags.FlagValues) -> None:
    """Defines the flags for a model, its data and its recipe."""
    model = under_heading(values, "Model")
    # fmt: off
    flags.DEFINE_string("model", None, "Name of the model, such as cnn; --list shows all.", **model)
    flags.DEFINE_multi_string("hparam", [], "NAME=VALUE of one of the model's hyperparameters, "
                              "such as dropout=0.3.", **model)
    flags.DEFINE_string("preset", None, "Pretrained weights for --model=bert, text_encoder or "
                        "image_backbone: the name of a KerasHub preset, which is downloaded, or a "
                        "folder; for images also keras:NAME of keras.applications.", **model)
    flags.DEFINE_string("preset_weights", None, "File with the weights of --preset=keras:NAME. By "
                        "default those of ImageNet are downloaded.", **model)
    flags.DEFINE_string("plugin", None, "Python module, or .py file, that registers more models.",
                        **model)
    flags.DEFINE_string("recipe", None, "Recipe that ships with the package, such as cnn_mnist: "
                        "sets the model, the dataset and the training settings. Flags after it "
                        "override its own.", **model)
    # fmt: on
    define_data_flags(values)
    define_recipe_flags(values)


def define_data_flags(values: flags.FlagValues) -> None:
    """Defines the flags for a dataset, its splits and its tokenizer."""
    data = under_heading(values, "Data")
    # fmt: off
    flags.DEFINE_string("dataset", None, "Name in TensorFlow Datasets (mnist, imdb_reviews, "
                        "glue/mrpc, ...), folder:PATH with one folder of images per class or "
                        "labels.csv, csv:PATH, tsv:PATH, jsonl:PATH, parquet:PATH or arrow:PATH. "
                        "By default the model's own dataset.", **data)
    flags.DEFINE_string("data_dir", None, "Folder of prepared TFDS datasets. By default "
                        "$TFDS_DATA_DIR, or else ~/tensorflow_datasets.", **data)
    flags.DEFINE_string("label", None, "Column to predict, or columns of 0 and 1: a,b,c.", **data)
    flags.DEFINE_enum("task", None, TASKS, "What to predict. By default numbers make a regression "
                      "unless they are a few whole numbers; lists of labels, or several columns, "
                      "make a multilabel; anything else makes classes.", **data)
    flags.DEFINE_string("text", None, "Column of texts, or two columns A,B of text pairs. By "
                        "default all columns but the label are numbers, categories, dates or "
                        "texts.", **data)
    flags.DEFINE_string("columns", None, "NAME:KIND of columns, separated by commas, where the "
                        "kind that was found is not wanted: number, category, date, text or drop.",
                        **data)
    flags.DEFINE_string("separator", None, "What separates the fields of a CSV file. By default "
                        "commas, semicolons, tabs or bars, whichever the file has.", **data)
    flags.DEFINE_string("encoding", None, "Encoding of files of text, such as euc_jp or cp1254. By "
                        "default that which is found in the file.", **data)
    # fmt: on
    _define_text_flags(data)
    # fmt: off
    flags.DEFINE_string("image_size", None, "ROWS,COLUMNS that all images are resized to, such as "
                        "64,64. By default the median size, at most 224.", **data)
    flags.DEFINE_enum("resize", None, ("stretch", "crop", "pad"), "How images of other proportions "
                      "are fitted: stretched, cropped to the middle, or padded with black. By "
                      "default stretch.", **data)
    flags.DEFINE_enum("color", None, ("auto", "rgb", "gray"), "Colours of the images of a folder. "
                      "By default auto: gray if all images are, otherwise rgb.", **data)
    # None, so that runs of versions without the flag have the same flags
    flags.DEFINE_bool("merge_label_case", None, "Makes one class of labels that differ only in "
                      "case.", **data)
    flags.DEFINE_bool("skip_broken", None, "Leaves out images that cannot be read.", **data)
    flags.DEFINE_integer("memory_budget", None, "MiB of decoded data to load into memory; larger "
                         "data are streamed. By default a quarter of the memory.", 0, **data)
    # fmt: on
    _define_split_flags(data)


def _define_text_flags(data: dict[str, Any]) -> None:
    """Defines the flags for the tokens of texts."""
    # fmt: off
    flags.DEFINE_enum("tokenizer", None, ("auto", "words", "bigrams", "characters", "wordpiece"),
                      "How texts are split into tokens. By default auto: words, or characters "
                      "where words do not carry the training texts; bigrams (words, and pairs of "
                      "words that follow each other) for nbsvm; wordpiece for bert; the "
                      "tokenizer of the preset for text_encoder.", **data)
    flags.DEFINE_bool("lowercase", None, "Whether texts are lowercased. By default true; a preset "
                      "and --weights have their own setting.", **data)
    flags.DEFINE_integer("vocabulary_size", 20_000, "Largest vocabulary, counted in the training "
                         "texts. By default 20000; 150000 for nbsvm.", 10, **data)
    flags.DEFINE_integer("length", None, "Most tokens of a text; longer texts are cut. By default "
                         "the length that 95% of the training texts have at most.", 4, **data)
    flags.DEFINE_enum("long_texts", None, LONG_TEXTS, "How bert and text_encoder read texts of "
                      "more tokens than they have positions for: truncated, or in windows whose "
                      "logits are averaged. By default truncated; a longer --length is refused.",
                      **data)
    # fmt: on


def _define_split_flags(data: dict[str, Any]) -> None:
    """Defines the flags for the splits of a dataset."""
    # fmt: off
    flags.DEFINE_string("train_split", None, "TFDS split to train on, such as 'train[:90%]'.",
                        **data)
    flags.DEFINE_float("holdout", 0.1, "Share of the training split that is held out as the "
                       "validation split, and as the test split, where the dataset has none.",
                       0.001, 0.5, **data)
    # None, so that runs of versions without the flag have the same flags
    flags.DEFINE_bool("stratify", None, "Holds out a share of each class of your own data. By "
                      "default true, but for runs and weights that were trained without.", **data)
    flags.DEFINE_string("group", None, "Column whose groups of rows, such as those of a patient or "
                        "a film, are kept together in held-out splits and folds. It is no input.",
                        **data)
    flags.DEFINE_string("time", None, "Column of dates or numbers by which the newest rows are "
                        "held out.", **data)
    flags.DEFINE_string("weight", None, "Column of a table with the weight of each row in the "
                        "training loss, a number of at least 0. It is no input.", **data)
    # fmt: on


def define_recipe_flags(values: flags.FlagValues) -> None:
    """Defines a flag for each setting of a recipe; its default is None."""
    training = under_heading(values, TRAINING)
    documented = docstring_parser.parse(Recipe.__doc__ or "").params
    meanings = {p.arg_name: one_line(p.description, 2_000) for p in documented}
    for field in dataclasses.fields(Recipe):
        kind = _base_type(field.type)
        if typing.get_origin(kind) is typing.Literal:
            choices = typing.get_args(kind)
            flags.DEFINE_enum(field.name, None, choices, meanings[field.name], **training)
            continue
        _DEFINERS[kind](field.name, None, meanings[field.name], **training)


def read_model(values: flags.FlagValues) -> tuple[Entry, dict[str, Any], Recipe]:
    """Returns the model of --model, the hyperparameters that the flags set, and the recipe.

    Raises:
        UserError: if a name is unknown, a hyperparameter or setting is invalid, or the plug-in
            cannot be imported.
    """
    if values.plugin:
        load_plugin(values.plugin)
    if values.recipe:  # one on the command line was replaced by its --flagfile
        raise UserError(
            f"--recipe={values.recipe} in a file of flags is not read: pass it on the command line"
        )
    if values.model is None:
        raise UserError("no model: choose one with --model, such as --model=cnn (see --list)")
    entry = find_entry(values.model)
    presets = {name: value for name in PRESETS if (value := values[name].value)}
    hparams = parse_hparams(values.hparam) | presets
    hparams = entry.check(hparams, entry.hyperparameters)
    return entry, hparams, dataclasses.replace(entry.recipe, **read_recipe_settings(values))


def read_recipe_settings(values: flags.FlagValues) -> dict[str, Any]:
    """Returns the settings of the recipe that the flags set."""
    names = (field.name for field in dataclasses.fields(Recipe) if field.name in values)
    return {name: values[name].value for name in names if values[name].value is not None}


def read_data_config(
    values: flags.FlagValues, entry: Entry | None = None, seed: int = 0
) -> DataConfig:
    """Reads the flags for a dataset.

    Args:
        values: The flags.
        entry: The model, for its default dataset and tokenizer.
        seed: Seed for the choice of the held-out rows.

    Raises:
        UserError: if the image size or the columns of texts are invalid, both a group and a time
            are given, or the model does not read texts in windows.
    """
    budget = values.memory_budget
    _check_holdout_flags(values)
    _check_long_texts(values, entry)
    if entry and "vocabulary_size" in entry.arguments:
        values.set_default("vocabulary_size", entry.arguments["vocabulary_size"].default)
    return DataConfig(
        name=values.dataset,
        default=entry.dataset if entry else "",
        added=tuple(values.add_dataset) if "add_dataset" in values else (),
        data_dir=values.data_dir,
        train_split=values.train_split,
        text=parse_text_columns(values.text),
        label=values.label,
        task=values.task,
        merge_label_case=bool(values.merge_label_case),
        columns=parse_column_kinds(values.columns),
        separator=parse_separator(values.separator),
        encoding=parse_encoding(values.encoding),
        image_size=parse_image_size(values.image_size),
        resize=values.resize,
        color=values.color,
        skip_broken=bool(values.skip_broken),
        group=values.group,
        time=values.time,
        weight=values.weight,
        holdout=values.holdout,
        stratify=values.stratify is not False,
        seed=seed,
        tokenizer=values.tokenizer or (entry.tokenizer if entry else "auto"),
        vocabulary_size=values.vocabulary_size,
        lowercase=values.lowercase,
        length=values.length,
        long_texts=values.long_texts,
        memory_budget=None if budget is None else budget << 20,
    )


def _check_holdout_flags(values: flags.FlagValues) -> None:
    if values.group and values.time:
        raise UserError(
            f"--group={values.group} and --time={values.time}: rows are held out by one of them: "
            "omit the other"
        )


def _check_long_texts(values: flags.FlagValues, entry: Entry | None) -> None:
    if entry and values.long_texts == "windows" and "window" not in entry.arguments:
        raise UserError(
            f"--long_texts=windows: {entry.name} reads texts of any length in one piece: omit it, "
            "and choose --length"
        )


def parse_hparams(items: Iterable[str]) -> dict[str, Any]:
    """Reads ['dropout=0.5', 'filters=32,64'] as {"dropout": 0.5, "filters": (32, 64)}.

    Raises:
        UserError: if an item is not NAME=VALUE.
    """
    hparams = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise UserError(f"--hparam={item}: expected NAME=VALUE, such as --hparam=dropout=0.5")
        hparams[name.strip()] = parse_literal(value.strip())
    return hparams


def format_flagfile(values: flags.FlagValues, resolved: dict[str, Any], command: str) -> str:
    """Formats the flags as a flagfile that repeats a run.

    Args:
        values: The flags.
        resolved: The final values of flags whose default depends on the model or the data.
        command: The command line, which becomes a comment.
    """
    lines = [f"# {command}"]
    for name, value in (values.flag_values_dict() | resolved).items():
        for item in value if isinstance(value, list) else [value]:
            if item not in (None, ""):
                lines.append(f"--{name}={str(item).lower() if isinstance(item, bool) else item}")
    return "\n".join(lines) + "\n"


def _base_type(annotation: Any) -> Any:
    """Returns int for Annotated[int, ...] and for int | None."""
    if typing.get_origin(annotation) is typing.Annotated:
        return typing.get_args(annotation)[0]
    options = [a for a in typing.get_args(annotation) if a is not type(None)]
    is_optional = len(options) < len(typing.get_args(annotation))
    return _base_type(options[0]) if is_optional else annotation
