"""Finds the images that the cells of a table name; without TensorFlow."""

import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath, PureWindowsPath

import pandas as pd

from zoo.data.config import DataConfig, find_label_columns
from zoo.data.images.image_files import list_image_suffixes
from zoo.data.sources.table_files import Table
from zoo.data.tables.cells import STRING, strip_cells

_SAMPLED_ROWS = 1_000  # that tell which column has the files
_PATH_SHARE = 0.9  # of the cells of a column of paths, that look like names of images


def find_path_column(table: Table, config: DataConfig) -> str | None:
    """Returns the column of a table that has paths of images, some of which are there, or None.

    A table that is read as texts, or by a model of columns, has none.
    """
    return next(
        (name for name, _, is_there in _iterate_path_columns(table, config) if is_there), None
    )


def describe_lost_images(table: Table, config: DataConfig) -> list[str]:
    """Returns a note on each column of a table that has paths of images, none of which is there."""
    folder = table.path.parent
    return [
        f"{table.path}: column {name!r} looks like paths of images, but none is there, such as "
        f"{example[:60]!r}: expected paths relative to {folder} or to the working folder"
        for name, example, is_there in _iterate_path_columns(table, config)
        if not is_there
    ]


def _iterate_path_columns(table: Table, config: DataConfig) -> Iterator[tuple[str, str, bool]]:
    """Yields columns that look like paths of images: the first, and whether some are there."""
    if config.text or config.known_columns:
        return
    labels = find_label_columns(config.label or "", table.frame)
    for name in table.frame:
        if name in (*labels, *dict(config.columns)) or table.frame[name].dtype != STRING:
            continue
        cells = strip_cells(table.frame[name].head(_SAMPLED_ROWS)).dropna()
        suffixes = cells.map(lambda cell: PurePath(cell).suffix.lower())
        if suffixes.isin(list(list_image_suffixes())).mean() >= _PATH_SHARE:
            is_there = any(find_image_file(table.path.parent, cell) for cell in cells)
            yield str(name), str(cells.iloc[0]), is_there


def look_up_files(table: Table, column: str, index: Mapping[str, str]) -> pd.Series:
    """Returns the path of each row's image, None where it is not there."""
    cells = strip_cells(table.frame[column])
    paths = [None if pd.isna(cell) else find_listed_file(cell, index) for cell in cells]
    return pd.Series(paths, dtype=object)


def find_listed_file(cell: str, index: Mapping[str, str]) -> str | None:
    """Returns the path of an image that a cell names, also as a/b.jpg is written on Windows."""
    written = (cell.removeprefix("./"), cell, PureWindowsPath(cell).as_posix())
    names = (*written, *map(compose_accents, written))
    return next((index[name] for name in names if name in index), None)


def compose_accents(path: str) -> str:
    """Returns a path with composed accents; those of files that a Mac has packed are apart."""
    return unicodedata.normalize("NFC", path)


def find_image_file(folder: Path, cell: str) -> Path | None:
    """Returns a file that a cell names, or None; see `find_listed_file`.

    Its path is relative to the folder or, where it is not there, to the working folder.
    """
    accents = (unicodedata.normalize(form, cell) for form in ("NFC", "NFD"))
    names = (cell, PureWindowsPath(cell).as_posix(), *accents)
    files = (base / name for base in (folder, Path()) for name in names)
    return next((file for file in files if file.is_file()), None)
