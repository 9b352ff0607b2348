"""Predicts with an exported model, in this process or by asking TF Serving.

zoo predict --model=cnn photos/*.png more_photos
zoo predict --model=lstm reviews.txt --top=3
zoo predict --model=mlp cars.csv --server=localhost:8501 --json
zoo predict --model=mlp cars.csv --out=prices.csv --skip_bad_rows
zoo predict --weights=runs/lstm-imdb_reviews reviews.txt
zoo predict --preset=efficientnet_lite0_ra_imagenet photos --top=5
zoo predict --preset=all_minilm_l6_v2_en --signature=features reviews.txt --out=vectors.jsonl
echo "a fine film" | zoo predict --model=lstm

Image models read files of all formats that Pillow reads, folders of them, and tables (.csv, .tsv,
.jsonl, .parquet, .arrow) of their paths. Text models read .txt files and standard input, one text
per line or two texts separated by a tab, and tables with the text columns of the training. Models
of tables read tables with the columns of the training. Other columns are not read; --out writes
them beside the predictions.
"""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags

from zoo.commands.file_settings import (
    check_files_exist,
    choose_file_settings,
    define_file_flags,
    read_data_settings,
)
from zoo.commands.flags import under_heading
from zoo.commands.predict_report import format_lines, format_object
from zoo.commands.runner import import_tensorflow, print_notes, print_warning
from zoo.commands.scored_weights import check_long_texts, open_scored_weights
from zoo.data.config import LONG_TEXTS, parse_text_columns
from zoo.data.spec import Spec
from zoo.errors import UserError, format_count
from zoo.exporting.versions import describe_unused_versions
from zoo.registry import load_plugin
from zoo.serving.client import Client
from zoo.serving.rows.blocks import Row
from zoo.serving.rows.prediction_files import check_prediction_file, open_prediction_file
from zoo.serving.rows.reading import expand_folders, read_rows
from zoo.serving.rows.row_log import RowLog
from zoo.serving.rows.row_predictions import predict_batches, predict_rows
from zoo.serving.transports.transport import MAX_CONCURRENCY

FLAGS = flags.FlagValues()
WORDS = "FILE..."
MODEL, OUTPUT = under_heading(FLAGS, "Model"), under_heading(FLAGS, "Output")

# fmt: off
flags.DEFINE_string("model", None, "Name of the exported model, such as cnn.", **MODEL)
flags.DEFINE_string("export_dir", "saved_models", "Folder of exported models.", **MODEL)
flags.DEFINE_string("preset", None, "Pretrained model with a head, which is used as it is instead "
                    "of an export: of images a KerasHub preset, a folder of KerasHub, timm or "
                    "Hugging Face, or keras:NAME of keras.applications; of texts a folder of a "
                    "classifier of Hugging Face, of pairs with --text=A,B.", **MODEL)
flags.DEFINE_string("preset_weights", None, "File with the weights of --preset=keras:NAME. By "
                    "default those of ImageNet are downloaded.", **MODEL)
flags.DEFINE_string("weights", None, "A run, an export or a .keras file, or with --model the name "
                    "of weights that ship with the package, in place of an export.", **MODEL)
flags.DEFINE_string("plugin", None, "Python module, or .py file, with the classes of --weights.",
                    **MODEL)
flags.DEFINE_string("server", None, "HOST:PORT or URL of TF Serving's REST API: asks it instead "
                    "of loading the export.", **MODEL)
flags.DEFINE_string("grpc", None, "HOST:PORT of TF Serving's gRPC API, for the same.", **MODEL)
flags.DEFINE_integer("version", None, "Version of the model. By default the newest one.", 0,
                     **MODEL)
flags.DEFINE_string("label", None, "Label of the version, such as stable; only with a server.",
                    **MODEL)
flags.DEFINE_float("timeout", 10.0, "Seconds to wait for the server, for each attempt.", 0.001,
                   **MODEL)
define_file_flags(MODEL)
flags.DEFINE_enum("long_texts", None, LONG_TEXTS, "How a text encoder of --preset reads texts of "
                  "more tokens than it has positions for: truncated, the default, or in windows "
                  "whose logits are averaged.", **MODEL)
flags.DEFINE_bool("skip_bad_rows", False, "Leaves out rows that cannot be read or predicted, and "
                  "counts them, instead of stopping at the first one.", **MODEL)
flags.DEFINE_integer("batch_size", None, "Examples per request. By default 32, and up to 512 rows "
                    "of tables without a server.", 1, **MODEL)
