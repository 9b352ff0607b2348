"""Reads image files for prediction: alone, or those whose paths a table has."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.data.config import DataConfig
from zoo.data.sources.image_paths import find_image_file, find_path_column
from zoo.data.sources.table_files import read_table
from zoo.data.tables.cells import strip_cells
from zoo.errors import UserError, shorten_names
from zoo.serving.rows.blocks import Row, make_row
from zoo.serving.rows.row_log import RowLog
from zoo.serving.rows.table_rows import find_table_kind


def read_image_rows(
    file: Path, separator: str | None, log: RowLog, encoding: str | None
) -> Iterator[Row]:
    """Yields the row of each image: its path is shown, and its content the input.

    Args:
        file: An image, or a table with a column of paths of images, relative to its folder.
        separator: What separates the fields of a CSV file; None to find out.
        log: Takes notes on a table, and rows whose image cannot be read.
        encoding: Encoding of a table; None to find out.

    Raises:
        UserError: if a table has no such column, or an image is not there.
    """
    kind = find_table_kind(file)
    if not kind:
        yield from _read_image(file, str(file), {"file": str(file)}, log)
        return
    table = read_table(kind, file, separator, log.report_bad_row, encoding=encoding)
    log.notes += table.notes
    column = find_path_column(table, DataConfig())
    if not column:
        raise UserError(
            f"{file}: no column has the paths of images, relative to the folder of the table; the "
            f"columns are {shorten_names(table.frame)}"
        )
    log.notes.append(f"{file}: column {column!r} has the images")
    paths = strip_cells(table.frame[column]).fillna("")
    cells = table.frame.itertuples(index=False, name=None)
    for place, path, values in zip(table.iterate_places(), paths, cells, strict=True):
        columns = dict(zip(table.frame, values, strict=True))
        if image := find_image_file(file.parent, path) if path else None:
            yield from _read_image(image, place, columns, log)
        else:
            log.report_bad_row(f"{place}: column {column!r}: there is no file {path!r}")


def _read_image(image: Path, place: str, columns: dict[str, Any], log: RowLog) -> Iterator[Row]:
    try:
        content = image.read_bytes()
    except OSError as error:  # a link to nowhere, or no permission
        if not log.skip_bad_rows:
            raise
        log.report_bad_row(f"{image}: {error.strerror}")
        return
    yield make_row(place, str(image), {"image_bytes": content}, columns)
