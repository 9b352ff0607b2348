"""Scores any model on any dataset, or cross-validates a recipe.

zoo evaluate --model=cnn --weights=mnist --dataset=mnist      weights that ship with the package
zoo evaluate --weights=runs/lstm-imdb_reviews                 a run, on its own dataset
zoo evaluate --weights=saved_models/cnn/2 --dataset=mnist --split=validation
zoo evaluate --model=cnn --server=localhost:8501 --dataset=mnist
zoo evaluate --preset=my_classifier --dataset=csv:reviews.csv --text=review --label=stars
zoo evaluate --model=mlp --dataset=csv:flowers.csv --label=species --kfold=5

--weights takes a run, an export, a .keras file, or with --model the name of weights that ship with
the package; --preset a pretrained model with its own head, which is scored as it is. Your own files
are split as in training if --label, --text, --holdout and --seed are the same. --kfold trains the
model from scratch for each fold, with the same flags as `zoo train`, --recipe and --flagfile
included.
"""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from zoo.commands.evaluate_kfold import cross_validate
from zoo.commands.flags import (
    PRESETS,
    define_model_flags,
    read_data_config,
    read_recipe_settings,
    under_heading,
)
from zoo.commands.runner import command_line, import_tensorflow, print_notes, print_warning
from zoo.commands.scored_weights import (
    NO_DATA,
    check_long_texts,
    complete_config,
    fit_preset_to_data,
    open_scored_preset,
    open_scored_weights,
)
from zoo.errors import UserError
from zoo.recipe import Recipe, parse_threshold
from zoo.registry import load_plugin
from zoo.storage.atomic import make_output_folder
from zoo.storage.filenames import METRICS

if TYPE_CHECKING:
    from zoo.data.config import DataConfig
    from zoo.data.splits import Data, Split
    from zoo.evaluation.predictions import Predictions

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
flags.DEFINE_string("slices", None, "Column by whose values the scores are divided, to find groups "
                    "that are predicted worse. It need not be an input.", **EVALUATION)
flags.DEFINE_integer("kfold", None, "Number of folds of the training split; each is scored once, "
                     "by a model that was trained on the others.", 2, **EVALUATION)
# fmt: on

_SHOWN_FLAGS = 3
_BATCH_SIZE = 64  # where --batch_size is not given


def main() -> None:
    """Scores the model that the flags describe, or cross-validates its recipe."""
    if FLAGS.plugin:
        load_plugin(FLAGS.plugin)
    sources = [f"--{name}" for name in ("weights", "server", "grpc") if FLAGS[name].value]
    if FLAGS.preset and not FLAGS.kfold:
        sources.append("--preset")
    if FLAGS.kfold:
        if sources:
            raise UserError(
                f"{sources[0]} and --kfold: --kfold trains the model from scratch: omit one of them"
            )
        if FLAGS.slices:
            raise UserError(
                f"--slices={FLAGS.slices} and --kfold: the scores of folds are not divided: omit "
                "one of them"
            )
        cross_validate(FLAGS)
        return
    if len(sources) != 1:
        raise UserError(
            f"{' and '.join(sources) or 'nothing to score'}: pass one of --weights, --preset, "
            "--server and --grpc (or --kfold)"
        )
    config = read_data_config(FLAGS, seed=FLAGS.seed or 0)
    config = dataclasses.replace(config, slices=FLAGS.slices)
    check_long_texts(FLAGS)
    is_local = bool(FLAGS.weights or FLAGS.preset)
    if not is_local and not FLAGS.model:
        raise UserError(f"{sources[0]}: choose a model of the server with --model=NAME")
    if not FLAGS.weights and not FLAGS.dataset:
        raise UserError(NO_DATA)
    print_warning(describe_unused_flags(FLAGS))
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its log repeats the error messages
    import_tensorflow()
    if is_local:
        _evaluate_weights(config)
    else:
        _evaluate_server(config)


