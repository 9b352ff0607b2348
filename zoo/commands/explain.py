"""Explains predictions: which pixels, words or columns speak for them, and which against them.

zoo explain --model=cnn photo.png                        an export, as `zoo predict` takes it
zoo explain --model=cnn photos --method=grad_cam
zoo explain --model=cnn --weights=mnist digit.png        weights that ship with the package
zoo explain --model=cnn --weights=mnist digit.png --class=7
zoo explain --weights=runs/mlp-cars cars.csv --json
echo "a fine film" | zoo explain --model=lstm
zoo explain --model=lstm --server=localhost:8501 reviews.txt
zoo explain --weights=runs/mlp-cars --method=permutation     the columns of its dataset

The logit of the predicted class is explained, or that of --class, or the predicted number. Red
speaks for it, blue against it. Methods:

integrated_gradients  sums the gradients on the way from a baseline to the input: from a black
                      image, a text without words, or the typical row of the training data. The
                      attributions add up to the difference of the two outputs.
grad_cam              shows where the last convolution of a network of images sees the class
occlusion             makes patches black, leaves words out, or makes cells typical, and compares
                      the outputs. It needs predictions only, so any export or server will do.
permutation           shuffles each column of a dataset, and compares the scores

A server has integrated gradients if the model was exported with --explain_signature.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.file_settings import (
    check_files_exist,
    choose_file_settings,
    define_file_flags,
    read_data_settings,
)
from zoo.commands.flags import under_heading
from zoo.commands.runner import import_tensorflow, print_notes, print_warning
from zoo.commands.scored_weights import check_one_source, complete_config, open_scored_weights
from zoo.console import show_progress
from zoo.data.config import DataConfig, parse_separator, parse_text_columns
from zoo.data.encoding_names import parse_encoding
from zoo.data.spec import Spec
from zoo.errors import UserError
from zoo.exporting.validation import InputRefusedError
from zoo.registry import load_plugin
from zoo.serving.client import Client
from zoo.serving.rows.blocks import Row
from zoo.serving.rows.reading import expand_folders, read_rows
from zoo.serving.rows.row_log import RowLog
from zoo.storage.atomic import make_output_folder

if TYPE_CHECKING:
    from zoo.explaining.explainer import Explainer
    from zoo.explaining.explanation import Explanation

FLAGS = flags.FlagValues()
WORDS = "FILE..."
MODEL, OUTPUT = under_heading(FLAGS, "Model"), under_heading(FLAGS, "Output")
EXPLANATION = under_heading(FLAGS, "Explanation")

_PERMUTATION = "permutation"

# fmt: off
flags.DEFINE_string("model", None, "Name of the exported model, such as cnn.", **MODEL)
flags.DEFINE_string("export_dir", "saved_models", "Folder of exported models.", **MODEL)
flags.DEFINE_integer("version", None, "Version of the export. By default the newest one.", 0,
                     **MODEL)
flags.DEFINE_string("weights", None, "What to explain instead of an export of --model: a run, an "
                    "export, a .keras file, or a name of weights that ship with the package.",
                    **MODEL)
flags.DEFINE_string("server", None, "HOST:PORT or URL of TF Serving's REST API, to ask it instead.",
                    **MODEL)
flags.DEFINE_string("grpc", None, "HOST:PORT of TF Serving's gRPC API, for the same.", **MODEL)
flags.DEFINE_string("plugin", None, "Python module, or .py file, with the classes of the model.",
                    **MODEL)
flags.DEFINE_enum("method", None, ("integrated_gradients", "grad_cam", "occlusion", _PERMUTATION),
                  "By default integrated_gradients; occlusion for a server without the signature "
                  "`explain`.", **EXPLANATION)
flags.DEFINE_string("class", None, "Class to explain, whichever is predicted.", **EXPLANATION)
define_file_flags(EXPLANATION)
flags.DEFINE_string("dataset", None, "Dataset for --method=permutation, as in `zoo train`. By "
                    "default that of the training.", **EXPLANATION)
flags.DEFINE_string("data_dir", None, "Folder of prepared TFDS datasets. By default "
                    "$TFDS_DATA_DIR, or else ~/tensorflow_datasets.", **EXPLANATION)
flags.DEFINE_string("label", None, "Column of the dataset that is predicted. By default that of "
                    "the training.", **EXPLANATION)
flags.DEFINE_enum("split", None, ("test", "validation", "train", "all"), "Split of the dataset for "
                  "--method=permutation. By default the test split or, of another dataset without "
                  "one, all.", **EXPLANATION)
flags.DEFINE_bool("json", False, "Prints one JSON object per line, and draws no pictures.",
                  **OUTPUT)
flags.DEFINE_string("out", None, "Folder for the pictures. By default explanations/<model>.",
                    **OUTPUT)
# fmt: on


def main(*files: str) -> None:
    """Explains the predictions for files, or for standard input."""
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    check_one_source(FLAGS)
    check_files_exist(files)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its log repeats the error messages
    if FLAGS.method == _PERMUTATION:
        if files:
            raise UserError(
                f"{files[0]} and --method={_PERMUTATION}: it reads a dataset: pass "
                f"--dataset=csv:{files[0]} instead"
            )
        if FLAGS["class"].value:
            raise UserError(
                f"--class={FLAGS['class'].value} and --method={_PERMUTATION}: it compares scores "
                "of all classes: omit --class"
            )
        _explain_dataset()
        return
    for name in ("dataset", "label", "split"):
        if FLAGS[name].value:
            raise UserError(
                f"--{name}={FLAGS[name].value}: only --method={_PERMUTATION} reads a dataset: pass "
                f"files instead, or --method={_PERMUTATION}"
            )
    _explain_files(files)


def _explain_files(files: tuple[str, ...]) -> None:
    """Explains the prediction for each row of the files."""
    log = RowLog()
    if FLAGS.weights:
        import_tensorflow()
        explainer, settings = _open_weights()
        rows, count = _read_rows(files, explainer.spec, settings, log)
    else:
        client = _open_client()
        # before TensorFlow is imported, so that most errors don't wait for it
        rows, count = _read_rows(files, client.spec(), read_data_settings(client.path), log)
        import_tensorflow()
        explainer = _open_explainer(client)
    from zoo.commands.explain_report import write_explanations
    from zoo.explaining.explainer_choice import choose_method

    if FLAGS["class"].value is not None:
        explainer.choose_class(FLAGS["class"].value)
    print_notes(log.take_notes())
    if not count:
        raise UserError("nothing to explain: the input is empty")
    method = choose_method(explainer, FLAGS.method)
    out = None if FLAGS.json else make_output_folder(FLAGS.out or f"explanations/{_find_name()}")
    explained = ((row, _explain_row(explainer, row, method)) for row in rows)
    progress = show_progress(explained, count, "explaining")
    write_explanations(explainer, method, FLAGS["class"].value, progress, out)


def _read_rows(
    files: tuple[str, ...], spec: Spec, settings: Any, log: RowLog
) -> tuple[Iterable[Row], int]:
    """Returns the rows of the files and their number; images are read when they are needed."""
    paths, notes = expand_folders(files, spec, _find_name())
    print_notes(notes)
    separator, encoding = choose_file_settings(FLAGS, settings, paths, spec)
    text = parse_text_columns(FLAGS.text)
    rows = read_rows(paths, spec, _find_name(), text, separator, log, encoding)
    if spec.kind == "image":
        return rows, len(paths)
    listed = list(rows)
    return listed, len(listed)


def _find_name() -> str:
    return FLAGS.model or Path(FLAGS.weights).name


def _open_client() -> Client:
    """Returns the client of the export or the server."""
    return Client(
        FLAGS.model,
        server=FLAGS.server,
        grpc=FLAGS.grpc,
        export_dir=FLAGS.export_dir,
        version=FLAGS.version,
    )


def _open_weights() -> tuple["Explainer", Any]:
    """Returns the explainer of --weights, and how the data of its training was read."""
    from zoo.explaining.explainer_choice import ModelExplainer

    source = open_scored_weights(FLAGS.weights, FLAGS.model)
    return ModelExplainer(source.model, source.spec), source.record.get("data_settings")


def _open_explainer(client: Client) -> "Explainer":
    """Returns the explainer of an export or a server.

    An export whose graph lacks the method is explained by its Keras model.
    """
    from zoo.explaining.explainer_choice import ClientExplainer, ModelExplainer

    explainer = ClientExplainer(client)
    wanted, chosen = FLAGS.method or "integrated_gradients", FLAGS["class"].value
    if client.path is None or (wanted in explainer.methods and not chosen):
        return explainer
    source = open_scored_weights(str(client.path), None)
    return ModelExplainer(source.model, source.spec, f" ({client.path}, its Keras model)")


def _explain_row(explainer: "Explainer", row: Row, method: str) -> "Explanation":
    try:
        return explainer.explain(row.example, method)
    except InputRefusedError as error:
        raise UserError(f"{row.place}: {error}") from error


def _explain_dataset() -> None:
    """Measures how much each column of a dataset matters to the scores."""
    if FLAGS.server or FLAGS.grpc:
        raise UserError(
            f"--method={_PERMUTATION}: it needs the model itself: pass --weights instead of the "
            "server"
        )
    weights = FLAGS.weights or str(_open_client().path)
    config = DataConfig(
        name=FLAGS.dataset,
        data_dir=FLAGS.data_dir,
        label=FLAGS.label,
        text=parse_text_columns(FLAGS.text),
        separator=parse_separator(FLAGS.separator),
        encoding=parse_encoding(FLAGS.encoding),
    )
    import_tensorflow()
    from zoo.commands.explain_report import write_importances
    from zoo.evaluation.compatibility import check_compatibility, describe_leak
    from zoo.evaluation.datasets import encode_split, read_scored_split
    from zoo.explaining.explainer_choice import ModelExplainer
    from zoo.explaining.permutation import measure_split_importances

    source = open_scored_weights(weights, FLAGS.model if FLAGS.weights else None)
    config = complete_config(config, source, None)
    own = config.name == source.record.get("dataset")
    data, split_name = read_scored_split(config, FLAGS.split, own)
    data, _, raw = encode_split(
        data, split_name, source.spec, source.tokenizer, config.memory_budget
    )
    print_notes(data.notes)
    check_compatibility(weights, source.spec, data, named="spec" in source.record)
    print_warning(describe_leak(source.record, data, split_name))
    explainer = ModelExplainer(source.model, source.spec)
    importances = measure_split_importances(explainer, raw)
    out = None if FLAGS.json else make_output_folder(FLAGS.out or f"explanations/{_find_name()}")
    write_importances(importances, f"{data.name}, {split_name} split", out)