flags.DEFINE_integer("concurrency", None, "Number of batches that are predicted at the same time, "
                     "each a request where there is a server. By default 4, and 1 for standard "
                     "input.", 1, MAX_CONCURRENCY, **MODEL)
flags.DEFINE_enum("signature", None, ("features",), "What is predicted of texts in place of the "
                  "answer: features, the embedding of each text, of length 1.", **OUTPUT)
flags.DEFINE_integer("top", None, "Number of classes to show, the most probable one first.", 1,
                     **OUTPUT)
flags.DEFINE_bool("json", False, "Prints one JSON object per line.", **OUTPUT)
flags.DEFINE_string("out", None, "File for the predictions, .csv or .jsonl, with all columns of "
                    "the input. By default they are printed.", **OUTPUT)
# fmt: on

_SHOWN_BAD_ROWS = 5
_BATCH_SIZE, _TABLE_BATCH_SIZE, _TABLE_BATCH_CELLS = 32, 512, 1 << 14
_CONCURRENCY = 4


def main(*files: str) -> None:
    """Predicts for files, or for standard input, and prints the predictions."""
    _check_sources()
    check_files_exist(files)
    if FLAGS.out:
        if FLAGS.json:
            raise UserError(f"--json and --out={FLAGS.out}: choose a .jsonl file and omit --json")
        check_prediction_file(Path(os.path.expanduser(FLAGS.out)), files)
    if FLAGS.grpc:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its log repeats the error messages
    client = _open_client()
    spec = client.spec()
    if FLAGS.signature and not spec.is_text:
        raise UserError(
            f"--signature={FLAGS.signature}: {client.model} reads {spec.kind}, but only models of "
            "texts give vectors here: omit it, or call the signature with zoo.serving.Client"
        )
    if FLAGS.top and spec.class_names is None:
        raise UserError(f"--top={FLAGS.top}: {client.model} predicts a number, not classes")
    paths, notes = expand_folders(files, spec, client.model)
    print_notes(notes)
    log = RowLog(FLAGS.skip_bad_rows)
    settings = _find_data_settings(client)
    separator, encoding = choose_file_settings(FLAGS, settings, paths, spec)
    text = parse_text_columns(FLAGS.text)
    rows = read_rows(paths, spec, client.model, text, separator, log, encoding)
    batches = iterate_predictions(rows, client, spec, not files, log)
    try:
        count = _write_file(batches) if FLAGS.out else _print_predictions(batches, spec)
    except BrokenPipeError:  # the reader has closed the pipe, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    print_notes(log.take_notes())
    bad = len(log.bad_rows)
    if not count:
        skipped = (
            f"{format_count(bad, 'row was', 'rows were')} left out: {log.bad_rows[0]}"
            if bad
            else ""
        )
        raise UserError(f"nothing to predict: {skipped or 'the input is empty'}")
    if bad:
        print_notes(log.bad_rows[:_SHOWN_BAD_ROWS])
        print_warning(f"{bad:,} of {count + bad:,} rows were left out")


def _open_client() -> Client:
    """Returns the client of the preset, the server or the export that the flags name."""
    if FLAGS.preset:
        if FLAGS.model not in (None, "image_backbone", "text_encoder"):
            raise UserError(
                f"--preset={FLAGS.preset}: only --model=image_backbone and --model=text_encoder "
                "predict with a preset"
            )
        return _open_preset()
    if FLAGS.weights:
        return _open_weights()
    client = Client(
        FLAGS.model,
        server=FLAGS.server,
        grpc=FLAGS.grpc,
        export_dir=FLAGS.export_dir,
        version=FLAGS.version,
        label=FLAGS.label,
        timeout=FLAGS.timeout,
    )
    if not (FLAGS.server or FLAGS.grpc) and FLAGS.version is None:
        folder = Path(os.path.expanduser(FLAGS.export_dir), FLAGS.model)
        print_notes(describe_unused_versions(folder))
    return client


def _open_preset() -> Client:
    """Returns a client of the preset: of its head, or of its vectors."""
    import_tensorflow()
    from zoo.pretrained.presets import load_preset_classifier, load_text_embedder
    from zoo.serving.model_client import ModelClient

    pairs = len(parse_text_columns(FLAGS.text) or ()) == 2
    options: dict[str, Any] = {"reads_pairs": pairs, "long_texts": FLAGS.long_texts}
    if FLAGS.signature:
        predictor = load_text_embedder(FLAGS.preset, **options)
    else:
        predictor = load_preset_classifier(FLAGS.preset, FLAGS.preset_weights or "", **options)
    client = ModelClient(FLAGS.preset, predictor)
    print_notes(client.record["notes"])
    return client


