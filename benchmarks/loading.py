"""Seconds and memory of reading data, next to the plain way to read the same files, in turns.

python -m benchmarks.loading [--parts=csv,mixed,cached,parquet,photos,words,wordpiece] [--rounds=3]

Each reader has a process of its own in each round, which has the libraries imported, and reads
files that the system has in memory. `csv` is a table of numbers, `mixed` one with categories and
texts, and `parquet` the numbers again, next to pandas with the engine pyarrow and to pyarrow.
`cached` is the second table again, from the files of --cache_dir.
`photos` is a folder of JPEG files that is read once, next to plain tf.data. `words` learns and
applies a vocabulary of words, next to keras.layers.TextVectorization. `wordpiece` cuts texts into
pieces of a vocabulary that is there, next to Hugging Face's tokenizers.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.forks import run_in_fork
from zoo.commands.runner import import_tensorflow

COLUMNS, VOCABULARY, LENGTH, SIZE = 20, 20_000, 256, (224, 224)


def write_numbers(folder: Path, rows: int) -> None:
    """Writes a table of numbers as CSV and as Parquet."""
    import pandas as pd

    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(rows, COLUMNS)).astype("float32"))
    frame.columns = [f"x{i}" for i in range(COLUMNS)]
    frame["label"] = np.where(frame.x0 > 0, "yes", "no")
    frame.to_csv(folder / "numbers.csv", index=False)
    frame.to_parquet(folder / "numbers.parquet")


def write_mixed(folder: Path, rows: int) -> None:
    """Writes a CSV file of five columns of numbers, three of categories, and one of texts."""
    import pandas as pd

    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(rows, 5)).round(3), columns=[*"abcde"])
    for name, count in (("city", 50), ("kind", 4), ("shop", 500)):
        frame[name] = np.char.add(name, random.integers(0, count, rows).astype(str))
    words = np.array([f"word{i}" for i in range(5_000)])
    frame["note"] = [" ".join(row) for row in words[random.integers(0, 5_000, (rows, 12))]]
    frame["label"] = np.where(frame.a > 0, "yes", "no")
    frame.to_csv(folder / "mixed.csv", index=False)


def write_photos(folder: Path, count: int) -> None:
    """Writes JPEG files of 320 x 240 pixels in two classes."""
    from PIL import Image

    random = np.random.default_rng(0)
    for i in range(count):
        coarse = random.integers(0, 256, (15, 20, 3), "uint8")
        path = folder / "photos" / ("cat" if i % 2 else "dog") / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(path, quality=90)


def write_texts(folder: Path, count: int) -> None:
    """Writes a JSONL file of texts of 50 to 400 words whose frequencies follow Zipf's law."""
    import pandas as pd

    random = np.random.default_rng(0)
    letters = np.array([*"etaoinshrdlucmfwygpbvk"])
    words = np.array(["".join(random.choice(letters, 2 + i % 9)) for i in range(60_000)])
    ranks = np.minimum(random.zipf(1.2, size=(count, 400)) - 1, len(words) - 1)
    lengths = random.integers(50, 400, count)
    texts = [" ".join(words[row[:n]]) for row, n in zip(ranks, lengths, strict=True)]
    frame = pd.DataFrame({"text": texts, "label": ["good" if n > 200 else "bad" for n in lengths]})
    frame.to_json(folder / "texts.jsonl", orient="records", lines=True)


def read_by_zoo(name: str, **settings) -> None:
    """Reads a dataset to the arrays that a training takes."""
    from zoo.data.config import DataConfig
    from zoo.data.loading import load_data

    load_data(DataConfig(name, **settings))


def read_from_cache(name: str, folder: Path) -> None:
    """Reads a dataset as a second training with --cache_dir does; the first call fills it."""
    from zoo.data.config import DataConfig
    from zoo.data.data_cache import load_cached_data

    load_cached_data(DataConfig(name, label="label"), str(folder))


def stream_by_zoo(name: str) -> None:
    """Decodes each photograph of a folder once, in batches, as an epoch of a stream does."""
    from zoo.data.batching import make_evaluation_batches
    from zoo.data.config import DataConfig
    from zoo.data.loading import load_data

    data = load_data(DataConfig(name, image_size=SIZE, memory_budget=1))
    for split in (data.train, data.validation, data.test):
        for _ in make_evaluation_batches(split, data.spec, batch_size=32):
            pass


def read_by_pandas(path: Path) -> None:
    """Reads a CSV file with the engine pyarrow, and its columns of numbers as one array."""
    import pandas as pd

    pd.read_csv(path, engine="pyarrow").select_dtypes("number").to_numpy("float32")


def read_by_pyarrow(path: Path) -> None:
    """Reads a Parquet file, and its columns of numbers as one array."""
    from pyarrow import parquet

    parquet.read_table(path).to_pandas().select_dtypes("number").to_numpy("float32")


def decode_by_tf_data(folder: Path) -> None:
    """Decodes and resizes each photograph of a folder once, in batches, on all cores."""
    import tensorflow as tf

    def decode(path):
        pixels = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        # with antialiasing, as the zoo and Pillow do
        return tf.cast(tf.round(tf.image.resize(pixels, SIZE, antialias=True)), tf.uint8)

    paths = [str(path) for path in sorted(folder.rglob("*.jpg"))]
    dataset = tf.data.Dataset.from_tensor_slices(paths).map(decode, tf.data.AUTOTUNE)
    for _ in dataset.batch(32).prefetch(tf.data.AUTOTUNE):
        pass


def tokenize_by_keras(path: Path) -> None:
    """Learns a vocabulary of words with TextVectorization, and looks all texts up in it."""
    import keras
    import pandas as pd

    texts = pd.read_json(path, lines=True)["text"].to_numpy()
    layer = keras.layers.TextVectorization(VOCABULARY, output_sequence_length=LENGTH)
    layer.adapt(texts, batch_size=1024)
    for start in range(0, len(texts), 1024):
        layer(texts[start : start + 1024])


