"""Scores any model on any data set, cross-validates a recipe, and compares runs.

python -m zoo.evaluate --model=cnn --weights=mnist --dataset=mnist      shipped weights, by name
python -m zoo.evaluate --weights=runs/lstm-imdb_reviews                 a run, on its own data set
python -m zoo.evaluate --weights=saved_models/cnn/2 --dataset=mnist --split=validation
python -m zoo.evaluate --model=cnn --server=localhost:8501 --dataset=mnist
python -m zoo.evaluate --model=mlp --dataset=csv:flowers.csv --label=species --kfold=5
python -m zoo.evaluate --results=results runs/*

--weights is a run, an export, a .keras file, or the name of weights that come with the package.
Data of your own are divided as in the training if --label, --text and --holdout are the same. With
--kfold the model is trained anew, and the flags of a recipe are those of train.py, among them
--flagfile=configs/... --results takes folders of runs and writes results.csv and results.png.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from absl import flags

from zoo import cli, options, run_folder
from zoo.errors import UserError

if TYPE_CHECKING:
    import keras

    from zoo.data.spec import Data, Split
    from zoo.report import Predictions

FLAGS = flags.FLAGS
EVALUATION = "Evaluation"
GROUPS = *options.GROUPS, EVALUATION

_NO_DATA = "no data set: name one with --dataset, such as --dataset=mnist"
_BATCH = 64  # examples, where --batch_size does not tell


def main(*runs: str) -> None:
    """From flags to the scores."""
    if runs and not FLAGS.results:
        raise UserError(f"{runs[0]!r}: expected only flags; runs are compared with --results=DIR")
    options.plugin()
    if FLAGS.results:
        from zoo import results

        results.write([Path(os.path.expanduser(run)) for run in runs], _folder(FLAGS.results))
    elif FLAGS.kfold:
        _cross_validate()
    else:
        _evaluate()


def help_text() -> str:
    """What --help prints."""
    return cli.help_text(__doc__, GROUPS)


def define_flags() -> None:
    """The flags of the command."""
    options.define()
    # fmt: off
    cli.flag(EVALUATION, "weights", str, None, "What is scored: a run, an export, a .keras file, "
             "or a name.")
    cli.flag(EVALUATION, "server", str, None, "HOST:PORT of TF Serving's REST API, to score the "
             "model there.")
    cli.flag(EVALUATION, "grpc", str, None, "HOST:PORT of its gRPC API, for the same.")
    cli.flag(EVALUATION, "split", Literal["test", "validation", "train"], "test", "Split of the "
             "data set, as train.py divides it.")
    cli.flag(EVALUATION, "out", str, None, "Folder for metrics.json, card.md and drawings. By "
             "default evaluations/<model>-<dataset>-<split>.")
    cli.flag(EVALUATION, "seed", int, None, "Makes held-out rows, folds and, with --kfold, the "
             "training. By default that of the run, or else 0.", 0, 2**31 - 1)
    cli.flag(EVALUATION, "kfold", int, None, "Parts of the training split; each is scored once by "
             "a model that is trained on the others.", 2)
    cli.flag(EVALUATION, "results", str, None, "Folder for the table and the drawing of runs.")
    # fmt: on


def _evaluate() -> None:
    given = [f"--{name}" for name in ("weights", "server", "grpc") if FLAGS[name].value]
    if len(given) != 1:
        raise UserError(
            f"{' and '.join(given) or 'nothing to score'}: name one of --weights, --server and "
            "--grpc (or --kfold, or --results)"
        )
    image_size = cli.image_size(FLAGS.image_size)
    if not FLAGS.weights:
        if not FLAGS.model:
            raise UserError(f"{given[0]}: name the model there with --model, such as --model=cnn")
        if not FLAGS.dataset:
            raise UserError(_NO_DATA)
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it logs what the error says in one line
    cli.import_tensorflow()
    if FLAGS.weights:
        _evaluate_weights(image_size)
    else:
        _evaluate_server(image_size)


def _evaluate_weights(image_size: tuple[int, int] | None) -> None:
    from zoo import data as datasets
    from zoo import evaluation, macs, report, saved_model
    from zoo.data import text

    path, model, record = _loaded()
    spec = evaluation.spec_of(model, record, FLAGS.weights)
    tokenizer = saved_model.tokenizer(path)
    if spec.is_text and tokenizer is None:
        raise UserError(
            f"weights={FLAGS.weights}: there is no tokenizer.json beside this model of texts: name "
            "a run or an export"
        )
    name = FLAGS.dataset or record.get("dataset")
    if not isinstance(name, str):
        raise UserError(_NO_DATA)
    if spec.kind == "image":
        image_size = image_size or spec.shape[:2]
    seed = record.get("seed") if FLAGS.seed is None else FLAGS.seed
    data = options.read(name, name, image_size, seed if isinstance(seed, int) else 0)
    evaluation.check_agreement(FLAGS.weights, spec, data, named="spec" in record)
    cli.warn(evaluation.leak(record, data, FLAGS.split))
    called = str(record.get("model", model.name))
    out, raw = _out(called, data), getattr(data, FLAGS.split)
    with datasets.naming_unreadable(data.spec, raw):
        split, spec = {"": raw}, data.spec
        if tokenizer:
            split, spec = text.tokenized(split, spec, tokenizer)
        budget = options.budget()
        split = datasets.held(split, spec, datasets.memory_budget() if budget is None else budget)
        found = report.predictions(model, split[""], spec, FLAGS.batch_size or _BATCH)
        about = {
            "weights": FLAGS.weights,
            "parameters": model.count_params(),
            "multiply_adds": macs.multiply_adds(model, spec.shape),
        }
        shown = raw if spec.is_text else split[""]
        _finish(called, data, found, shown, out, about, record)


def _evaluate_server(image_size: tuple[int, int] | None) -> None:
    from zoo import data as datasets
    from zoo import evaluation
    from zoo.data.spec import Spec
    from zoo.serving import Client

    client = Client(FLAGS.model, server=FLAGS.server, grpc=FLAGS.grpc)
    spec = Spec(**client.spec())
    if spec.kind == "image":
        image_size = image_size or spec.shape[:2]
    data = options.read(FLAGS.dataset, FLAGS.dataset, image_size, FLAGS.seed or 0)
    address = FLAGS.server or FLAGS.grpc
    evaluation.check_agreement(f"{FLAGS.model} of {address}", spec, data, named=False)
    out, split = _out(FLAGS.model, data), getattr(data, FLAGS.split)
    with datasets.naming_unreadable(data.spec, split):
        found = evaluation.ask(client, split, data.spec, FLAGS.batch_size or _BATCH)
        _finish(FLAGS.model, data, found, split, out, {"server": address}, {})


def _cross_validate() -> None:
    for name in ("weights", "server", "grpc"):
        if FLAGS[name].value:
            raise UserError(f"--{name} and --kfold: --kfold trains anew; leave one of them out")
    if FLAGS.model is None:
        raise UserError("no model: name one with --model, such as --model=cnn")
    entry, hparams, recipe = options.model()
    image_size = cli.image_size(FLAGS.image_size)
    cli.import_tensorflow()
    from zoo import crossvalidation, training
    from zoo import data as datasets

    seed = FLAGS.seed or 0
    data = options.read(FLAGS.dataset, entry.dataset, image_size, seed)
    cli.warn(data.note)
    training.check(recipe, data.spec)
    out = _folder(FLAGS.out or f"evaluations/{entry.name}-{datasets.name_of(data.name)}-kfold")
    tokenizer = FLAGS.tokenizer or entry.tokenizer
    crossvalidation.run(
        entry,
        hparams,
        recipe,
        data,
        prepare=lambda fold: options.prepare(fold, tokenizer, hparams.get("preset", "")),
        count=FLAGS.kfold,
        seed=seed,
        named=set(cli.given_settings()),
        directory=out,
    )


def _loaded() -> "tuple[Path, keras.Model, dict[str, Any]]":
    """The path of what --weights names, the model, and what is known of it."""
    from zoo import pretrained, saved_model

    named = FLAGS.weights
    if not FLAGS.model and not Path(os.path.expanduser(named)).exists():
        raise UserError(
            f"weights={named}: there is no such run, export or .keras file; for weights that come "
            "with the package name the model too, with --model"
        )
    path = pretrained.resolve(FLAGS.model or "", named)
    model, record = saved_model.load(path), saved_model.record(path)
    theirs = record.get("model", FLAGS.model)
    if FLAGS.model and theirs != FLAGS.model:
        raise UserError(f"weights={named}: a {theirs!s:.50}, not a {FLAGS.model}: "
                        "leave --model out")  # fmt: skip
    return path, model, record


def _out(model: str, data: "Data") -> Path:
    from zoo import data as datasets

    default = f"evaluations/{model}-{datasets.name_of(data.name)}-{FLAGS.split}"
    return _folder(FLAGS.out or default)


def _folder(name: str) -> Path:
    """A folder to write to, made if it is not there.

    Raises:
        UserError: if it cannot be written, or holds a run, whose files have the same names.
    """
    folder = Path(os.path.expanduser(name))
    run_folder.check_writable(folder)
    if (folder / run_folder.FLAGS).exists():
        raise UserError(f"{folder}: the folder holds a run: name another one")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _finish(
    model: str,
    data: "Data",
    found: "Predictions",
    split: "Split",
    out: Path,
    about: dict[str, Any],
    trained: dict[str, Any],
) -> None:
    """Writes and prints what the predictions come to."""
    from zoo import card, report, scores

    evaluation = {
        "model": model,
        **about,
        "dataset": data.name,
        "dataset_version": data.version,
        "split": FLAGS.split,
        "from": data.splits[FLAGS.split],
        "scores": report.assess(found, split, data.spec, FLAGS.split, out),
        **report.machine(),
        "command": cli.command(),
    }
    report.write_json(out / run_folder.METRICS, evaluation)
    card.write(out, trained, evaluation)
    print(f"{model} on {data.name}, {FLAGS.split} split ({evaluation['from']})")
    print(*scores.table(evaluation["scores"]), sep="\n")
    print(report.summary(evaluation["scores"], FLAGS.split))
    print(f"evaluation: {out}  (card.md, metrics.json, ...)")


if __name__ == "__main__":
    define_flags()
    cli.run(main, help_text, "RUN...")
