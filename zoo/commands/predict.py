"""Predicts with an exported model, in this process or by asking TF Serving.

zoo predict --model=cnn photos/*.png more_photos
zoo predict --model=lstm reviews.txt --top=3
zoo predict --model=mlp cars.csv --server=localhost:8501 --json
echo "a fine film" | zoo predict --model=lstm

Image models read files of all formats that Pillow reads, and folders of them. Text models read .txt
files and standard input, one text per line or two texts separated by a tab, and .csv and .jsonl
files with the columns text, or text_a and text_b. Models of tables read .csv and .jsonl files with
the columns of the training.
"""

import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.help import format_help
from zoo.commands.runner import import_tensorflow, print_notes
from zoo.data.config import parse_text_columns
from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.serving.client import Client
from zoo.serving.rows import Row, expand_folders, predict_rows, read_rows

FLAGS = flags.FlagValues()
WORDS = "FILE..."
MODEL, OUTPUT = under_heading(FLAGS, "Model"), under_heading(FLAGS, "Output")

# fmt: off
flags.DEFINE_string("model", None, "Name of the exported model, such as cnn.", **MODEL)
flags.DEFINE_string("export_dir", "saved_models", "Folder of exported models.", **MODEL)
flags.DEFINE_string("server", None, "HOST:PORT of TF Serving's REST API: asks the server instead "
                    "of loading the export.", **MODEL)
flags.DEFINE_string("grpc", None, "HOST:PORT of TF Serving's gRPC API, for the same.", **MODEL)
flags.DEFINE_integer("version", None, "Version of the model. By default the newest one.", 0,
                     **MODEL)
flags.DEFINE_string("label", None, "Label of the version, such as stable; only with a server.",
                    **MODEL)
flags.DEFINE_float("timeout", 10.0, "Seconds to wait for the server, for each attempt.", 0.001,
                   **MODEL)
flags.DEFINE_string("text", None, "Column of texts in tables, or two columns A,B of pairs. By "
                    "default those of the training.", **MODEL)
flags.DEFINE_integer("batch_size", 32, "Examples per request.", 1, **MODEL)
flags.DEFINE_integer("top", None, "Number of classes to show, the most probable one first.", 1,
                     **OUTPUT)
flags.DEFINE_bool("json", False, "Prints one JSON object per line.", **OUTPUT)
# fmt: on


def main(*files: str) -> None:
    """Predicts for files, or for standard input, and prints the predictions."""
    if FLAGS.model is None:
        raise UserError("no model: choose one with --model, such as --model=cnn")
    for file in files:
        if not Path(file).exists():
            raise UserError(f"{file}: there is no such file")
    if FLAGS.grpc:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its log repeats the error messages
    client = Client(
        FLAGS.model,
        server=FLAGS.server,
        grpc=FLAGS.grpc,
        export_dir=FLAGS.export_dir,
        version=FLAGS.version,
        label=FLAGS.label,
        timeout=FLAGS.timeout,
    )
    spec = client.spec()
    if FLAGS.top and spec.class_names is None:
        raise UserError(f"--top={FLAGS.top}: {FLAGS.model} predicts a number, not classes")
    paths, notes = expand_folders(files, spec, FLAGS.model)
    print_notes(notes)
    rows = read_rows(paths, spec, FLAGS.model, parse_text_columns(FLAGS.text))
    is_interactive = not files and sys.stdin.isatty()
    try:
        # typed lines are answered immediately
        write_predictions(rows, client, spec, 1 if is_interactive else FLAGS.batch_size)
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_predictions(rows: Iterator[Row], client: Client, spec: Spec, batch_size: int) -> None:
    """Writes the predictions for the rows, a batch at a time."""
    columns = "prediction" if spec.class_names is None else f"{'label':20}  probability"
    is_local, count = not (FLAGS.server or FLAGS.grpc), 0
    while batch := list(itertools.islice(rows, batch_size)):
        if is_local and not count:
            import_tensorflow()  # not earlier, so that most errors don't wait for it
        predictions = predict_rows(client, spec, batch, FLAGS.top)
        if not (count or FLAGS.json):
            print(f"{'input':40}  {columns}")
        for row, prediction in zip(batch, predictions, strict=True):
            print(_format_json(row, prediction) if FLAGS.json else _format_table(row, prediction))
        sys.stdout.flush()
        count += len(batch)
    if not count:
        raise UserError("nothing to predict: the input is empty")


def format_help_text() -> str:
    """Returns the text of --help."""
    return format_help(__doc__, FLAGS)


def _format_json(row: Row, prediction: Any) -> str:
    """Formats a prediction as a JSON object in one line."""
    if isinstance(prediction, float):
        output: dict[str, Any] = {"prediction": prediction}
    else:
        pairs = [{"label": label, "probability": p} for label, p in prediction]
        output = {"top": pairs} if FLAGS.top else pairs[0]
    return json.dumps({"input": row.shown} | output, ensure_ascii=False)


def _format_table(row: Row, prediction: Any) -> str:
    """Formats a prediction as a line of the table, or one line per class with --top."""
    shown = row.shown
    if isinstance(shown, dict):
        shown = ", ".join(f"{name}={value}" for name, value in shown.items())
    shown = " ".join(shown.split())
    if len(shown) > 40:
        # the end of a path tells more than its start
        shown = f"...{shown[-37:]}" if "image_bytes" in row.example else f"{shown[:37]}..."
    if isinstance(prediction, float):
        return f"{shown:40}  {prediction:.6g}"
    return "\n".join(f"{shown:40}  {label:20}  {p:.4f}" for label, p in prediction)
