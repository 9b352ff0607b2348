"""What the signatures of an export cost, as calls of its graph next to the bare Keras model.

    python -m benchmarks.signatures --model=cnn

Latency is that of a request of one example, throughput that of requests of 32; each is the median
of many calls. All take turns, call by call, so that the ratios of one run belong together.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import import_tensorflow, run_command
from zoo.data.spec import Spec, Tokenizer
from zoo.errors import UserError
from zoo.registry import Entry, find_entry

FLAGS = flags.FlagValues()
WORDS = ""
BENCHMARK = under_heading(FLAGS, "Benchmark")
flags.DEFINE_string("model", "cnn", "Name of the model.", **BENCHMARK)
flags.DEFINE_integer("calls", 200, "Calls of each that count.", 1, **BENCHMARK)
VOCABULARY = ("", "[UNK]", "[SEP]", *(f"word{i}" for i in range(1000)))


def _draw_samples(entry: Entry, count: int) -> tuple[Spec, np.ndarray]:
    """Random raw inputs of the entry's first kind of data, and their spec."""
    random = np.random.default_rng(0)
    kind = entry.kinds[0]
    if kind == "image":
        spec = Spec("image", (28, 28, 1), tuple("0123456789"))
        samples = random.integers(0, 256, (count, *spec.shape), "uint8")
    elif kind == "features":
        spec = Spec("features", (20,), ("a", "b"), tuple(f"f{i}" for i in range(20)))
        samples = random.normal(size=(count, 20)).astype("float32")
    else:
        if entry.tokenizer == "wordpiece":
            raise UserError(f"model={entry.name!r}: expected one of images, numbers or words")
        spec = Spec("text", (200,), ("neg", "pos"), tokenizer=Tokenizer("words", VOCABULARY, 200))
        drawn = random.choice(VOCABULARY[3:], (count, 150))
        samples = np.array([" ".join(row) for row in drawn], object)
    return spec, samples


def contenders(name: str, batches: tuple[int, ...]) -> dict[int, dict]:
    """Functions without arguments: the Keras model on ready tensors, and each signature.

    By the number of examples in a request, and the name.
    """
    import tensorflow as tf

    import zoo
    from zoo.data.texts.text_encoding import make_encoder
    from zoo.evaluation.predictions import make_predictor
    from zoo.exporting.warmup import make_signature_inputs
    from zoo.training.building import build_model

    entry = find_entry(name)
    spec, samples = _draw_samples(entry, max(batches))
    model = build_model(entry, spec, {})
    with tempfile.TemporaryDirectory() as folder:
        version = zoo.export(model, Path(folder, name), spec=spec, samples=samples)
        served = tf.saved_model.load(str(version)).signatures

    def bound(signature, batch):
        inputs = make_signature_inputs(spec, samples[:batch], signature)
        given = {key: tf.constant(value) for key, value in inputs.items()}
        return lambda: next(iter(served[signature](**given).values())).numpy()

    def bound_keras(batch):
        raw = make_signature_inputs(spec, samples[:batch], "serving_default")
        if spec.tokenizer:
            raw = {"tokens": make_encoder(spec.tokenizer)[0](*map(tf.constant, raw.values()))}
        ready = {key: tf.constant(value) for key, value in raw.items()}
        return lambda: predict(ready).numpy()

    predict = make_predictor(model)
    return {
        batch: {"keras": bound_keras(batch)} | {name: bound(name, batch) for name in served}
        for batch in batches
    }


def main() -> None:
    """Prints a line for each signature."""
    import_tensorflow()
    print(f"{FLAGS.model}: median of {FLAGS.calls} calls, one process, all in turns")
    medians = {}
    for batch, calls in contenders(FLAGS.model, (1, 32)).items():
        seconds = {name: [] for name in calls}
        for turn in range(FLAGS.calls + 5):
            for name, call in calls.items():
                start = time.perf_counter()
                call()
                if turn >= 5:
                    seconds[name].append(time.perf_counter() - start)
        medians[batch] = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{'':16} {'1, ms':>8} {'/ keras':>8} {'32, examples/s':>15} {'/ keras':>8}")
    for name in medians[1]:
        one, many = medians[1][name], medians[32][name]
        print(
            f"{name:16} {one * 1e3:8.2f} {one / medians[1]['keras']:8.2f} "
            f"{32 / many:15,.0f} {medians[32]['keras'] / many:8.2f}"
        )


if __name__ == "__main__":
    run_command(sys.modules[__name__], sys.argv[1:])
