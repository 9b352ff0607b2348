"""Epoch times of one model, side by side in one process and in turns.

    python -m benchmarks.epoch_time --model=cnn --rounds=5

- zoo: this package's input pipeline and compiled step;
- floor: the same compiled step fed one ready batch again and again;
- keras: the plain script, arrays into `fit` with Keras' defaults.

Each time is that of a whole `fit` of one epoch over as many examples as MNIST's training split; the
figures of one line belong together, since the contenders take turns (A B C A B C ...).
"""

import statistics
import time

import numpy as np
from absl import flags

from zoo import cli, registry
from zoo.recipe import Recipe

FLAGS = flags.FLAGS
cli.flag("Benchmark", "model", str, "cnn", "Name of the model.")
cli.flag("Benchmark", "rounds", int, 5, "Epochs of each contender that count.", 1)
cli.flag("Benchmark", "examples", int, 60_000, "Examples in an epoch.", 1_000)
cli.flag("Benchmark", "batch_size", int, 128, "Examples in a batch.", 1)


def contenders(name: str, examples: int, batch_size: int) -> dict:
    """Functions that train one epoch each, by the contender's name."""
    import dataclasses

    import keras
    import tensorflow as tf

    from zoo import training
    from zoo.data import pipeline
    from zoo.data.spec import Arrays, Data, Spec

    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (examples, 28, 28, 1), "uint8")
    split = Arrays(pixels, random.integers(0, 10, examples))
    spec = Spec("image", (28, 28, 1), tuple("0123456789"))
    data = Data("noise", "", spec, split, split, split, {})
    entry = registry.find(name)
    recipe: Recipe = dataclasses.replace(entry.recipe, batch_size=batch_size)

    model = registry.build(entry, spec, {})
    training.compile(model, data, recipe)
    epoch = tf.Variable(0, dtype=tf.int64)
    shuffled = pipeline.training_batches(
        split,
        spec,
        batch_size=batch_size,
        seed=0,
        epoch=epoch,
        changes={},
        one_hot=False,
        class_weights=None,
    )
    ready = {"image": pixels[:batch_size]}, {"logits": split.y[:batch_size]}
    steps = -(-examples // batch_size)
    one_batch = tf.data.Dataset.from_tensors(ready).repeat(steps)
    one_batch = pipeline.without_autotuning(one_batch)

    plain = registry.build(entry, spec, {})
    plain.compile(
        "adam",
        {"logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
        metrics={"logits": ["accuracy"]},
    )
    return {
        "zoo": lambda: model.fit(shuffled, verbose=0, shuffle=False),
        "floor": lambda: model.fit(one_batch, verbose=0, shuffle=False),
        "keras": lambda: plain.fit(
            {"image": pixels}, {"logits": split.y}, batch_size=batch_size, verbose=0
        ),
    }


def main() -> None:
    """Times the contenders and prints medians and paired ratios."""
    cli.import_tensorflow()
    runs = contenders(FLAGS.model, FLAGS.examples, FLAGS.batch_size)
    seconds = {name: [] for name in runs}
    for counted in range(-1, FLAGS.rounds):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if counted >= 0:  # the first round traces and compiles
                seconds[name].append(time.perf_counter() - started)
    medians = ", ".join(f"{name} {statistics.median(s):.2f} s" for name, s in seconds.items())
    print(f"{FLAGS.model}, {FLAGS.examples:,} examples, batch {FLAGS.batch_size}: {medians}")
    for other in ("floor", "keras"):
        ratios = [a / b for a, b in zip(seconds["zoo"], seconds[other], strict=True)]
        print(
            f"  zoo / {other}: median {statistics.median(ratios):.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )


if __name__ == "__main__":
    cli.run(main, lambda: cli.help_text(__doc__, ["Benchmark"]))
