"""Reads texts without labels, for pretraining: of TFDS datasets, tables and plain text files."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from zoo.data.config import DataConfig
from zoo.data.sources.dataset_paths import is_folder_path, reject_path
from zoo.data.sources.file_parts import list_parts
from zoo.data.sources.table_files import TABLE_KINDS, Table, read_table
from zoo.data.sources.table_parts import join_parts, read_parts
from zoo.data.sources.text_files import survey_text_file
from zoo.data.sources.tfds import open_builder
from zoo.data.sources.tfds_columns import find_column, list_columns
from zoo.data.sources.tfds_columns import read_table as read_tfds_table
from zoo.data.splits import match_split_name
from zoo.errors import UserError, format_count
from zoo.schema import suggest_closest

_PLAIN_KIND = "txt"
_SHOWN = 10  # columns in a message


@dataclasses.dataclass(frozen=True)
class UnlabelledTexts:
    """Texts that were read from a dataset.

    Attributes:
        texts: Strings of shape (n,), without blank ones.
        origin: The TFDS split expression or the path.
        version: Version of a TFDS dataset; empty for files.
        notes: Sentences for the user on what was decided.
    """

    texts: np.ndarray
    origin: str
    version: str = ""
    notes: tuple[str, ...] = ()


def read_unlabelled_texts(name: str, config: DataConfig) -> UnlabelledTexts:
    """Reads one column of texts; labels are not looked at.

    Args:
        name: A TFDS name, `txt:PATH` with one text per line, or `csv:`, `tsv:`, `jsonl:`,
            `parquet:` or `arrow:PATH`.
        config: `text`, `train_split`, `data_dir`, `separator` and `encoding` are used. Without a
            split all of a TFDS dataset are read but those that are to be scored.

    Raises:
        UserError: if there is no such dataset, file or column, or no text in it.
    """
    kind, colon, path = name.partition(":")
    if colon and kind in (_PLAIN_KIND, *TABLE_KINDS):
        if config.train_split:
            raise UserError(f"train_split={config.train_split}: {name} is a file: omit it")
        found = _read_file(kind, Path(os.path.expanduser(path)), config)
    else:
        if kind == "folder" or is_folder_path(name):
            raise UserError(
                f"{name}: this is a folder: texts are read from one file, such as "
                f"{_PLAIN_KIND}:reviews.txt"
            )
        reject_path(name, (_PLAIN_KIND, *TABLE_KINDS))
        found = _read_tfds(name, config)
    texts = np.array([text for text in found.texts if text and text.strip()], object)
    blank = len(found.texts) - len(texts)
    if len(texts) < 2:
        raise UserError(
            f"{name}: {format_count(len(texts), 'text')}: expected two at least, to hold one out"
        )
    notes = found.notes + ((f"left out: {format_count(blank, 'blank text')}",) if blank else ())
    return dataclasses.replace(found, texts=texts, notes=notes)


def _read_file(kind: str, file: Path, config: DataConfig) -> UnlabelledTexts:
    if not file.is_file():
        raise UserError(
            f"{kind}:{file}: there is no such file: expected one file of texts, such as "
            f"{kind}:reviews.{kind}"
        )
    if kind == _PLAIN_KIND:
        if config.text:
            raise UserError(f"text={config.text[0]}: {file} has no columns: omit --text")
        return _read_lines(file, config.encoding)
    files = list_parts(file)
    parts = read_parts(
        files,
        lambda part: read_table(kind, part, config.separator, encoding=config.encoding),
    )
    table = join_parts(parts, files)
    column = _choose_column(str(file), list(table.frame.columns), config)
    cells = table.frame[column]
    return UnlabelledTexts(
        np.array([None if missing else str(cell) for cell, missing in
                  zip(cells, cells.isna(), strict=True)], object),
        str(file), notes=table.notes,
    )  # fmt: skip


def _read_lines(path: Path, encoding: str | None) -> UnlabelledTexts:
    text = survey_text_file(path, encoding)
    with text.open_text() as file:
        lines = [line.rstrip("\r\n") for line in file]
    return UnlabelledTexts(np.array(lines, object), str(path), notes=text.notes)


def _read_tfds(name: str, config: DataConfig) -> UnlabelledTexts:
    builder, prepared_notes = open_builder(name, config.data_dir)
    features = builder.info.features
    texts = [
        column
        for column in list_columns(features)
        if isinstance(find_column(features, column), tfds.features.Text)
    ]
    if not texts:
        raise UserError(f"{name} has no column of texts: choose a dataset with texts")
    column = _choose_column(name, texts, config)
    expression, notes = config.train_split, list(prepared_notes)
    if expression is None:
        scored = [s for s in builder.info.splits if match_split_name(s) in ("validation", "test")]
        used = [s for s in builder.info.splits if s not in scored]
        if not used:
            raise UserError(f"{name} has no split to train on: choose one with --train_split")
        expression = "+".join(used)
        if scored:
            notes.append(f"{name}: the split {' and '.join(scored)} is left for scoring")
    try:
        table: Table = read_tfds_table(builder, expression, [column], name)
    except (ValueError, KeyError, AssertionError):
        raise UserError(
            f"train_split={expression!r}: {name} has the splits {', '.join(builder.info.splits)}; "
            "expected an expression such as 'train[:90%]+unsupervised'"
        ) from None
    texts = table.frame[column].to_numpy(object)
    return UnlabelledTexts(texts, expression, str(builder.version), tuple(notes))


def _choose_column(dataset: str, columns: list[str], config: DataConfig) -> str:
    """Returns the column of --text, or the only one."""
    shown = ", ".join(columns[:_SHOWN]) + ", ..." * (len(columns) > _SHOWN)
    if len(config.text) > 1:
        raise UserError(
            f"text={','.join(config.text)}: texts are pretrained one by one: choose one column of "
            f"{dataset}: {shown}"
        )
    if config.text and config.text[0] not in columns:
        raise UserError(
            f"{dataset} has no column {config.text[0]!r}."
            f"{suggest_closest(config.text[0], columns)} It has: {shown}"
        )
    if not config.text and len(columns) > 1:
        raise UserError(f"{dataset}: choose the column of texts with --text. It has: {shown}")
    return config.text[0] if config.text else columns[0]
