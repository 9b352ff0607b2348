"""Loads a dataset, given by name or path, as `Data`: train, validation and test splits."""

import dataclasses
from pathlib import Path

from zoo.data.config import DataConfig
from zoo.data.memory import default_memory_budget, load_into_memory
from zoo.data.sources.image_folder import load_image_folder
from zoo.data.sources.table import load_table
from zoo.data.sources.tfds import DatasetUnavailableError, load_tfds
from zoo.data.spec import Tokenizer
from zoo.data.splits import Data, LabelledSplits, Split, draw_holdout_rows
from zoo.data.text_encoding import tokenize_splits
from zoo.data.tokenizers import choose_length, learn_tokenizer, read_preset_tokenizer
from zoo.errors import UserError

# Small datasets that replace a default dataset that cannot be downloaded.
_OFFLINE_DEFAULTS = {"mnist": "mnist_5k", "imdb_reviews": "synthetic_reviews"}
_FILE_KINDS = ("folder", "csv", "jsonl")  # prefixes of paths to the user's files


def load_data(config: DataConfig) -> Data:
    """Reads, splits and prepares a dataset: `read_data` followed by `prepare_data`.

    Raises:
        UserError: as in `read_data` and `prepare_data`.
    """
    return prepare_data(read_data(config), config)


def read_data(config: DataConfig) -> Data:
    """Reads a dataset, which is downloaded if needed, and splits it. Texts stay strings.

    Raises:
        UserError: if the name, path or a file is invalid, or the download fails.
    """
    name, note = config.name or config.default, ""
    try:
        source = _read_source(name, config)
    except DatasetUnavailableError as error:
        if config.name is not None or name not in _OFFLINE_DEFAULTS:
            raise
        name = _OFFLINE_DEFAULTS[name]
        note = f"the default dataset {config.default} was replaced by the small {name}: {error}"
        source = _read_source(name, config)
    splits, origins = _complete_splits(source, config.holdout, config.seed)
    return Data(
        name=name, version=source.version, spec=source.spec, splits=origins, note=note, **splits
    )


def prepare_data(data: Data, config: DataConfig) -> Data:
    """Tokenizes the texts of `data` and loads the splits into memory if they fit.

    Args:
        data: Result of `read_data`.
        config: Settings of the tokenizer and the memory budget.

    Raises:
        UserError: if a length or preset is set for a dataset without texts, or the preset cannot
            be loaded.
    """
    spec = data.spec
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    if spec.is_text:
        splits, spec = tokenize_splits(splits, spec, _make_tokenizer(data.train, config))
    elif config.length is not None or config.preset:
        option = "preset" if config.preset else "length"
        raise UserError(
            f"{option}={config.preset or config.length}: {data.name} has no texts: omit --{option}"
        )
    budget = config.memory_budget
    splits = load_into_memory(splits, spec, default_memory_budget() if budget is None else budget)
    return dataclasses.replace(
        data,
        spec=spec,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        raw_test=data.test if spec.is_text else None,
    )


def dataset_slug(dataset: str) -> str:
    """Returns a dataset name for use in file names: 'csv:data/iris.csv' gives 'iris'."""
    kind, colon, path = dataset.partition(":")
    if colon and kind in _FILE_KINDS:
        return Path(path).resolve().stem
    return dataset.replace("/", "-").replace(":", "-")


def _make_tokenizer(train: Split, config: DataConfig) -> Tokenizer:
    """Returns the preset's tokenizer, the given one, or one learned from the training texts."""
    if config.preset:
        return read_preset_tokenizer(config.preset, train, config.length)
    if isinstance(config.tokenizer, str):
        return learn_tokenizer(
            train,
            config.tokenizer,
            vocabulary_size=config.vocabulary_size,
            length=config.length,
        )
    if config.length is not None:
        return choose_length(config.tokenizer, train, config.length)
    return config.tokenizer


def _read_source(name: str, config: DataConfig) -> LabelledSplits:
    """Reads the labelled splits of a TFDS dataset, an image folder or a table."""
    kind, colon, path = name.partition(":")
    if not colon or kind not in _FILE_KINDS:
        return load_tfds(name, config)
    if config.train_split is not None:
        raise UserError(
            f"train_split={config.train_split!r}: only TFDS datasets have split expressions; "
            f"{name} is split by subfolders or files named train and test, or by --holdout"
        )
    if kind == "folder":
        if config.text or config.label:
            raise UserError(f"{name} has no columns: omit --text and --label")
        return load_image_folder(path, config.image_size)
    if config.image_size is not None:
        raise UserError(f"image_size={config.image_size}: {name} has no images to resize")
    return load_table(kind, path, config.text, config.label)


def _complete_splits(
    source: LabelledSplits, holdout: float, seed: int
) -> tuple[dict[str, Split], dict[str, str]]:
    """Returns the train, validation and test splits, and a description of where each comes from.

    If there is no labelled test split, the validation split becomes the test split. Splits that
    are then missing are held out from the training split.
    """
    splits, origins = dict(source.splits), dict(source.origins)
    if "test" not in splits and "validation" in splits:
        splits["test"], origins["test"] = splits.pop("validation"), origins.pop("validation")
    for split_name in ("test", "validation"):
        if split_name in splits:
            continue
        train = splits["train"]
        if len(train) < 2:
            raise UserError(
                f"the training split has {len(train)} examples: too few to hold some out for "
                f"{split_name}"
            )
        rows = draw_holdout_rows(len(train), holdout, seed)
        splits[split_name], splits["train"] = train.select_rows(rows), train.select_rows(~rows)
        origins[split_name] = f"a seeded {holdout:.0%} of {origins['train']}"
    return splits, origins
