"""The dataset that a trained model is scored on."""

import dataclasses
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from zoo.data.config import DataConfig, adopt_image_settings
from zoo.data.loading import complete_splits, merge_splits, read_source
from zoo.data.memory import choose_budget, load_into_memory
from zoo.data.sources.table_files import recall_separator
from zoo.data.sources.text_files import recall_encoding
from zoo.data.spec import Spec, Tokenizer
from zoo.data.splits import Data, Split
from zoo.data.tables.table_splits import (
    encode_table,
    is_table,
    make_table_records,
    parse_number_columns,
)
from zoo.data.texts.batch_encoding import tokenize_splits
from zoo.data.texts.tokenizer_choice import describe_unknown_tokens

ALL = "all"  # name of the split that has all labelled examples


def adopt_data_settings(config: DataConfig, record: dict[str, Any], spec: Spec) -> DataConfig:
    """Returns the config with what a trained model's data was read with, unless it says otherwise.

    Args:
        config: How the dataset is to be read.
        record: Record of the model; may be empty.
        spec: Spec of the model's data.
    """
    name = record.get("dataset")
    config = dataclasses.replace(
        config, name=config.name or (isinstance(name, str) and name) or None
    )
    is_same = config.name == name
    if is_same and "data_settings" not in record:  # of a version before 0.2
        config = dataclasses.replace(config, stratify=False)
    config = config.adopt_settings(record.get("data_settings"), same_data=is_same)
    if config.separator is None:
        config = dataclasses.replace(config, separator=_recall_separator(config, record, spec))
    if config.encoding is None:
        config = dataclasses.replace(config, encoding=_recall_encoding(config, record))
    if spec.kind == "image":
        # a model without a record does not know the names of its classes
        classes = spec.class_names if "spec" in record else None
        task = spec.task if "spec" in record else config.task
        return dataclasses.replace(
            adopt_image_settings(config, spec),
            known_classes=classes or None,
            known_unit=spec.label_unit,
            task=task,
        )
    if "spec" not in record and not spec.columns:  # the names of its classes are not known
        return config
    return dataclasses.replace(
        config,
        task=None if spec.is_masked else spec.task,  # what it was pretrained for has no labels
        known_classes=spec.class_names or None,
        known_unit=spec.label_unit,
        known_columns=spec.columns,
    )


def _recall_separator(config: DataConfig, record: dict[str, Any], spec: Spec) -> str | None:
    """Returns the separator of the model's own CSV file, if another one has it too, or None."""
    files = _list_files(config, ("csv",))
    return recall_separator(record.get("data_settings"), files, spec.feature_names)


def _recall_encoding(config: DataConfig, record: dict[str, Any]) -> str | None:
    """Returns the encoding of the model's own files of text, if others have it too, or None."""
    return recall_encoding(
        record.get("data_settings"), _list_files(config, ("csv", "tsv", "jsonl"))
    )


def _list_files(config: DataConfig, kinds: Collection[str]) -> list[Path]:
    """Returns the files of a dataset if it has one of some kinds."""
    kind, _, name = (config.name or "").partition(":")
    path = Path(os.path.expanduser(name))
    if kind not in kinds or not path.exists():
        return []
    return [path] if path.is_file() else sorted(path.glob(f"*.{kind}*"))


def read_scored_split(config: DataConfig, split: str | None, own: bool) -> tuple[Data, str]:
    """Reads a dataset and chooses the split that is scored.

    Args:
        config: How to read the dataset.
        split: "train", "validation", "test" or "all"; None for the test split or, of data without
            one that is not the model's own, for all.
        own: Whether the model was trained on the dataset.

    Returns:
        The data, and the name of the split. If it is "all", the test split has all examples.
    """
    name, source = read_source(config)
    has_test = own or len(source.splits) > 1
    split = split or ("test" if has_test else ALL)
    if split == ALL:
        return merge_splits(name, source, config), split
    return complete_splits(name, source, config), split


def encode_split(
    data: Data, split_name: str, spec: Spec, tokenizer: Tokenizer | None, memory_budget: int | None
) -> tuple[Data, Split, Split]:
    """Encodes a split as a trained model reads it.

    Args:
        data: Data from `read_scored_split`.
        split_name: Name of the split to encode.
        spec: Spec of the model's data.
        tokenizer: The model's tokenizer.
        memory_budget: As in `DataConfig`.

    Returns:
        The data with the spec of the encoded split and further notes; the encoded split; and the
        split as clients send it, with texts and cells.
    """
    split = raw = select_split(data, split_name)
    budget = choose_budget(memory_budget)
    encoded_spec, notes = data.spec, data.notes
    if spec.columns and is_table(raw):
        encoded, records, encoded_spec, table_notes = encode_table(
            {split_name: raw},
            data.spec,
            DataConfig(known_columns=spec.columns, memory_budget=memory_budget),
        )
        split, raw, notes = encoded[split_name], records[split_name], (*notes, *table_notes)
    elif is_table(raw):
        encoded_spec, split = _parse_plain_split(data, raw, spec)
    elif tokenizer:
        encoded, encoded_spec = tokenize_splits({"": raw}, data.spec, tokenizer, budget)
        split = encoded[""]
        advice = "score the model on texts like those it was trained on"
        note = describe_unknown_tokens(tokenizer, raw, "scored texts", advice)
        notes = (*notes, note) if note else notes
    split = load_into_memory({split_name: split}, encoded_spec, budget)[split_name]
    data = dataclasses.replace(data, spec=encoded_spec, notes=notes)
    return data, split, raw if spec.columns or tokenizer else split


def make_client_split(data: Data, split_name: str, spec: Spec) -> tuple[Data, Split]:
    """Returns a split as clients send it to a server, and the data with its spec and notes.

    Args:
        data: Data from `read_scored_split`.
        split_name: Name of the split.
        spec: Spec of the model, as the server tells it: of columns only the names and types.
    """
    raw = select_split(data, split_name)
    if not is_table(raw):
        return data, raw
    if not spec.columns:
        encoded_spec, split = _parse_plain_split(data, raw, spec)
        return dataclasses.replace(data, spec=encoded_spec), split
    split, notes = make_table_records(raw, spec.columns, split_name)
    names = tuple(column.name for column in spec.columns)
    data_spec = dataclasses.replace(
        data.spec, shape=(len(names),), feature_names=names, columns=spec.columns
    )
    return dataclasses.replace(data, spec=data_spec, notes=(*data.notes, *notes)), split


def _parse_plain_split(data: Data, raw: Split, spec: Spec) -> tuple[Spec, Split]:
    """Returns the spec and the numbers of a table for a model without columns."""
    # of a server, the names of the features are not known
    names = spec.feature_names or data.spec.feature_names
    encoded_spec = dataclasses.replace(data.spec, shape=(len(names),), feature_names=names)
    return encoded_spec, parse_number_columns(raw, names)


def select_split(data: Data, split_name: str) -> Split:
    """Returns a split of data from `read_scored_split`."""
    return getattr(data, "test" if split_name == ALL else split_name)
