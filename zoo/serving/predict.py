"""Predicts with an exported model, in this process or by asking TF Serving.

python -m zoo.serving.predict --model=cnn photos/*.png
python -m zoo.serving.predict --model=lstm reviews.txt --top=3
python -m zoo.serving.predict --model=mlp cars.csv --server=localhost:8501 --json
echo "a fine film" | python -m zoo.serving.predict --model=lstm

A model of images reads PNG, JPEG, BMP and GIF files. A model of texts reads .txt files and standard
input, a text on each line or a pair with a tab between, and .csv and .jsonl files with the columns
or keys text, or text_a and text_b. One of features reads .csv and .jsonl files with their names.
"""

import csv
import itertools
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from zoo import cli
from zoo.errors import UserError
from zoo.schema import closest
from zoo.serving.client import Client
from zoo.serving.values import Refused

FLAGS = flags.FLAGS
GROUPS = MODEL, OUTPUT = ("Model", "Output")

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
TEXTS = (".txt", ".csv", ".jsonl")
READS = {
    "image": (IMAGES, "images: name .png, .jpg, .jpeg, .bmp or .gif files"),
    "features": (TEXTS[1:], "columns of numbers: name .csv or .jsonl files"),
    "text": (TEXTS, "texts: name .txt, .csv or .jsonl files, or pipe texts in"),
    "text_pair": (TEXTS, "pairs of texts: name .txt, .csv or .jsonl files, or pipe them in"),
}
INPUTS = {"text": ["text"], "text_pair": ["text_a", "text_b"]}


class Row(NamedTuple):
    """One example: where it stands, what the output calls it, and its features."""

    place: str
    shown: Any
    example: dict[str, Any]


def main(*files: str) -> None:
    """From files, or standard input, to predictions on standard output."""
    if FLAGS.model is None:
        raise UserError("no model: name one with --model, such as --model=cnn")
    for file in files:
        if not Path(file).is_file():
            raise UserError(f"{file}: there is no such file")
    if FLAGS.grpc:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it logs what the error says in one line
        cli.import_tensorflow()
    names = ("server", "grpc", "export_dir", "version", "label", "timeout")
    client = Client(FLAGS.model, **{name: FLAGS[name].value for name in names})
    spec = client.spec()
    if FLAGS.top and spec["class_names"] is None:
        raise UserError(f"--top={FLAGS.top}: {FLAGS.model} predicts a number, not classes")
    rows = read(files, spec)
    typed = not files and sys.stdin.isatty()
    try:
        # whoever types wants an answer to each line
        write(rows, client, spec, 1 if typed else FLAGS.batch_size)
    except BrokenPipeError:  # `| head` has what it wants
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def read(files: Sequence[str], spec: dict[str, Any]) -> Iterator[Row]:
    """The examples of the files, or of standard input, if there are no files.

    Args:
        files: Their paths.
        spec: As `Client.spec` gives it.

    Raises:
        UserError: at once for a file that the model cannot read, later for what a file holds.
    """
    if spec["kind"] not in READS:
        raise UserError(f"{FLAGS.model} reads {spec['kind']!r}, which no file holds: use Client")
    endings, reads = READS[spec["kind"]]
    inputs = INPUTS.get(spec["kind"], [])
    for file in files:
        if Path(file).suffix.lower() not in endings:
            raise UserError(f"{file}: {FLAGS.model} reads {reads}")
    if files:
        return itertools.chain.from_iterable(_rows(Path(file), spec, inputs) for file in files)
    if ".txt" not in endings:
        raise UserError(f"no files: {FLAGS.model} reads {reads}")
    if sys.stdin.isatty():
        what = "pairs of texts with a tab between" if len(inputs) == 2 else "texts"
        print(f"reading {what} from standard input, one a line; Ctrl-D ends", file=sys.stderr)
    return _texts("standard input", sys.stdin.buffer, inputs)


def write(rows: Iterator[Row], client: Client, spec: dict[str, Any], batch_size: int) -> None:
    """Writes the predictions for the rows, a batch at a time."""
    columns = "prediction" if spec["class_names"] is None else f"{'label':20}  probability"
    count = 0
    while batch := list(itertools.islice(rows, batch_size)):
        if not (count or FLAGS.server):
            cli.import_tensorflow()  # here, so that most mistakes don't wait for it
        predictions = predict(client, spec, batch)
        if not (count or FLAGS.json):
            print(f"{'input':40}  {columns}")
        for row, prediction in zip(batch, predictions, strict=True):
            print(_as_json(row, prediction) if FLAGS.json else _as_table(row, prediction))
        sys.stdout.flush()
        count += len(batch)
    if not count:
        raise UserError("nothing to predict: the input is empty")


def predict(client: Client, spec: dict[str, Any], rows: list[Row]) -> list:
    """For each row a number, or its most probable classes as (class, probability), best first.

    Raises:
        UserError: if the model cannot take a row; it says which.
    """
    try:
        return _predictions(client, spec, [row.example for row in rows])
    except Refused as error:
        if len(rows) == 1:
            raise UserError(f"{rows[0].place}: {error}") from error
        for row in rows:
            predict(client, spec, [row])
        raise


def help_text() -> str:
    """What --help prints."""
    return cli.help_text(__doc__, GROUPS)