def describe_unused_flags(values: flags.FlagValues) -> str:
    """Returns a note on flags of a training, which a model that is trained already does without."""
    settings = read_recipe_settings(values).keys() - {"batch_size", "threshold"}
    others = ("hparam",) if values.preset and not values.weights else ("hparam", *PRESETS)
    names = [*sorted(settings), *(name for name in others if values[name].value)]
    if not names:
        return ""
    shown = ", ".join(f"--{name}" for name in names[:_SHOWN_FLAGS])
    more = f" and {len(names) - _SHOWN_FLAGS} more" if names[_SHOWN_FLAGS:] else ""
    return f"not used: {shown}{more}: the model is scored as it is; only --kfold trains"


def _evaluate_weights(config: "DataConfig") -> None:
    """Scores the model of --weights or --preset in this process."""
    from zoo.data.memory import report_unreadable_files
    from zoo.evaluation.compatibility import check_compatibility, describe_leak
    from zoo.evaluation.datasets import encode_split, read_scored_split, select_split
    from zoo.evaluation.macs import count_multiply_adds
    from zoo.evaluation.predictions import predict_split
    from zoo.explaining.mistakes import explain_mistakes

    given = FLAGS.weights or FLAGS.preset
    if FLAGS.weights:
        source = open_scored_weights(given, FLAGS.model)
    else:
        source = open_scored_preset(
            given, FLAGS.preset_weights or "", FLAGS.model, FLAGS.long_texts
        )
        print_notes(source.record["notes"])
    spec, record, model = source.spec, source.record, source.model
    config = complete_config(config, source, FLAGS.seed)
    own = config.name == record.get("dataset")
    data, split_name = read_scored_split(config, FLAGS.split, own)
    name = str(record.get("model", model.name))
    with report_unreadable_files(select_split(data, split_name)):
        budget = config.memory_budget
        data, split, raw = encode_split(data, split_name, spec, source.tokenizer, budget)
        has_names = record.get("has_class_names", "spec" in record)
        if not FLAGS.weights:
            spec, data = fit_preset_to_data(given, spec, data, has_names)
        print_notes(data.notes)
        check_compatibility(given, spec, data, named=has_names)
        data = dataclasses.replace(
            data, spec=dataclasses.replace(data.spec, thresholds=spec.thresholds)
        )
        print_warning(describe_leak(record, data, split_name))
        data = _set_threshold(data)
        out = _make_folder(name, data, split_name)
        predictions = predict_split(model, split, data.spec, FLAGS.batch_size or _BATCH_SIZE)
        facts = {
            "weights": given,
            "parameters": model.count_params(),
            "multiply_adds": count_multiply_adds(model, data.spec.shape),
        }
        print_warning(explain_mistakes(model, predictions, raw, data.spec, out))
        _write_evaluation(name, data, split_name, predictions, raw, out, facts, record)


def _evaluate_server(config: "DataConfig") -> None:
    """Scores the model of --model on the server of --server or --grpc."""
    from zoo.data.memory import report_unreadable_files
    from zoo.evaluation.compatibility import check_compatibility
    from zoo.evaluation.datasets import (
        adopt_data_settings,
        make_client_split,
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
            data, split = make_client_split(data, split_name, spec)
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
    from zoo.evaluation.datasets import select_split
    from zoo.evaluation.decision_threshold import format_threshold
    from zoo.evaluation.model_card import write_card
    from zoo.evaluation.record import describe_machine, format_scores
    from zoo.evaluation.scores import format_score_table
    from zoo.evaluation.scoring import score_and_plot
    from zoo.evaluation.slices import format_slices, score_slices
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
    groups = select_split(data, split_name).slices
    if FLAGS.slices and groups is not None:
        evaluation["slices"] = score_slices(predictions, groups, data.spec, FLAGS.slices)
    write_json(out / METRICS, evaluation)
    write_card(out, training_record, evaluation)
    print(f"{model} on {data.name}, {split_name} split ({evaluation['from']})")
    if data.spec.threshold is not None:
        print(format_threshold(data.spec.threshold, data.spec.class_names or ()))
    for line in format_score_table(evaluation["scores"]):  # none of a regression
        print(line)
    if "slices" in evaluation:
        print(*format_slices(evaluation["slices"]), sep="\n")
    print(format_scores(evaluation["scores"], split_name))
    print(f"evaluation: {out}  (card.md, metrics.json, ...)")
