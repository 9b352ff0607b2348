"""Makes a trained model smaller in several ways, and compares what each of them costs.

zoo compress --model=cnn --dataset=mnist_5k --methods=int8,int4,prune:0.8,distill:lenet5
zoo compress --weights=runs/lstm-imdb_reviews --methods=int8,onnx_int8,prune:0.5
zoo compress --model=cnn --weights=mnist --methods=structured:0.5+litert_int8 --max_drop=0.5%
zoo compress --model=cnn --dataset=mnist_5k --methods=distill:cnn:filters=8,16,16:dense=32

The methods, in any number:
  int8, int4            Keras' quantisation of dense and embedding layers
  litert_float16, litert_int8, onnx_int8
                        a converted file with smaller numbers
  prune:0.8             the smallest 80% of the weights of each layer become 0, step by step
  structured:0.5        half of the filters and units of each layer are removed, in models whose
                        layers follow each other, such as cnn and mlp
  distill:lenet5        a smaller model learns the probabilities of this one; hyperparameters
                        follow after colons
  structured:0.5+int8   one after the other; a quantisation or a conversion is the last one

prune, structured and distill train on the training split: the same command resumes a training that
was interrupted, and ends with the same weights. --max_drop looks at the validation split; each
model scores the test split once. The table, a chart and a run for each method are written to
compressing/<model>-<dataset>, the exports to saved_models/<model>-<method>. Converted files lie in
assets.extra of the export of the model that they were made from.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.flags import define_data_flags, format_flagfile, read_data_config, under_heading
from zoo.commands.runner import command_line, import_tensorflow, print_notes, print_warning
from zoo.commands.scored_weights import check_long_texts
from zoo.compressing.methods import CONVERTED, Method, parse_max_drop, parse_methods
from zoo.errors import UserError
from zoo.exporting.formats import check_formats
from zoo.exporting.versions import check_export_name
from zoo.pretrained.store import list_weights, resolve_weights
from zoo.recipe import Recipe
from zoo.registry import find_entry, load_plugin
from zoo.storage.atomic import check_writable
from zoo.training.run_folder import check_run_folder, choose_run_folder, open_run
from zoo.training.signals import advise_on_interrupt

if TYPE_CHECKING:
    from zoo.compressing.training_methods import Trained
    from zoo.compressing.workflow import Compression
    from zoo.data.splits import Data
    from zoo.training.source import Source

FLAGS = flags.FlagValues()
WORDS = ""
# flags that may change when a compression goes on
CHANGEABLE_FLAGS = ("data_dir", "methods", "max_drop", "run_dir", "overwrite", "export_dir",
                    "export_name", "keep_versions")  # fmt: skip
MODEL, COMPRESSION = under_heading(FLAGS, "Model"), under_heading(FLAGS, "Compression")

# fmt: off
flags.DEFINE_string("model", None, "Name of the model, such as cnn.", **MODEL)
flags.DEFINE_string("weights", None, "What to compress: a run, an export, a .keras file, or with "
                    "--model a name of weights that ship with the package. By default "
                    "runs/<model>-<dataset>.", **MODEL)
flags.DEFINE_string("plugin", None, "Python module, or .py file, that registers more models.",
                    **MODEL)
define_data_flags(FLAGS)
flags.DEFINE_string("methods", None, "What to try, separated by commas, as listed above.",
                    **COMPRESSION)
flags.DEFINE_string("max_drop", None, "Refuses what loses more than this on the validation split: "
                    "points of accuracy or F1, or percent of the MAE, such as 0.5%. It is "
                    "in the table, and not exported.", **COMPRESSION)
flags.DEFINE_integer("epochs", None, "Epochs of each training. By default half of those of the "
                     "model, and for distill those of the smaller model's recipe.", 1,
                     **COMPRESSION)
flags.DEFINE_float("learning_rate", None, "Peak learning rate of each training. By default that "
                   "of the model's training, and for distill that of the smaller model's recipe.",
                   **COMPRESSION)
flags.DEFINE_integer("batch_size", None, "Examples per step of each training. By default as for "
                     "--learning_rate.", 1, **COMPRESSION)
flags.DEFINE_integer("seed", None, "Seed of the trainings. By default the seed of the run, or "
                     "else 0. The held-out rows are always those of the run.", 0, 2**31 - 1,
                     **COMPRESSION)
flags.DEFINE_string("run_dir", None, "Folder of the results; an unfinished compression there is "
                    "resumed. By default compressing/<model>-<dataset>, with -2, -3, ... for "
                    "other flags.", **COMPRESSION)
flags.DEFINE_bool("overwrite", False, "Deletes the results in the folder and starts over.",
                  **COMPRESSION)
flags.DEFINE_string("export_dir", "saved_models", "Folder of the exported models.", **COMPRESSION)
flags.DEFINE_string("export_name", None, "Beginning of the names of the exports. By default the "
                    "name of the model.", **COMPRESSION)
flags.DEFINE_integer("keep_versions", 2, "Number of newest versions of a model that TF Serving "
                     "serves.", 1, **COMPRESSION)
# fmt: on


def main() -> None:
    """Compresses the model that the flags describe, and prints the table."""
    methods = _read_flags()
    import_tensorflow()
    from zoo.commands.compress_report import announce_compression, report_compression
    from zoo.compressing.training_methods import check_methods, open_trained
    from zoo.compressing.workflow import run_methods
    from zoo.data.memory import report_unreadable_files
    from zoo.serving.server_config import write_server_files

    source, data, seed = _load_model_and_data()
    original = open_trained(source, FLAGS.model or "")
    check_methods(methods, original, data)  # before there is a folder
    with (
        report_unreadable_files(data.train, data.validation, data.test),
        _open_folder(source, data, seed) as directory,
        advise_on_interrupt(f"the same command resumes {directory}"),
    ):
        work = _make_compression(original, data, seed, directory)
        announce_compression(work, source.path, methods)
        rows: list[dict[str, Any]] = []
        for row in run_methods(work, methods):
            rows.append(row)
            report_compression(work, source.path, rows, is_last=len(rows) == len(methods) + 1)
        if any(row["export"] for row in rows):
            write_server_files(Path(os.path.expanduser(FLAGS.export_dir)), FLAGS.keep_versions)


def _read_flags() -> list[Method]:
    """Checks the flags before TensorFlow is imported, and returns the methods.

    Raises:
        UserError: if one of them is invalid.
    """
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    if not (FLAGS.model or FLAGS.weights):
        raise UserError(
            "nothing to compress: choose a model with --model, such as --model=cnn, or a run with "
            "--weights"
        )
    if FLAGS.model:
        find_entry(FLAGS.model)
    if not FLAGS.methods:
        raise UserError("no methods: choose some, such as --methods=int8,prune:0.8 (see --help)")
    methods = parse_methods(FLAGS.methods)
    parse_max_drop(FLAGS.max_drop)
    check_formats([method.kind for method in methods if method.kind in CONVERTED])
    dataclasses.replace(Recipe(), **_read_settings())
    if FLAGS.export_name:
        check_export_name(FLAGS.export_name)
    check_writable(Path(os.path.expanduser(FLAGS.export_dir)))
    check_run_folder(FLAGS.run_dir)
    return methods


def _read_settings() -> dict[str, Any]:
    """Returns the settings of the trainings that the flags set."""
    names = ("epochs", "learning_rate", "batch_size")
    return {name: FLAGS[name].value for name in names if FLAGS[name].value is not None}


def _load_model_and_data() -> "tuple[Source, Data, int]":
    """Opens the model, loads its data as it was trained on, and returns both and the seed.

    Raises:
        UserError: if there is no such model, or the data does not fit it.
    """
    from zoo.commands.tokenizer_flags import check_tokenizer_flags
    from zoo.data.loading import load_data
    from zoo.evaluation.compatibility import check_compatibility, describe_leak
    from zoo.evaluation.datasets import adopt_data_settings
    from zoo.exporting.loading import open_source
    from zoo.training.source import check_source

    entry = find_entry(FLAGS.model) if FLAGS.model else None
    config = read_data_config(FLAGS, entry)
    source = open_source(_find_weights(config.name or config.default))
    trained = source.record.get("model", FLAGS.model)
    if FLAGS.model and trained != FLAGS.model:
        raise UserError(
            f"--weights={FLAGS.weights}: the model is {trained!s:.50}, not {FLAGS.model}: omit "
            "--model"
        )
    check_tokenizer_flags(FLAGS, source.tokenizer, "")
    check_long_texts(FLAGS)
    spec = source.spec
    config = adopt_data_settings(config, source.record, spec)
    seed = source.record.get("seed")
    seed = seed if isinstance(seed, int) else 0
    # other held-out rows may be among those that the model was trained on
    config = dataclasses.replace(config, seed=seed, tokenizer=source.tokenizer or config.tokenizer)
    seed = seed if FLAGS.seed is None else FLAGS.seed
    data = load_data(config)
    check_source(source, data)
    check_compatibility(str(source.path), spec, data, named="spec" in source.record)
    print_warning(describe_leak(source.record, data, "test"))
    if source.record.get("dataset", data.name) != data.name:
        print_warning(
            f"{source.path} was trained on {source.record['dataset']}, not on {data.name}: its "
            "scores are those of another dataset, whose test split may contain training examples"
        )
    spec = dataclasses.replace(data.spec, thresholds=spec.thresholds)
    return source, dataclasses.replace(data, spec=spec), seed


def _find_weights(dataset: str) -> Path:
    """Returns the path of --weights, or else of the run of the model on the dataset.

    Raises:
        UserError: if there is none.
    """
    from zoo.data.loading import dataset_slug

    if FLAGS.weights:
        return resolve_weights(FLAGS.model or "", FLAGS.weights)
    run = Path("runs", f"{FLAGS.model}-{dataset_slug(dataset)}")
    if not run.is_dir():
        shipped = [f"--weights={name}" for name in list_weights(FLAGS.model)]
        raise UserError(
            f"{run}: there is no such run to compress: train one with zoo train "
            f"--model={FLAGS.model} --dataset={dataset}, or pass "
            f"{' or '.join([*shipped, '--weights with a run or an export'])}"
        )
    print(f"compresses {run}")
    return run


@contextlib.contextmanager
def _open_folder(source: "Source", data: "Data", seed: int) -> Iterator[Path]:
    """Context manager that locks the folder of the compression, and yields it.

    Raises:
        UserError: if the compression there is of other flags or data. The folder is unchanged then.
    """
    from zoo.data.loading import dataset_slug
    from zoo.training.run_data import check_run_data, save_run_data

    def check(directory: Path) -> None:
        if not FLAGS.overwrite:
            check_run_data(directory, data, is_finished=True)

    name = source.record.get("model", FLAGS.model)
    resolved = {
        "dataset": data.name,
        "weights": FLAGS.weights or str(source.path),
        "model": name,
        "seed": seed,
    }
    flagfile = format_flagfile(FLAGS, resolved, command_line())
    default = Path("compressing", f"{name}-{dataset_slug(data.name)}")
    directory = choose_run_folder(FLAGS.run_dir, default, flagfile, CHANGEABLE_FLAGS, raisable=None)
    with open_run(
        directory,
        flagfile,
        free=CHANGEABLE_FLAGS,
        overwrite=FLAGS.overwrite,
        check=check,
        raisable=None,
    ):
        save_run_data(directory, data)
        yield directory


def _make_compression(original: "Trained", data: "Data", seed: int, folder: Path) -> "Compression":
    """Returns the compression that the flags describe."""
    from zoo.compressing.workflow import Compression
    from zoo.data.loading import dataset_slug
    from zoo.exporting.contract import choose_export_folder

    name = FLAGS.export_name or original.entry.name

    def choose_export(slug: str) -> Path:
        export = Path(os.path.expanduser(FLAGS.export_dir), f"{name}-{slug}")
        export, warning = choose_export_folder(export, data.spec, dataset_slug(data.name))
        print_warning(warning)
        return export

    print_notes(data.notes)
    return Compression(
        directory=folder,
        original=original,
        data=data,
        settings=_read_settings(),
        seed=seed,
        max_drop=parse_max_drop(FLAGS.max_drop),
        choose_export=choose_export,
        command=command_line(),
        announce=lambda line: print(line, flush=True),
    )
