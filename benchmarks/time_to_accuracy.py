"""Seconds of training to a test accuracy: a recipe of the zoo, and the plain script.

    python -m benchmarks.time_to_accuracy --model=cnn -- --epochs=2
    python -m benchmarks.time_to_accuracy --model=transformer -- --epochs=1

- zoo: `python train.py --model=... --dataset=...` with the flags after `--`; its schedule ends with
  its last epoch, so the epochs have to be those that suffice;
- keras: the plain script, scored after each epoch until it is as good. For `cnn` the zoo's layers
  and arrays into `fit`, Adam, batch 64; for `transformer` the layers and settings of keras.io's
  'Text classification with Transformer'.

The seconds are those of training alone, validation and scoring left out, with both on all cores of
an otherwise idle machine, one after the other.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import import_tensorflow, run_command
from zoo.errors import UserError
from zoo.registry import find_entry

FLAGS = flags.FlagValues()
WORDS = "FLAG..."
BENCHMARK = under_heading(FLAGS, "Benchmark")
flags.DEFINE_string("model", "cnn", "Of cnn, transformer.", **BENCHMARK)
flags.DEFINE_integer("most_epochs", 20, "Of the plain script.", 1, **BENCHMARK)
TARGETS = {"cnn": 0.99, "transformer": 0.86}
DATASETS = {"cnn": "mnist", "transformer": "imdb_reviews"}


def zoo_run(name: str, arguments: list[str]) -> tuple[float, float]:
    """Seconds and test accuracy of a run of train.py."""
    with tempfile.TemporaryDirectory() as folder:
        places = [f"--run_dir={folder}/run", f"--export_dir={folder}/models"]
        command = [sys.executable, "train.py", f"--model={name}", f"--dataset={DATASETS[name]}"]
        subprocess.run([*command, *places, *arguments], check=True, stdout=sys.stderr)
        record = json.loads(Path(folder, "run", "metrics.json").read_text())
    rate = record["examples_per_second"]
    return record["splits"]["train"]["examples"] * record["epochs"] / rate, record["test"][
        "accuracy"
    ]


def plain(name: str, most_epochs: int):
    """Yields seconds and test accuracy after each epoch of the plain script."""
    import keras

    from zoo.data.config import DataConfig
    from zoo.data.loading import load_data
    from zoo.training.building import build_model

    data = load_data(DataConfig(DATASETS[name], length=None if name == "cnn" else 200))
    keras.utils.set_random_seed(0)
    if name == "cnn":
        model, batch_size = build_model(find_entry(name), data.spec, {}), 64
    else:
        model, batch_size = keras_io(len(data.spec.tokenizer.vocabulary), 200), 32
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    seconds = 0.0
    for _ in range(most_epochs):
        started = time.perf_counter()
        model.fit(data.train.x, data.train.y, batch_size=batch_size, verbose=0)
        seconds += time.perf_counter() - started
        yield seconds, model.evaluate(data.test.x, data.test.y, batch_size=256, verbose=0)[1]


def keras_io(words: int, length: int):
    """keras.io's model: one block of width 32 with 2 heads, and a dense layer of 20."""
    import keras
    import keras_hub
    from keras import layers

    tokens = keras.Input((length,), dtype="int32")
    x = layers.Embedding(words, 32)(tokens)
    x = x + keras_hub.layers.PositionEmbedding(length)(x)
    read = layers.Dropout(0.1)(layers.MultiHeadAttention(2, 32)(x, x))
    x = layers.LayerNormalization(epsilon=1e-6)(x + read)
    y = layers.Dropout(0.1)(layers.Dense(32)(layers.Dense(32, activation="relu")(x)))
    x = layers.LayerNormalization(epsilon=1e-6)(x + y)
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(x))
    x = layers.Dropout(0.1)(layers.Dense(20, activation="relu")(x))
    return keras.Model(tokens, layers.Dense(2)(x))


def main(*arguments: str) -> None:
    """Trains both and prints what each took."""
    if FLAGS.model not in TARGETS:
        raise UserError(f"--model={FLAGS.model}: expected one of {', '.join(TARGETS)}")
    target = TARGETS[FLAGS.model]
    ours, accuracy = zoo_run(FLAGS.model, list(arguments))
    print(f"zoo: {ours:.1f} s, test accuracy {accuracy:.2%}", flush=True)
    import_tensorflow()
    for epoch, (theirs, reached) in enumerate(plain(FLAGS.model, FLAGS.most_epochs), 1):
        print(f"keras: epoch {epoch}, {theirs:.1f} s, test accuracy {reached:.2%}", flush=True)
        if reached >= target:
            break
    if accuracy < target or reached < target:
        print(f"{target:.0%} was not reached by both")
    else:
        print(f"to {target:.0%}: zoo / keras {ours / theirs:.2f}")


if __name__ == "__main__":
    run_command(sys.modules[__name__], sys.argv[1:])