def learn_pieces(folder: Path) -> None:
    """Learns word pieces with Hugging Face's tokenizers, for both to cut the texts into."""
    import pandas as pd
    import tokenizers

    texts = pd.read_json(folder / "texts.jsonl", lines=True)["text"].tolist()
    tokenizer = tokenizers.BertWordPieceTokenizer()
    tokenizer.train_from_iterator(texts, vocab_size=VOCABULARY, show_progress=False)
    tokenizer.save_model(str(folder))


def cut_by_zoo(folder: Path) -> np.ndarray:
    """Cuts all texts into word pieces: int32 ids of shape (texts, LENGTH)."""
    import pandas as pd

    from zoo.data.spec import Spec, Tokenizer
    from zoo.data.splits import Arrays
    from zoo.data.texts.batch_encoding import tokenize_splits

    texts = pd.read_json(folder / "texts.jsonl", lines=True)["text"].to_numpy(object)
    vocabulary = tuple((folder / "vocab.txt").read_text().splitlines())
    tokenizer = Tokenizer("wordpiece", vocabulary, LENGTH, normalization="bert")
    split = Arrays(texts, np.zeros(len(texts)))
    splits, _ = tokenize_splits({"train": split}, Spec("text", (LENGTH,), ("x",)), tokenizer)
    cut = splits["train"]
    assert isinstance(cut, Arrays)
    return cut.x


def cut_by_hugging_face(folder: Path) -> np.ndarray:
    """The same with Hugging Face's tokenizers, on all cores."""
    import pandas as pd
    import tokenizers

    texts = pd.read_json(folder / "texts.jsonl", lines=True)["text"].tolist()
    tokenizer = tokenizers.BertWordPieceTokenizer(str(folder / "vocab.txt"))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    return np.array([row.ids for row in tokenizer.encode_batch(texts)], np.int32)


def compare_pieces(folder: Path) -> None:
    """Prints whether both give the same ids."""
    equal = np.array_equal(cut_by_zoo(folder), cut_by_hugging_face(folder))
    print(f"the ids of the word pieces are {'equal' if equal else 'not equal'}", flush=True)


def list_contenders(folder: Path) -> dict[str, tuple[Callable[[], object], ...]]:
    """Returns the zoo's reader and the plain one of each part."""
    words = {"tokenizer": "words", "vocabulary_size": VOCABULARY, "length": LENGTH}
    return {
        "csv": (
            lambda: read_by_zoo(f"csv:{folder}/numbers.csv", label="label"),
            lambda: read_by_pandas(folder / "numbers.csv"),
        ),
        "mixed": (
            lambda: read_by_zoo(f"csv:{folder}/mixed.csv", label="label"),
            lambda: read_by_pandas(folder / "mixed.csv"),
        ),
        "cached": (
            lambda: read_from_cache(f"csv:{folder}/mixed.csv", folder / "cache"),
            lambda: read_by_pandas(folder / "mixed.csv"),
        ),
        "parquet": (
            lambda: read_by_zoo(f"parquet:{folder}/numbers.parquet", label="label"),
            lambda: read_by_pyarrow(folder / "numbers.parquet"),
        ),
        "photos": (
            lambda: read_by_zoo(f"folder:{folder}/photos", image_size=SIZE),
            lambda: decode_by_tf_data(folder / "photos"),
        ),
        "streamed": (
            lambda: stream_by_zoo(f"folder:{folder}/photos"),
            lambda: decode_by_tf_data(folder / "photos"),
        ),
        "words": (
            lambda: read_by_zoo(
                f"jsonl:{folder}/texts.jsonl", label="label", text=("text",), **words
            ),
            lambda: tokenize_by_keras(folder / "texts.jsonl"),
        ),
        "wordpiece": (
            lambda: cut_by_zoo(folder),
            lambda: cut_by_hugging_face(folder),
        ),
    }


def measure_call(call: Callable[[], object]) -> tuple[float, float]:
    """Runs a function in a fork: (seconds, MiB of memory above those at its start)."""

    def run() -> tuple[float, float]:
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        call()
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return seconds, (peak - before) / 1024

    return run_in_fork(run, "a reader")


def main() -> None:
    """Prints a row for each part: medians, and the median ratio within a round."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--parts", default="csv,mixed,cached,parquet,photos,streamed,words,wordpiece"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=300_000, help="of tables")
    parser.add_argument("--photos", type=int, default=2_000)
    parser.add_argument("--texts", type=int, default=50_000)
    options = parser.parse_args()
    parts = options.parts.split(",")
    import_tensorflow()
    import zoo.data.loading  # noqa: F401, what it imports is there for both, as pandas is

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_numbers(folder, options.rows)
        write_mixed(folder, options.rows)
        write_photos(folder, options.photos)
        write_texts(folder, options.texts)
        if "wordpiece" in parts:
            learn_pieces(folder)
            measure_call(lambda: compare_pieces(folder))
        print("| part | zoo, s | MiB | plain, s | MiB | times the plain way's seconds |")
        print("|---" * 6 + "|")
        for part, pair in list_contenders(folder).items():
            if part not in parts:
                continue
            if part == "cached":
                measure_call(pair[0])
            rounds = [[measure_call(call) for call in pair] for _ in range(options.rounds)]
            cells = [
                f"{statistics.median(round[i][kind] for round in rounds):.{2 - 2 * kind}f}"
                for i in (0, 1)
                for kind in (0, 1)
            ]
            ratios = [ours[0] / plain[0] for ours, plain in rounds]
            cells.append(
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )
            print(f"| {part} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
