"""Trains every case of tests/distribution/test_strategy.py under one strategy, in its own process.

python distribution_cases.py STRATEGY FOLDER leaves FOLDER/STRATEGY/<case>-<worker>.npz with the
losses of each epoch and the final weights, and FOLDER/STRATEGY/<case>/1, the chief's export.
"""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

import zoo
from zoo import models  # noqa: F401, registers the built-in models
from zoo.data.spec import Spec, Tokenizer
from zoo.data.splits import Arrays, Data, Stream
from zoo.distribution.keras_patches import spans_workers
from zoo.distribution.strategy import (
    adapt_recipe_to_strategy,
    choose_strategy,
    is_chief,
    wait_for_all,
)
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training.building import prepare_model
from zoo.training.loop import fit_model

CASES = {
    "mlp": ("mlp", {"hidden": (16,), "dropout": 0.0}, {}),
    "cnn": (
        "cnn",
        {"filters": (4, 4), "dense": 8, "dropout": 0.0},
        {"augment": "shift=0.1,flip,cutout=3"},
    ),
    "lstm": ("lstm", {"width": 6, "embedding": 8, "dropout": 0.0}, {"optimizer": "adamw"}),
    "transformer": (
        "transformer",
        {"width": 8, "heads": 2, "feed_forward": 8, "dropout": 0.0},
        {"l2": 0.001, "optimizer": "rmsprop"},
    ),
    # what else makes its own way through the parts of a batch
    "stream": (
        "cnn",
        {"filters": (4, 4), "dense": 8, "dropout": 0.0},
        {"augment": "shift=0.1,mixup=0.2"},
    ),
    "regression": ("perceptron", {}, {"optimizer": "sgd"}),
    "settings": (
        "mlp",
        {"hidden": (16,), "dropout": 0.0},
        {"class_weights": "balanced", "layer_decay": 0.5, "optimizer": "muon", "ema": 0.9},
    ),
    "float16": ("mlp", {"hidden": (16,), "dropout": 0.0}, {"precision": "mixed_float16"}),
}
TABLE = ("mlp", "cnn", "lstm", "transformer")
MIRRORED, WORKERS = (*TABLE, "float16"), (*TABLE, "stream", "settings")
ACCUMULATED = ("cnn", "transformer", "regression")
# no batch can be halved, and the last ones have one example for two parts
TRAIN, VALIDATION, TEST, BATCH = 76, 16, 9, 15


def data(case: str) -> Data:
    """Small and random, and yet with something to learn."""
    random = np.random.default_rng(0)
    y = random.integers(0, 3, TRAIN + VALIDATION + TEST)
    if case in ("lstm", "transformer"):
        words = ("", "[UNK]", "[SEP]", *"abcdefgh")
        spec = Spec("text", (24,), tuple("xyz"), tokenizer=Tokenizer("words", words, 24))
        x = random.integers(1, 8, (len(y), 24)) * (
            np.arange(24) < random.integers(4, 24, len(y))[:, None]
        )
        x = np.where(x == 7, y[:, None] + 7, x).astype("int32")
    elif case in ("cnn", "stream"):
        spec = Spec("image", (12, 12, 1), tuple("xyz"))
        x = random.integers(0, 99, (len(y), 12, 12, 1)) + (y * 70)[:, None, None, None]
        x = x.astype("uint8")
    else:
        regression = case == "regression"
        spec = Spec("features", (5,), None if regression else tuple("xyz"), tuple("abcde"))
        x = (random.normal(size=(len(y), 5)) + y[:, None]).astype("float32")
        y = (10 * x[:, :1] - 3 * x[:, 1:2] + 50).astype("float32") if regression else y
    ends = [TRAIN, TRAIN + VALIDATION]
    splits = [Arrays(*pair) for pair in zip(np.split(x, ends), np.split(y, ends), strict=True)]
    if case == "stream":
        splits = [stream(split) for split in splits]
    return Data(case, "", spec, *splits, {})


def stream(arrays: Arrays) -> Stream:
    """The same examples, read one by one."""

    def read(seed, rows):
        numbers = tf.range(len(arrays))
        if seed is not None:
            numbers = tf.random.experimental.stateless_shuffle(numbers, seed)
        examples = tf.data.Dataset.from_tensor_slices(numbers)
        return examples.map(lambda row: (tf.gather(arrays.x, row), tf.gather(arrays.y, row)))

    return Stream(len(arrays), read)


def train(case: str, strategy: tf.distribute.Strategy, folder: Path, **changes) -> None:
    """Trains one case and leaves its losses, its weights and its export."""
    name, hparams, settings = CASES[case]
    found, entry = data(case), find_entry(name)
    recipe = Recipe(epochs=2, batch_size=BATCH, learning_rate=0.01)
    recipe = dataclasses.replace(recipe, **settings, **changes)
    recipe = adapt_recipe_to_strategy(recipe, strategy, set())
    with strategy.scope():
        model, _ = prepare_model(entry, hparams, recipe, found, seed=0)
    chief = is_chief(strategy)
    run_dir = folder / f"{case}-run"
    if chief:
        run_dir.mkdir(parents=True)
    history = fit_model(model, found, recipe, seed=3, run_dir=run_dir)
    weights = {f"weight_{i:02}": value for i, value in enumerate(model.get_weights())}
    worker = strategy.cluster_resolver.task_id if spans_workers(strategy) else 0
    np.savez(folder / f"{case}-{worker}.npz", **history["history"], **weights)
    if chief and case in TABLE and strategy.num_replicas_in_sync > 1:
        zoo.export(model, folder / case, spec=found.spec)
    wait_for_all(strategy)


def main(name: str, folder: str) -> None:
    """Trains what the strategy is tested with."""
    if name == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        both = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, both)
    strategy, _ = choose_strategy(name)
    folder = Path(folder)
    for case in {"mirrored": MIRRORED, "multi_worker": WORKERS}.get(name, CASES):
        train(case, strategy, folder / name)
    for case in ACCUMULATED if name == "cpu" else ():
        train(case, strategy, folder / "accumulate", accumulate_steps=3)


if __name__ == "__main__":
    main(*sys.argv[1:])