def _open_weights() -> Client:
    """Returns a client of a run, an export, a .keras file or shipped weights."""
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    import_tensorflow()
    from zoo.pretrained.pretrained_model import make_pretrained_model
    from zoo.serving.model_client import ModelClient

    source = open_scored_weights(FLAGS.weights, FLAGS.model)
    return ModelClient(
        FLAGS.weights, make_pretrained_model(source.model, source.spec, source.record)
    )


def _check_sources() -> None:
    """Checks that the flags name one model, and only flags that it uses."""
    sources = [name for name in ("preset", "weights", "server", "grpc") if FLAGS[name].value]
    if FLAGS.model is None and not FLAGS.preset and not FLAGS.weights:
        raise UserError("no model: choose one with --model, such as --model=cnn")
    others = [name for name in ("version", "label") if FLAGS[name].value is not None]
    if sources and sources[0] in ("preset", "weights") and (names := sources[1:] + others):
        value = FLAGS[sources[0]].value
        raise UserError(f"--{sources[0]}={value} and --{names[0]}: omit one of them")
    check_long_texts(FLAGS)
    if FLAGS.signature and FLAGS.top:
        raise UserError(f"--signature={FLAGS.signature} and --top: omit one of them")


def _find_data_settings(client: Client) -> Any:
    """Returns how the data of the training was read; None if it is not known, as of a server."""
    if not (FLAGS.weights or FLAGS.preset):
        return read_data_settings(client.path)
    from zoo.serving.model_client import ModelClient

    assert isinstance(client, ModelClient)
    return client.record.get("data_settings")


def iterate_predictions(
    rows: Iterator[Row], client: Client, spec: Spec, is_piped: bool, log: RowLog
) -> Iterator[list[tuple[Row, Any]]]:
    """Yields the rows of each batch with their predictions."""
    # typed lines are answered immediately
    size = 1 if is_piped and sys.stdin.isatty() else FLAGS.batch_size or _choose_batch_size(spec)
    concurrency = FLAGS.concurrency or (1 if is_piped else _CONCURRENCY)

    def read_batches() -> Iterator[list[Row]]:
        while batch := list(itertools.islice(rows, size)):
            print_notes(log.take_notes())
            if not (FLAGS.server or FLAGS.grpc):
                import_tensorflow()  # not earlier, so that most errors don't wait for it
            yield batch

    def predict(batch: list[Row], own_log: RowLog) -> list:
        embeds = bool(FLAGS.signature)
        return predict_rows(client, spec, batch, FLAGS.top, own_log, as_embeddings=embeds)

    return filter(None, predict_batches(read_batches(), predict, log, concurrency))


def _choose_batch_size(spec: Spec) -> int:
    """Returns the default of --batch_size: more rows of tables, whose models take less time."""
    if spec.kind != "features" or FLAGS.server or FLAGS.grpc:
        return _BATCH_SIZE
    return max(_BATCH_SIZE, min(_TABLE_BATCH_SIZE, _TABLE_BATCH_CELLS // max(spec.shape[0], 1)))


def _print_predictions(batches: Iterator[list[tuple[Row, Any]]], spec: Spec) -> int:
    """Prints the predictions, and returns their number."""
    columns = "prediction" if spec.class_names is None else f"{'label':20}  probability"
    columns = FLAGS.signature or columns
    if spec.multilabel and not (FLAGS.top or FLAGS.signature):
        columns = "labels"
    count, as_json, top = 0, FLAGS.json, FLAGS.top
    header = [] if as_json else [f"{'input':40}  {columns}"]
    for pairs in batches:
        if as_json:
            lines = [format_object(row, prediction, top) for row, prediction in pairs]
        else:
            lines = format_lines(pairs)
        print("\n".join(header + lines), flush=True)
        count, header = count + len(pairs), []
    return count


def _write_file(batches: Iterator[list[tuple[Row, Any]]]) -> int:
    """Writes the predictions to the file of --out, and returns their number."""
    path, count = Path(os.path.expanduser(FLAGS.out)), 0
    first = next(batches, None)
    if first is None:  # an earlier file is kept
        return 0
    with open_prediction_file(path) as write:
        for pairs in itertools.chain([first], batches):
            for row, prediction in pairs:
                write(row, prediction)
            count += len(pairs)
    print(f"{format_count(count, 'prediction')}: {path}")
    return count
