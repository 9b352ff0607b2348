"""Loads a dataset, given by name or path, as `Data`: train, validation and test splits."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.config import DataConfig
from zoo.data.fingerprint import compute_fingerprint
from zoo.data.holdout import choose_holdout_rows
from zoo.data.joining import join_data
from zoo.data.memory import choose_budget, load_into_memory, report_unreadable_files
from zoo.data.sources.dataset_paths import reject_address, reject_path
from zoo.data.sources.image_folder import load_image_folder
from zoo.data.sources.table import load_table
from zoo.data.sources.table_files import TABLE_KINDS
from zoo.data.sources.tfds import DatasetUnavailableError, load_tfds
from zoo.data.split_checks import (
    describe_missing_classes,
    describe_odd_targets,
    describe_repeated_rows,
)
from zoo.data.splits import Arrays, Data, LabelledSplits
from zoo.data.tables.table_splits import encode_table, is_table
from zoo.data.texts.batch_encoding import tokenize_splits
from zoo.data.texts.tokenizer_choice import make_tokenizer
from zoo.errors import UserError, format_count

# Small datasets that replace a default dataset that cannot be downloaded.
_OFFLINE_DEFAULTS = {"mnist": "mnist_5k", "imdb_reviews": "synthetic_reviews"}
_FILE_KINDS = ("folder", *TABLE_KINDS)  # prefixes of paths to the user's files


def load(name: str, **settings: Any) -> Data:
    """Reads, splits and prepares a dataset; it is also `zoo.data.load`.

    Args:
        name: A TFDS name or a path with its kind, as in `DataConfig.name`.
        **settings: Fields of `DataConfig`, such as `label`, `text`, `holdout` and `seed`. Names of
            columns of texts may be written as on the command line ("first,second"), kinds of
            columns as a dict ({"zip": "category"}), and the size of square images as a number.

    Raises:
        UserError: if the name, path, a file or a setting is invalid, or the download fails.
        TypeError: if `DataConfig` has no such field.

    Examples:
        >>> import zoo.data
        >>> _ = open("cars.csv", "w").write("kg,price\\n" + "900,4.5\\n1200,9.5\\n1500,14.5\\n" * 9)
        >>> cars = zoo.data.load("csv:cars.csv", label="price")
        >>> cars.spec.feature_names, len(cars.train), len(cars.validation), len(cars.test)
        (('kg',), 22, 2, 3)
    """
    if not isinstance(name, str | Path):
        raise UserError(f"name={name!r}: expected a string, such as 'mnist' or 'csv:cars.csv'")
    if not name:
        raise UserError("name='': expected a dataset, such as 'mnist' or 'csv:cars.csv'")
    return load_data(DataConfig(str(name), **settings))


def load_data(config: DataConfig) -> Data:
    """Reads, splits and prepares a dataset: `read_data`, then `prepare_and_fingerprint`.

    Raises:
        UserError: as in `read_data` and `prepare_data`.
    """
    return prepare_and_fingerprint(read_data(config), config)


def read_data(config: DataConfig) -> Data:
    """Reads a dataset, which is downloaded if needed, and splits it. Texts stay strings.

    Raises:
        UserError: if the name, path or a file is invalid, or the download fails.
    """
    name, source = read_source(config)
    return complete_splits(name, source, config)


def read_source(config: DataConfig) -> tuple[str, LabelledSplits]:
    """Returns the name and the labelled splits of a dataset.

    Raises:
        UserError: as in `read_data`.
    """
    name = config.name or config.default
    try:
        return name, _read_named_source(name, config)
    except DatasetUnavailableError as error:
        if config.name is not None or name not in _OFFLINE_DEFAULTS:
            raise
        name = _OFFLINE_DEFAULTS[name]
        note = f"the default dataset {config.default} was replaced by the small {name}: {error}"
        source = _read_named_source(name, config)
        return name, dataclasses.replace(source, notes=(note, *source.notes))


def complete_splits(name: str, source: LabelledSplits, config: DataConfig) -> Data:
    """Returns the data with a train, a validation and a test split, and the added datasets.

    If there is no labelled test split, the validation split becomes the test split. Splits that
    are then missing are held out from the training split.

    Raises:
        UserError: if the training split is too small to hold some out, or as in `join_data`.
    """
    data = _divide_source(name, source, config)
    if config.added:
        data = join_data(data, config, lambda added: _divide_source(*read_source(added), added))
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    # where the model is known, the training split of other data is not used
    scored = {name: splits[name] for name in splits if name != "train" or not config.known_classes}
    label_notes = (
        *describe_missing_classes(scored, data.spec),
        *describe_odd_targets(scored, data.spec),
    )
    notes = (*label_notes, *describe_repeated_rows(splits))
    return dataclasses.replace(data, notes=(*data.notes, *notes))


def _divide_source(name: str, source: LabelledSplits, config: DataConfig) -> Data:
    """Returns the data of one dataset as `complete_splits` does, without notes on the splits."""
    splits, origins = dict(source.splits), dict(source.origins)
    empty = [
        split for split in ("validation", "test") if split in splits and not len(splits[split])
    ]
    for split in empty:
        del splits[split], origins[split]
    notes = tuple(f"{name}: the {split} split has no examples and is left out" for split in empty)
    if "test" not in splits and "validation" in splits:
        splits["test"], origins["test"] = splits.pop("validation"), origins.pop("validation")
    for split_name in ("test", "validation"):
        if split_name in splits:
            continue
        train = splits["train"]
        if len(train) < 2:
            raise UserError(
                f"{name}: the training split has {format_count(len(train), 'example')}: too few to "
                f"hold some out for {split_name}"
            )
        # those of TFDS datasets have always been any rows
        stratify = not source.version
        rows, chosen = choose_holdout_rows(train, source.spec, config, stratify)
        splits[split_name], splits["train"] = train.select_rows(rows), train.select_rows(~rows)
        origins[split_name] = f"{chosen} of {origins['train']}"
    return Data(
        name,
        source.version,
        source.spec,
        splits["train"],
        splits["validation"],
        splits["test"],
        origins,
        (*source.notes, *notes),
        settings=config.to_settings(),
    )


def merge_splits(name: str, source: LabelledSplits, config: DataConfig) -> Data:
    """Returns the data with all labelled examples in the test split, and none in the others.

    Raises:
        UserError: if several splits are streamed, or as in `join_data`.
    """
    data = _merge_source(name, source, config)
    if config.added:
        data = join_data(data, config, lambda added: _merge_source(*read_source(added), added))
    scored = {"scored": data.test}
    notes = (*describe_missing_classes(scored, data.spec), *describe_odd_targets(scored, data.spec))
    return dataclasses.replace(data, notes=(*data.notes, *notes))


def _merge_source(name: str, source: LabelledSplits, config: DataConfig) -> Data:
    """Returns the data of one dataset as `merge_splits` does, without notes on the split."""
    splits = list(source.splits.values())
    arrays = [split for split in splits if isinstance(split, Arrays)]
    if len(splits) == 1:
        merged = splits[0]
    elif len(arrays) == len(splits):
        x = [split.x for split in arrays]
        join = getattr(type(x[0]), "concat", np.concatenate)
        slices = [split.slices for split in arrays if split.slices is not None]
        y = np.concatenate([split.y for split in arrays])
        merged = Arrays(join(x), y, slices=np.concatenate(slices) if slices else None)
    else:
        raise UserError(
            f"split=all: {name} has the splits {', '.join(source.splits)}: choose one of them"
        )
    nothing = merged.select_rows(np.zeros(len(merged), bool))
    origins = {"train": "", "validation": "", "test": " and ".join(source.origins.values())}
    return Data(
        name,
        source.version,
        source.spec,
        nothing,
        nothing,
        merged,
        origins,
        tuple(source.notes),
        settings=config.to_settings(),
    )


def prepare_and_fingerprint(raw: Data, config: DataConfig) -> Data:
    """Returns `prepare_data` of a result of `read_data`, with its fingerprint."""
    data = prepare_data(raw, config)
    return dataclasses.replace(data, fingerprint=compute_fingerprint(raw, data.spec))


def prepare_data(data: Data, config: DataConfig) -> Data:
    """Encodes the columns or texts of `data`, and loads the splits into memory if they fit.

    What was decided about them is added to the notes.

    Args:
        data: Result of `read_data`.
        config: Settings of the tokenizer and the memory budget.

    Raises:
        UserError: if a length or preset is set for a dataset without texts, or the preset cannot
            be loaded.
    """
    spec, budget = data.spec, choose_budget(config.memory_budget)
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    raw_test = data.test if spec.is_text else None
    if is_table(data.train):
        splits, records, spec, notes = encode_table(splits, spec, config)
        raw_test = records["test"]
        data = dataclasses.replace(data, notes=(*data.notes, *notes))
    elif config.columns:
        kinds = ",".join(f"{name}:{kind}" for name, kind in config.columns)
        raise UserError(f"columns={kinds}: {data.name} has no such columns: omit --columns")
    if spec.is_text:
        tokenizer, notes = make_tokenizer(data.train, data.validation, config)
        with report_unreadable_files(*splits.values()):
            splits, spec = tokenize_splits(splits, spec, tokenizer, budget, config.mapped_dir)
        data = dataclasses.replace(data, notes=(*data.notes, *notes))
    elif config.preset or (config.length is not None and not spec.texts):
        option = "preset" if config.preset else "length"
        raise UserError(
            f"{option}={config.preset or config.length}: {data.name} has no texts: omit --{option}"
        )
    splits = load_into_memory(splits, spec, budget)
    return dataclasses.replace(
        data,
        spec=spec,
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
        raw_test=raw_test,
    )


def dataset_slug(dataset: str) -> str:
    """Returns a dataset name for use in file names: 'csv:data/iris.csv' gives 'iris'."""
    kind, colon, path = dataset.partition(":")
    if colon and kind in _FILE_KINDS:
        return Path(path).resolve().stem
    return dataset.replace("/", "-").replace(":", "-")


def _read_named_source(name: str, config: DataConfig) -> LabelledSplits:
    """Reads the labelled splits of a TFDS dataset, an image folder or a table."""
    reject_address(name)
    kind, colon, path = name.partition(":")
    if not colon or kind not in _FILE_KINDS:
        reject_path(name, (*TABLE_KINDS, "folder"))
        for setting in ("skip_broken", "separator", "encoding"):
            if getattr(config, setting):
                raise UserError(f"{setting}: {name} is read without files: omit --{setting}")
        if config.weight:
            raise UserError(
                f"weight={config.weight}: only csv:, tsv:, jsonl:, parquet: and arrow: files have "
                "weights: omit --weight"
            )
        return load_tfds(name, config)
    if config.train_split is not None:
        raise UserError(
            f"train_split={config.train_split!r}: only TFDS datasets have split expressions; "
            f"{name} is split by subfolders or files named train and test, or by --holdout"
        )
    if kind == "folder":
        for setting in ("text", "weight"):
            if value := getattr(config, setting):
                shown = ",".join(value) if setting == "text" else value
                raise UserError(f"{setting}={shown}: {name} has no columns: omit --{setting}")
        return load_image_folder(path, config)
    return load_table(kind, path, config)
