"""Trains every case of tests/distribution/test_strategy.py under every strategy.

python distribution_cases.py FOLDER leaves FOLDER/STRATEGY/<case>-<worker>.npz with the losses of
each epoch and the final weights, FOLDER/STRATEGY/<case>/1, the chief's export, and
FOLDER/multi_worker/keras-<worker>.json: which parts of Keras' fit fail without their patch, and
told-<worker>.json: what the workers tell each other. Each
strategy, and each worker, has a process of its own: a fork, which need not import TensorFlow. In
FOLDER/preset has to be a BERT with the tokens BERT_TOKENS.
"""

import dataclasses
import json
import multiprocessing
import os
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import zoo
from zoo import models  # noqa: F401, registers the built-in models
from zoo.commands.launch import find_free_ports
from zoo.data.spec import Spec, Tokenizer
from zoo.data.splits import Arrays, Data, Stream
from zoo.distribution import keras_patches
from zoo.distribution.keras_patches import spans_workers, trainer
from zoo.distribution.multi_worker import exchange_texts
from zoo.distribution.strategy import (
    adapt_recipe_to_strategy,
    choose_strategy,
    is_chief,
    wait_for_all,
)
from zoo.distribution.tf_config import Cluster
from zoo.errors import UserError
from zoo.recipe import Recipe
from zoo.registry import find_entry
from zoo.training.building import prepare_model
from zoo.training.loop import fit_model
from zoo.training.worker_agreement import check_same_inputs

CASES = {
    "cnn": (
        "cnn",
        {"filters": (4, 4), "dense": 8, "dropout": 0.0},
        {"augment": "shift=0.1,flip,cutout=3"},
    ),
    "lstm": (
        "lstm",
        {"width": 6, "embedding": 8, "bidirectional": False, "dropout": 0.0},
        {"optimizer": "adamw", "clip_norm": 0.05},
    ),
    "transformer": (
        "transformer",
        {"width": 8, "heads": 2, "feed_forward": 8, "dropout": 0.0},
        {"l2": 0.001},
    ),
    "bert": ("bert", {"dropout": 0.0}, {}),
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
        {"class_weights": "balanced", "layer_decay": 0.5, "optimizer": "muon", "ema": 0.9}
        | {"l2": 0.001},
    ),
    "float16": ("mlp", {"hidden": (16,), "dropout": 0.0}, {"precision": "mixed_float16"}),
}
# the two ways through the data (arrays and a stream) and the two kinds of models of texts are
# divided among the strategies that have several parts of a batch at once
MIRRORED, WORKERS = ("cnn", "lstm", "float16"), ("stream", "transformer", "bert", "settings")
ACCUMULATED = ("cnn", "transformer", "regression")
EXPORTED = {"mirrored": "cnn", "multi_worker": "settings"}
# no batch can be halved, and the last ones have one example for two parts
TRAIN, VALIDATION, TEST, BATCH = 76, 16, 9, 15
# with the recipes of their own, whose clip_norm is about as large as their gradients
OWN_RECIPE = ("transformer", "bert")
BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefgh")


