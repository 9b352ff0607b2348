"""Reads examples from files and standard input, and predicts them."""

import csv
import itertools
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.exporting.validation import InputRefusedError
from zoo.schema import suggest_closest
from zoo.serving.client import Client

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
TEXT_SUFFIXES = (".txt", ".csv", ".jsonl")
SUFFIXES_BY_KIND = {
    "image": (IMAGE_SUFFIXES, "images: choose .png, .jpg, .jpeg, .bmp or .gif files"),
    "features": (TEXT_SUFFIXES[1:], "columns of numbers: choose .csv or .jsonl files"),
    "text": (TEXT_SUFFIXES, "texts: choose .txt, .csv or .jsonl files, or pipe texts in"),
    "text_pair": (
        TEXT_SUFFIXES,
        "pairs of texts: choose .txt, .csv or .jsonl files, or pipe them in",
    ),
}
INPUTS_BY_KIND = {"text": ["text"], "text_pair": ["text_a", "text_b"]}


class Row(NamedTuple):
    """One example.

    Attributes:
        place: File and line of the example, for error messages.
        shown: The example in the output: a path, a text or the features.
        example: The features by name.
    """

    place: str
    shown: Any
    example: dict[str, Any]


def read_rows(files: Sequence[str], spec: Spec, model: str) -> Iterator[Row]:
    """Returns an iterator over the examples in files, or in standard input without files.

    Args:
        files: Paths of the files.
        spec: Spec of the data that the model reads.
        model: Name of the model, for error messages.

    Raises:
        UserError: immediately if the model cannot read a type of file, and during the iteration if
            the content of a file is invalid.
    """
    if spec.kind not in SUFFIXES_BY_KIND:
        raise UserError(
            f"{model} reads {spec.kind!r}, which cannot be read from files: use zoo.serving.Client"
        )
    suffixes, reads = SUFFIXES_BY_KIND[spec.kind]
    inputs = INPUTS_BY_KIND.get(spec.kind, [])
    for file in files:
        if Path(file).suffix.lower() not in suffixes:
            raise UserError(f"{file}: {model} reads {reads}")
    if files:
        return itertools.chain.from_iterable(_read_file(Path(file), spec, inputs) for file in files)
    if ".txt" not in suffixes:
        raise UserError(f"no files: {model} reads {reads}")
    if sys.stdin.isatty():
        kind = "pairs of texts, separated by a tab," if len(inputs) == 2 else "texts"
        print(
            f"reading {kind} from standard input, one per line; press Ctrl-D to end",
            file=sys.stderr,
        )
    return _read_texts("standard input", sys.stdin.buffer, inputs)


def predict_rows(client: Client, spec: Spec, rows: list[Row], top: int | None = None) -> list:
    """Predicts rows in one request.

    Args:
        client: Client of the model.
        spec: Spec of the data that the model reads.
        rows: The examples.
        top: Number of classes for each row; None for only the most probable one.

    Returns:
        For each row a number, or (class, probability) pairs, the most probable class first.

    Raises:
        UserError: if the model refuses a row; the error names the place of that row.
    """
    try:
        return _request_predictions(client, spec, [row.example for row in rows], top)
    except InputRefusedError as error:
        if len(rows) == 1:
            raise UserError(f"{rows[0].place}: {error}") from error
        for row in rows:  # finds the row that is refused
            predict_rows(client, spec, [row], top)
        raise


def _request_predictions(
    client: Client, spec: Spec, examples: list[dict[str, Any]], top: int | None
) -> list:
    """Calls the signature that fits the examples; returns the same as `predict_rows`."""
    is_image = spec.kind == "image"
    # only the Classify and Regress APIs take columns by name, and top_k takes no image files
    if spec.kind == "features" or (is_image and top):
        if spec.class_names is None:
            return client.regress(examples).tolist()
        return [pairs[: top or 1] for pairs in client.classify(examples)]
    columns = {name: [example[name] for example in examples] for name in examples[0]}
    if top:
        outputs = client.predict(columns | {"k": [top] * len(examples)}, "top_k")
        rows = zip(outputs["labels"], outputs["probabilities"].tolist(), strict=True)
        return [list(zip(*row, strict=True)) for row in rows]
    outputs = client.predict(columns, "image_bytes" if is_image else "serving_default")
    if spec.class_names is None:
        return outputs["prediction"].tolist()
    best = outputs["probabilities"].max(axis=1).tolist()
    return [[pair] for pair in zip(outputs["label"], best, strict=True)]


