"""Scores any model on any dataset, or cross-validates a recipe.

zoo evaluate --model=cnn --weights=mnist --dataset=mnist      weights that ship with the package
zoo evaluate --weights=runs/lstm-imdb_reviews                 a run, on its own dataset
zoo evaluate --weights=saved_models/cnn/2 --dataset=mnist --split=validation
zoo evaluate --model=cnn --server=localhost:8501 --dataset=mnist
zoo evaluate --model=mlp --dataset=csv:flowers.csv --label=species --kfold=5

--weights takes a run, an export, a .keras file, or with --model the name of weights that ship with
the package. Your own files are split as in training if --label, --text, --holdout and --seed are
the same. --kfold trains the model from scratch for each fold, with the same flags as `zoo train`,
--recipe and --flagfile included.
"""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.cross_validation import cross_validate
from zoo.commands.flags import (
    define_model_flags,
    read_data_config,
    under_heading,
)
from zoo.commands.help import format_help
from zoo.commands.runner import command_line, import_tensorflow, print_notes, print_warning
from zoo.errors import UserError
from zoo.pretrained.store import resolve_weights
from zoo.recipe import Recipe, parse_threshold
from zoo.registry import load_plugin
from zoo.storage.atomic import make_output_folder
from zoo.storage.filenames import METRICS

if TYPE_CHECKING:
    from zoo.data.config import DataConfig
    from zoo.data.splits import Data, Split
    from zoo.evaluation.predictions import Predictions
    from zoo.training.finetuning import Source

FLAGS = flags.FlagValues()
WORDS = ""
EVALUATION = under_heading(FLAGS, "Evaluation")

define_model_flags(FLAGS)
# fmt: off
flags.DEFINE_string("weights", None, "What to score: a run, an export, a .keras file, or a name "
                    "of weights that ship with the package.", **EVALUATION)
flags.DEFINE_string("server", None, "HOST:PORT or URL of TF Serving's REST API, to score it there.",
                    **EVALUATION)
flags.DEFINE_string("grpc", None, "HOST:PORT of TF Serving's gRPC API, for the same.",
                    **EVALUATION)
flags.DEFINE_enum("split", None, ("test", "validation", "train", "all"), "Split to score, as "
                  "`zoo train` divides the dataset, or all labelled examples. By default the test "
                  "split or, of another dataset without one, all.", **EVALUATION)
flags.DEFINE_string("out", None, "Folder for metrics.json, card.md and plots. By default "
                    "evaluations/<model>-<dataset>-<split>.", **EVALUATION)
flags.DEFINE_integer("seed", None, "Seed of the held-out rows, the folds and, with --kfold, the "
                     "training. By default the seed of the run, or else 0.", 0, 2**31 - 1,
                     **EVALUATION)
flags.DEFINE_integer("kfold", None, "Number of folds of the training split; each is scored once, "
                     "by a model that was trained on the others.", 2, **EVALUATION)
# fmt: on

_NO_DATA = "no dataset: choose one with --dataset, such as --dataset=mnist"
_BATCH_SIZE = 64  # where --batch_size is not given


def main() -> None:
    """Scores the model that the flags describe, or cross-validates its recipe."""
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    sources = [f"--{name}" for name in ("weights", "server", "grpc") if FLAGS[name].value]
    if FLAGS.kfold:
        if sources:
            raise UserError(
                f"{sources[0]} and --kfold: --kfold trains the model from scratch: omit one of them"
            )
        cross_validate(FLAGS)
        return
    if len(sources) != 1:
        raise UserError(
            f"{' and '.join(sources) or 'nothing to score'}: pass one of --weights, --server and "
            "--grpc (or --kfold)"
        )
    config = read_data_config(FLAGS, seed=FLAGS.seed or 0)
    if not FLAGS.weights and not FLAGS.model:
        raise UserError(f"{sources[0]}: choose a model of the server with --model=NAME")
    if not FLAGS.weights and not FLAGS.dataset:
        raise UserError(_NO_DATA)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its log repeats the error messages
    import_tensorflow()
    if FLAGS.weights:
        _evaluate_weights(config)
    else:
        _evaluate_server(config)


def format_help_text() -> str:
    """Returns the text of --help."""
    return format_help(__doc__, FLAGS)


def _evaluate_weights(config: "DataConfig") -> None:
    """Scores the model of --weights in this process."""
    from zoo.data.memory import report_unreadable_files
    from zoo.evaluation.compatibility import check_compatibility, describe_leak
    from zoo.evaluation.datasets import encode_split, read_scored_split, select_split
    from zoo.evaluation.macs import count_multiply_adds
    from zoo.evaluation.predictions import predict_split

    source = _open_weights()
    spec, record, model = source.spec, source.record, source.model
    if spec.is_text and source.tokenizer is None:
        raise UserError(
            f"weights={FLAGS.weights}: this model reads texts, but there is no tokenizer.json next "
            "to it: pass a run or an export instead"
        )
    config = _complete_config(config, source)
    own = config.name == record.get("dataset")
    data, split_name = read_scored_split(config, FLAGS.split, own)
    name = str(record.get("model", model.name))
    with report_unreadable_files(select_split(data, split_name)):
        budget = config.memory_budget
        data, split, raw = encode_split(data, split_name, spec, source.tokenizer, budget)
        print_notes(data.notes)
        check_compatibility(FLAGS.weights, spec, data, named="spec" in record)
        data = dataclasses.replace(
            data, spec=dataclasses.replace(data.spec, thresholds=spec.thresholds)
        )
        print_warning(describe_leak(record, data, split_name))
        data = _set_threshold(data)
        out = _make_folder(name, data, split_name)
        predictions = predict_split(model, split, data.spec, FLAGS.batch_size or _BATCH_SIZE)
        facts = {
            "weights": FLAGS.weights,
            "parameters": model.count_params(),
            "multiply_adds": count_multiply_adds(model, data.spec.shape),
        }
        _write_evaluation(name, data, split_name, predictions, raw, out, facts, record)