def _predictions(client: Client, spec: dict[str, Any], examples: list[dict[str, Any]]) -> list:
    image, top = spec["kind"] == "image", FLAGS.top
    # only the Classify API takes columns by their names; top_k takes no encoded images
    if spec["kind"] == "features" or (image and top):
        if spec["class_names"] is None:
            return client.regress(examples).tolist()
        return [pairs[: top or 1] for pairs in client.classify(examples)]
    columns = {name: [one[name] for one in examples] for name in examples[0]}
    if top:
        given = client.predict(columns | {"k": [top] * len(examples)}, "top_k")
        rows = zip(given["labels"], given["probabilities"].tolist(), strict=True)
        return [list(zip(*row, strict=True)) for row in rows]
    given = client.predict(columns, "image_bytes" if image else "serving_default")
    if spec["class_names"] is None:
        return given["prediction"].tolist()
    best = given["probabilities"].max(axis=1).tolist()
    return [[pair] for pair in zip(given["label"], best, strict=True)]


def _as_json(row: Row, prediction: Any) -> str:
    if isinstance(prediction, float):
        found = {"prediction": prediction}
    else:
        pairs = [{"label": label, "probability": p} for label, p in prediction]
        found = {"top": pairs} if FLAGS.top else pairs[0]
    return json.dumps({"input": row.shown} | found, ensure_ascii=False)


def _as_table(row: Row, prediction: Any) -> str:
    shown = row.shown
    if isinstance(shown, dict):
        shown = ", ".join(f"{name}={value}" for name, value in shown.items())
    shown = " ".join(shown.split())
    if len(shown) > 40:
        # of a path the end says more
        shown = f"...{shown[-37:]}" if "image_bytes" in row.example else f"{shown[:37]}..."
    if isinstance(prediction, float):
        return f"{shown:40}  {prediction:.6g}"
    return "\n".join(f"{shown:40}  {label:20}  {p:.4f}" for label, p in prediction)


def _rows(file: Path, spec: dict[str, Any], inputs: list[str]) -> Iterator[Row]:
    ending = file.suffix.lower()
    if ending in IMAGES:
        yield Row(str(file), str(file), {"image_bytes": file.read_bytes()})
        return
    with file.open("rb") as stream:
        if ending == ".txt":
            yield from _texts(str(file), stream, inputs)
            return
        is_text = spec["kind"] != "features"
        names = inputs if is_text else spec["feature_names"]
        for place, record in (_csv if ending == ".csv" else _jsonl)(str(file), stream):
            if missing := next((name for name in names if name not in record), None):
                raise UserError(
                    f"{place}: there is no {missing!r}.{closest(missing, record)} There are "
                    f"{', '.join(record)}"
                )
            # of a server the names are not known: it takes those that it needs
            example = {name: _value(place, name, record[name], is_text) for name in names} or {
                name: value for name, x in record.items() if (value := _number(x)) not in ("", None)
            }
            yield Row(place, example["text"] if inputs == ["text"] else example, example)


def _texts(file: str, stream: Iterable[bytes], inputs: list[str]) -> Iterator[Row]:
    for place, line in _lines(file, stream):
        texts = line.rstrip("\r\n").split("\t") if len(inputs) == 2 else [line.rstrip("\r\n")]
        if len(texts) != len(inputs):
            raise UserError(f"{place}: expected two texts with one tab between")
        example = dict(zip(inputs, texts, strict=True))
        yield Row(place, texts[0] if len(inputs) == 1 else example, example)


def _csv(file: str, stream: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader((line for _, line in _lines(file, stream)), skipinitialspace=True)
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
        raise UserError(f"{place}: this is no CSV: {error}") from error


def _jsonl(file: str, stream: Iterable[bytes]) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, line in _lines(file, stream):
        try:
            record = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{place}: this is no JSON ({error})") from None
        if isinstance(record, dict):
            yield place, record
        elif line.strip():
            raise UserError(f'{place}: expected an object, such as {{"text": ...}}')


def _lines(file: str, stream: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(stream, 1):
        place = f"{file}, line {number}"
        try:
            yield place, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise UserError(f"{place}: not UTF-8: save it as UTF-8") from None


def _value(place: str, name: str, value: Any, is_text: bool) -> str | float:
    """A text, or a finite number."""
    made = value if is_text else _number(value)
    if isinstance(made, str) if is_text else isinstance(made, float) and math.isfinite(made):
        return made
    what = "a text" if is_text else "a finite number"
    raise UserError(f"{place}: column {name!r} holds {value!r:.50}; expected {what}")


def _number(value: Any) -> Any:
    """A number, or a string that is one, as float; anything else as it is."""
    try:
        return float(value) if isinstance(value, str | int | float) else value
    except (ValueError, OverflowError):
        return value


def define_flags() -> None:
    """The flags of the command."""
    # fmt: off
    cli.flag(MODEL, "model", str, None, "Name of the model.")
    cli.flag(MODEL, "export_dir", str, "saved_models", "Folder of exported models.")
    cli.flag(MODEL, "server", str, None, "HOST:PORT of TF Serving's REST API, to ask it instead.")
    cli.flag(MODEL, "grpc", str, None, "HOST:PORT of TF Serving's gRPC API, to ask it instead.")
    cli.flag(MODEL, "version", int, None, "Version of the model. By default the newest.", 0)
    cli.flag(MODEL, "label", str, None, "Version of the model by the server's label for it.")
    cli.flag(MODEL, "timeout", float, 10.0, "Seconds that the server has for each attempt.", 0.001)
    cli.flag(MODEL, "batch_size", int, 32, "Examples that are predicted at once.", 1)
    cli.flag(OUTPUT, "top", int, None, "Number of classes to show, the most probable first.", 1)
    cli.flag(OUTPUT, "json", bool, False, "Writes a JSON object on each line.")
    # fmt: on


if __name__ == "__main__":
    define_flags()
    cli.run(main, help_text, "FILE...")