def _read_file(file: Path, spec: Spec, inputs: list[str]) -> Iterator[Row]:
    suffix = file.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        yield Row(str(file), str(file), {"image_bytes": file.read_bytes()})
        return
    with file.open("rb") as stream:
        if suffix == ".txt":
            yield from _read_texts(str(file), stream, inputs)
            return
        is_text = spec.kind != "features"
        names = inputs if is_text else spec.feature_names
        for place, record in (_read_csv if suffix == ".csv" else _read_jsonl)(str(file), stream):
            if missing := next((name for name in names if name not in record), None):
                raise UserError(
                    f"{place}: no column {missing!r}.{suggest_closest(missing, record)} The "
                    f"columns are {', '.join(record)}"
                )
            # a server does not know the names of its features: send all columns with a value
            example = {name: _check_cell(place, name, record[name], is_text) for name in names} or {
                name: value
                for name, x in record.items()
                if (value := _to_number(x)) not in ("", None)
            }
            yield Row(place, example["text"] if inputs == ["text"] else example, example)


def _read_texts(file: str, stream: Iterable[bytes], inputs: list[str]) -> Iterator[Row]:
    for place, line in _read_lines(file, stream):
        texts = line.rstrip("\r\n").split("\t") if len(inputs) == 2 else [line.rstrip("\r\n")]
        if len(texts) != len(inputs):
            raise UserError(f"{place}: expected two texts separated by one tab")
        example = dict(zip(inputs, texts, strict=True))
        yield Row(place, texts[0] if len(inputs) == 1 else example, example)


def _read_csv(file: str, stream: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the place and the columns of each record."""
    reader = csv.DictReader((line for _, line in _read_lines(file, stream)), skipinitialspace=True)
    try:
        for record in reader:
            place = f"{file}, line {reader.line_num}"
            if None in record:
                raise UserError(f"{place}: more fields than the first line has column names")
            yield place, record
    except csv.Error as error:
        place = f"{file}, line {reader.line_num + 1}"
        if "field limit" in str(error):
            raise UserError(
                f"{place}: a field has more than {csv.field_size_limit():,} characters: close the "
                "quote that it begins with, or shorten it"
            ) from error
        raise UserError(f"{place}: not valid CSV: {error}") from error


def _read_jsonl(file: str, stream: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the place and the object of each line, and skips empty lines."""
    for place, line in _read_lines(file, stream):
        try:
            record = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{place}: not valid JSON: {error}") from None
        if isinstance(record, dict):
            yield place, record
        elif line.strip():
            raise UserError(f'{place}: expected an object, such as {{"text": ...}}')


def _read_lines(file: str, stream: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Yields the place and the text of each line."""
    for number, line in enumerate(stream, 1):
        place = f"{file}, line {number}"
        try:
            yield place, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise UserError(f"{place}: not UTF-8: save the file as UTF-8") from None


def _check_cell(place: str, name: str, value: Any, is_text: bool) -> str | float:
    """Returns the value as a text or as a finite number.

    Raises:
        UserError: if it is something else.
    """
    if is_text:
        if isinstance(value, str):
            return value
    else:
        number = _to_number(value)
        if isinstance(number, float) and math.isfinite(number):
            return number
    expected = "a text" if is_text else "a finite number"
    raise UserError(f"{place}: column {name!r} holds {value!r:.50}; expected {expected}")


def _to_number(value: Any) -> Any:
    """Converts a number, or a string that holds one, to float; returns other values unchanged."""
    try:
        return float(value) if isinstance(value, str | int | float) else value
    except (ValueError, OverflowError):
        return value
