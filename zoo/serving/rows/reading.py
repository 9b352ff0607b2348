"""Reads examples from files and standard input."""

import itertools
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from zoo.data.images.image_files import format_skipped, list_image_files, list_image_suffixes
from zoo.data.sources.table_files import TABLE_KINDS
from zoo.data.spec import Spec
from zoo.errors import UserError, format_count
from zoo.serving.rows.blocks import Row, make_row
from zoo.serving.rows.image_rows import read_image_rows
from zoo.serving.rows.row_log import RowLog
from zoo.serving.rows.table_rows import read_table_rows

TABLE_SUFFIXES = (*(f".{kind}" for kind in TABLE_KINDS), ".gz")
TEXT_SUFFIXES = (".txt", *TABLE_SUFFIXES)
_TABLES = "choose .csv, .tsv, .jsonl, .parquet or .arrow files"
SUFFIXES_BY_KIND = {
    # those of the formats that Pillow reads
    "image": (
        (),
        "images: choose .jpg, .png, .webp, .gif, .bmp, .tif or similar files, or tables of paths",
    ),
    "features": (TABLE_SUFFIXES, f"tables: {_TABLES}"),
    "text": (TEXT_SUFFIXES, f"texts: {_TABLES} or .txt files, or pipe texts in"),
    "text_pair": (TEXT_SUFFIXES, f"pairs of texts: {_TABLES} or .txt files, or pipe them in"),
}
INPUTS_BY_KIND = {"text": ["text"], "text_pair": ["text_a", "text_b"]}


def read_rows(
    files: Sequence[str],
    spec: Spec,
    model: str,
    text: Sequence[str] = (),
    separator: str | None = None,
    log: RowLog | None = None,
    encoding: str | None = None,
) -> Iterator[Row]:
    """Returns an iterator over the examples in files, or in standard input without files.

    Args:
        files: Paths of the files.
        spec: Spec of the data that the model reads.
        model: Name of the model, for error messages.
        text: Names of the columns of texts in tables; empty for those of the training.
        separator: What separates the fields of CSV files; None to find out.
        log: Takes notes on the files, and rows that cannot be read; None to raise an error.
        encoding: Encoding of files of text; None for that of each table, and UTF-8 of others.

    Raises:
        UserError: immediately if the model cannot read a type of file, and during the iteration if
            the content of a file is invalid.
    """
    if spec.kind not in SUFFIXES_BY_KIND:
        raise UserError(
            f"{model} reads {spec.kind!r}, which cannot be read from files: use zoo.serving.Client"
        )
    log = log or RowLog()
    suffixes, reads = _find_suffixes(spec.kind)
    inputs = INPUTS_BY_KIND.get(spec.kind, [])
    for file in files:
        if Path(file).suffix.lower() not in suffixes:
            raise UserError(f"{file}: {model} reads {reads}")
    if files:
        return itertools.chain.from_iterable(
            _read_file(Path(file), spec, inputs, text, separator, log, encoding) for file in files
        )
    if ".txt" not in suffixes:
        raise UserError(f"no files: {model} reads {reads}")
    if sys.stdin.isatty():
        kind = "pairs of texts, separated by a tab," if len(inputs) == 2 else "texts"
        print(
            f"reading {kind} from standard input, one per line; press Ctrl-D to end",
            file=sys.stderr,
        )
    return _read_texts("standard input", sys.stdin.buffer, inputs, log, encoding)


def expand_folders(
    names: Sequence[str], spec: Spec, model: str
) -> tuple[list[str], tuple[str, ...]]:
    """Replaces folders by the images in them, and returns notes on what else they hold.

    Args:
        names: Paths of files and folders.
        spec: Spec of the data that the model reads.
        model: Name of the model, for error messages.

    Raises:
        UserError: if the model does not read images, or a folder has none.
    """
    files: list[str] = []
    notes: list[str] = []
    for name in names:
        if not Path(name).is_dir():
            files.append(name)
            continue
        if spec.kind != "image":
            raise UserError(
                f"{name}: this is a folder; {model} reads {_find_suffixes(spec.kind)[1]}"
            )
        found = list_image_files(name)
        skipped = ", ".join(format_skipped(found.hidden, found.others))
        if not found.paths:
            raise UserError(
                f"{name}: no images in this folder{f'; skipped {skipped}' * bool(skipped)}"
            )
        files += found.paths
        if skipped:
            notes.append(f"{name}: skipped {skipped}")
    return files, tuple(notes)


def _find_suffixes(kind: str) -> tuple[Collection[str], str]:
    """Returns the suffixes of the files of a kind of data, and what to choose in words."""
    suffixes, reads = SUFFIXES_BY_KIND[kind]
    return ((*list_image_suffixes(), *TABLE_SUFFIXES) if kind == "image" else suffixes), reads


def _read_file(
    file: Path,
    spec: Spec,
    inputs: list[str],
    text: Sequence[str],
    separator: str | None,
    log: RowLog,
    encoding: str | None,
) -> Iterator[Row]:
    if spec.kind == "image":
        yield from read_image_rows(file, separator, log, encoding)
    elif file.suffix.lower() == ".txt":
        with file.open("rb") as stream:
            yield from _read_texts(str(file), stream, inputs, log, encoding)
    else:
        yield from read_table_rows(file, spec, text, separator, log, encoding)


def _read_texts(
    file: str,
    stream: Iterable[bytes],
    inputs: list[str],
    log: RowLog,
    encoding: str | None,
) -> Iterator[Row]:
    blank: list[int] = []
    for number, line in enumerate(stream, 1):
        place = f"{file}, line {number}"
        try:
            first = "utf-8-sig" if number == 1 else "utf-8"
            decoded = line.decode(encoding or first).rstrip("\r\n")
        except UnicodeDecodeError:
            advice = "save the file as UTF-8, or pass its encoding, such as --encoding=cp1252"
            log.report_bad_row(f"{place}: not {encoding or 'UTF-8'}: {advice}")
            continue
        texts = decoded.split("\t") if len(inputs) == 2 else [decoded]
        if len(texts) != len(inputs):
            log.report_bad_row(f"{place}: expected two texts separated by one tab")
            continue
        if not decoded.strip():
            blank.append(number)
        example = dict(zip(inputs, texts, strict=True))
        yield make_row(place, texts[0] if len(inputs) == 1 else example, example, example)
    if blank:
        lines = format_count(len(blank), "line is", "lines are")
        log.notes.append(
            f"{file}: {lines} blank and predicted as a text without words (the first is line "
            f"{blank[0]})"
        )
