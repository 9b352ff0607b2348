"""Reads folders of images beside a table of their labels, such as labels.csv."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import pandas as pd

from zoo.data.config import DataConfig
from zoo.data.images.image_files import format_names, list_folder, list_image_files
from zoo.data.sources.image_paths import compose_accents, find_listed_file, look_up_files
from zoo.data.sources.image_table import make_listed_splits
from zoo.data.sources.table_files import TABLE_KINDS, Table, read_table
from zoo.data.splits import LabelledSplits, match_split_name
from zoo.data.tables.cells import strip_cells
from zoo.errors import UserError, format_count, shorten_names

_LABELS = "labels"  # name of the table, before the suffix
# that of Hugging Face's image folders, and the column that it has to have
_METADATA, _FILE_COLUMN = "metadata", "file_name"
_SAMPLED_ROWS = 1_000  # that tell which column has the files


def find_labelled_folders(root: Path) -> tuple[dict[str, Path], list[str]]:
    """Returns the tables of labels of a folder by split, and notes; no tables if it has none.

    It is one table, called "train", in the folder itself, or one in the folder of each split.
    """
    if file := _find_label_file(root):
        return {"train": file}, [f"{root}: the labels are those of {file.name}"]
    files: dict[str, Path] = {}
    notes = []
    for folder in list_folder(root):
        split = match_split_name(folder.name) if folder.is_dir() else None
        if split and (file := _find_label_file(folder)):
            files[split] = file
        elif split:
            notes.append(f"{folder} has no table of labels and is not the {split} split")
    return (files, notes) if "train" in files else ({}, [])


def _find_label_file(folder: Path) -> Path | None:
    files = {file.name.lower(): file for file in reversed(list_folder(folder)) if file.is_file()}
    for stem in (_LABELS, _METADATA):
        for kind in TABLE_KINDS:
            file = files.get(f"{stem}.{kind}")
            if file and (stem == _LABELS or _FILE_COLUMN in read_table(kind, file).frame):
                return file
    return None


def load_labelled_folders(
    dataset: str, label_files: Mapping[str, Path], config: DataConfig, notes: Sequence[str]
) -> LabelledSplits:
    """Reads the images in folders that have a table of their labels.

    Args:
        dataset: Name of the dataset, for messages.
        label_files: A table for each split, beside its images; or one table, "train", which may
            have a column of splits.
        config: Names of the columns, and settings of images.
        notes: Notes on the folders.

    Raises:
        UserError: if a table or a cell is invalid, or no file is there.
    """
    tables, files, column = {}, {}, ""
    all_notes = list(notes)
    for split, path in label_files.items():
        folder = path.parent
        table = read_table(
            path.suffix.lower().removeprefix("."),
            path,
            config.separator,
            encoding=config.encoding,
        )
        found = list_image_files(folder).paths
        index = _index_files(folder, found)
        column = column or _find_file_column(table, index, folder)
        if column not in table.frame:
            raise UserError(f"{path}: there is no column {column!r}, which the training split has")
        if find_listed_file(column, index):
            all_notes.append(
                f"{path}: the name of a column, {column}, is an image: if the first line is a row, "
                "add a line of names above it"
            )
        tables[split] = table
        files[split] = look_up_files(table, column, index)
        if unlisted := sorted(set(found) - set(files[split])):
            all_notes.append(
                f"{folder}: left out: {format_count(len(unlisted), 'image')} without a row in "
                f"{path.name} ({format_names(unlisted)})"
            )
    return make_listed_splits(dataset, tables, files, column, config, all_notes)


def _index_files(folder: Path, paths: Sequence[str]) -> dict[str, str]:
    """Returns the paths of images by what a table may call them.

    That is the path relative to the folder, or the name of the file, each without its suffix too,
    where it is the only one of its name; or the path relative to the working folder.
    """
    relative = [PurePath(path).relative_to(folder) for path in paths]
    index: dict[str, str] = {}
    stems = [x.with_suffix("").as_posix() for x in relative]
    for names in ([x.stem for x in relative], [x.name for x in relative], stems):
        unique = pd.Series(paths, [compose_accents(name) for name in names], dtype=object)
        index |= unique[~unique.index.duplicated(keep=False)].to_dict()
    for resolve in (os.path.abspath, os.path.relpath):
        index |= {compose_accents(resolve(path)): path for path in paths}
    written = (compose_accents(x.as_posix()) for x in relative)
    return index | dict(zip(written, paths, strict=True))


def _find_file_column(table: Table, index: Mapping[str, str], folder: Path) -> str:
    """Returns the column that names most images of a folder.

    Raises:
        UserError: if no column does, or one only a few again and again, as numbers of classes may.
    """
    found = {}
    for name in table.frame:
        cells = strip_cells(table.frame[name].head(_SAMPLED_ROWS)).dropna()
        images = [path for cell in cells if (path := find_listed_file(cell, index))]
        found[str(name)] = len(set(images)) if 2 * len(set(images)) > len(images) else 0
    best, example = max(found, key=lambda name: found[name]), ["photo.jpg", *index][-1]
    if not found[best]:
        raise UserError(
            f"{table.path}: none of its columns, {shorten_names(found)}, names images of {folder}: "
            f"expected names such as {example}"
        )
    return best