def data(case: str) -> Data:
    """Small and random, and yet with something to learn."""
    random = np.random.default_rng(0)
    y = random.integers(0, 3, TRAIN + VALIDATION + TEST)
    if case in ("lstm", "transformer", "bert"):
        words = ("", "[UNK]", "[SEP]", *"abcdefgh")
        tokenizer = Tokenizer("words", words, 24)
        if case == "bert":
            tokenizer = Tokenizer("wordpiece", BERT_TOKENS, 24)
        spec = Spec("text", (24,), tuple("xyz"), tokenizer=tokenizer)
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
    # a second epoch, which is in another order, where the order is made in two ways
    epochs = 2 if case in ("cnn", "stream") else 1
    settings = settings | changes | {"epochs": epochs, "batch_size": BATCH, "learning_rate": 0.01}
    recipe = dataclasses.replace(entry.recipe if case in OWN_RECIPE else Recipe(), **settings)
    recipe, _ = adapt_recipe_to_strategy(recipe, strategy, set())
    if name == "bert":
        hparams = hparams | {"preset": str(folder.parent / "preset")}
    with strategy.scope():
        model, _ = prepare_model(entry, hparams, recipe, found, seed=0)
    for layer in keras_patches.flatten_layers(model):
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0  # the encoder of a BERT has a rate of its own
    chief = is_chief(strategy)
    run_dir = folder / f"{case}-run"
    if chief:
        run_dir.mkdir(parents=True)
    history = fit_model(model, found, recipe, seed=3, run_dir=run_dir)
    weights = {f"weight_{i:02}": value for i, value in enumerate(model.get_weights())}
    worker = strategy.cluster_resolver.task_id if spans_workers(strategy) else 0
    np.savez(folder / f"{case}-{worker}.npz", **history["history"], **weights)
    if chief and EXPORTED.get(folder.name) == case:
        zoo.export(model, folder / case, spec=found.spec)
    wait_for_all(strategy)


def fit_plain_model(strategy: tf.distribute.Strategy) -> None:
    """Keras' own `fit`, of a model that is not of the zoo."""
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.compile("sgd", "mse")
    batches = tf.data.Dataset.from_tensor_slices(([[1.0] * 3] * 8, [[0.0] * 2] * 8)).batch(4)
    model.fit(strategy.experimental_distribute_dataset(batches), verbose=0)


def find_needed_patches(strategy: tf.distribute.Strategy) -> list[str]:
    """Which parts of Keras' `fit` fail when they are not patched, one by one."""
    needed = []
    for owner, name, plain in (
        (trainer, "reduce_per_replica", keras_patches._keras_reduce_per_replica),
        (
            trainer.TensorFlowTrainer,
            "_maybe_symbolic_build",
            keras_patches._keras_maybe_symbolic_build,
        ),
    ):
        patched = getattr(owner, name)
        setattr(owner, name, plain)
        try:
            fit_plain_model(strategy)
        except Exception:
            needed.append(name)
        setattr(owner, name, patched)
    fit_plain_model(strategy)
    return needed


def run_cases(name: str, folder: Path, config: str) -> None:
    """Trains what the strategy is tested with, in this process."""
    os.environ["TF_CONFIG"] = config
    if name == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        both = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, both)
    strategy, _ = choose_strategy(name)
    for case in {"mirrored": MIRRORED, "multi_worker": WORKERS}.get(name, CASES):
        train(case, strategy, folder / name)
    for case in ACCUMULATED if name == "cpu" else ():
        train(case, strategy, folder / "accumulate", accumulate_steps=3)
    if name == "multi_worker":
        worker = strategy.cluster_resolver.task_id
        file = folder / name / f"keras-{worker}.json"
        file.write_text(json.dumps(find_needed_patches(strategy)))
        told = [*exchange_texts(strategy, "\u00e9" * worker), *compare_workers(strategy, worker)]
        (folder / name / f"told-{worker}.json").write_text(json.dumps(told))


def compare_workers(strategy: tf.distribute.Strategy, worker: int) -> list[str]:
    """What each worker is told if they agree, and if the second has another value of a flag."""
    told = []
    for flags in ("--model=cnn", f"--model=cnn\n--seed={worker}"):
        try:
            check_same_inputs(strategy, data("cnn"), flags, ())
            told.append("")
        except UserError as error:
            told.append(str(error))
    return told


def main(folder: str) -> None:
    """Trains all cases under all strategies, at the same time."""
    addresses = tuple(f"localhost:{port}" for port in find_free_ports(2))
    configs = [("multi_worker", Cluster(addresses, i).config()) for i in range(2)]
    fork = multiprocessing.get_context("fork")
    processes = [
        fork.Process(target=run_cases, args=(name, Path(folder), config))
        for name, config in [*configs, ("mirrored", "{}"), ("cpu", "{}")]
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(any(process.exitcode for process in processes))


if __name__ == "__main__":
    main(*sys.argv[1:])