def _open_weights() -> "Source":
    """Loads the model of --weights.

    Raises:
        UserError: if there is no such model, or it is not the model of --model.
    """
    from zoo.exporting.loading import open_source

    weights = FLAGS.weights
    if not FLAGS.model and not Path(os.path.expanduser(weights)).exists():
        raise UserError(
            f"weights={weights}: there is no such run, export or .keras file; weights that ship "
            "with the package also need --model"
        )
    source = open_source(resolve_weights(FLAGS.model or "", weights))
    model = source.record.get("model", FLAGS.model)
    if FLAGS.model and model != FLAGS.model:
        raise UserError(
            f"weights={weights}: the model is {model!s:.50}, not {FLAGS.model}: omit --model"
        )
    return source


def _complete_config(config: "DataConfig", source: "Source") -> "DataConfig":
    """Returns the config with defaults from the source: dataset, columns, image size and seed."""
    from zoo.evaluation.datasets import adopt_data_settings

    config = adopt_data_settings(config, source.record, source.spec)
    if config.name is None:
        raise UserError(_NO_DATA)
    seed = source.record.get("seed") if FLAGS.seed is None else FLAGS.seed
    return dataclasses.replace(config, seed=seed if isinstance(seed, int) else 0)


def _evaluate_server(config: "DataConfig") -> None:
    """Scores the model of --model on the server of --server or --grpc."""
    from zoo.data.memory import report_unreadable_files
    from zoo.evaluation.compatibility import check_compatibility
    from zoo.evaluation.datasets import (
        adopt_data_settings,
        encode_split,
        read_scored_split,
        select_split,
    )
    from zoo.serving.client import Client
    from zoo.serving.remote_split import predict_split_remotely

    client = Client(FLAGS.model, server=FLAGS.server, grpc=FLAGS.grpc)
    spec = client.spec()
    config = adopt_data_settings(config, {}, spec)
    data, split_name = read_scored_split(config, FLAGS.split, own=True)
    split = select_split(data, split_name)
    address = FLAGS.server or FLAGS.grpc
    with report_unreadable_files(split):
        if spec.kind == data.spec.kind == "features":
            data, _, split = encode_split(data, split_name, spec, None, None)
            spec = dataclasses.replace(spec, shape=data.spec.shape if spec.columns else spec.shape)
        print_notes(data.notes)
        check_compatibility(f"{FLAGS.model} of {address}", spec, data, named=False)
        data = _set_threshold(data)
        out = _make_folder(FLAGS.model, data, split_name)
        predictions = predict_split_remotely(
            client, split, data.spec, FLAGS.batch_size or _BATCH_SIZE
        )
        if FLAGS.threshold:
            predictions = dataclasses.replace(predictions, classes=None)
        facts = {"server": address}
        _write_evaluation(FLAGS.model, data, split_name, predictions, split, out, facts, {})


def _set_threshold(data: "Data") -> "Data":
    """Returns the data with the threshold of --threshold, if there is one, in its spec.

    Raises:
        UserError: if it is to be chosen, or there are not two classes.
    """
    from zoo.evaluation.decision_threshold import set_threshold
    from zoo.training.recipe_checks import check_recipe

    if not FLAGS.threshold:
        return data
    check_recipe(Recipe(threshold=FLAGS.threshold), data.spec)
    if (threshold := parse_threshold(FLAGS.threshold)) is None:
        raise UserError(
            "--threshold=auto: only a training chooses a threshold, on its validation split: pass "
            "a number, such as --threshold=0.3"
        )
    return set_threshold(data, threshold)


def _make_folder(model: str, data: "Data", split_name: str) -> Path:
    """Creates the folder of --out, or the default one, and returns it."""
    from zoo.data.loading import dataset_slug

    default = f"evaluations/{model}-{dataset_slug(data.name)}-{split_name}"
    return make_output_folder(FLAGS.out or default)


def _write_evaluation(
    model: str,
    data: "Data",
    split_name: str,
    predictions: "Predictions",
    split: "Split",
    out: Path,
    facts: dict[str, Any],
    training_record: dict[str, Any],
) -> None:
    """Scores the predictions, and writes and prints the scores.

    `facts` are further entries of metrics.json. The split has texts as strings.
    """
    from zoo.evaluation.decision_threshold import format_threshold
    from zoo.evaluation.mistakes import score_and_plot
    from zoo.evaluation.model_card import write_card
    from zoo.evaluation.record import describe_machine, format_scores
    from zoo.evaluation.scores import format_score_table
    from zoo.storage.json_files import write_json

    evaluation = {
        "model": model,
        **facts,
        "dataset": data.name,
        "dataset_version": data.version,
        "split": split_name,
        "from": data.splits["test" if split_name == "all" else split_name],
        "notes": data.notes,
        "threshold": data.spec.threshold,
        "scores": score_and_plot(predictions, split, data.spec, split_name, out),
        **describe_machine(),
        "command": command_line(),
    }
    write_json(out / METRICS, evaluation)
    write_card(out, training_record, evaluation)
    print(f"{model} on {data.name}, {split_name} split ({evaluation['from']})")
    if data.spec.threshold is not None:
        print(format_threshold(data.spec.threshold, data.spec.class_names or ()))
    print(*format_score_table(evaluation["scores"]), sep="\n")
    print(format_scores(evaluation["scores"], split_name))
    print(f"evaluation: {out}  (card.md, metrics.json, ...)")
