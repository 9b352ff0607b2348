"""Examples/s of predicting many images, by Keras' own `predict` and by the zoo, in turns.

    python -m benchmarks.prediction --model=cnn --examples=10000

- keras: `model.predict` of the same model;
- load_pretrained: what `zoo.load_pretrained` gives, called once with all images;
- export: the SavedModel's `serving_default` by `zoo.serving.Client` in this process, 256 a call;
- one: the same export with one image a call, whose latency is told in ms.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import import_tensorflow, run_command

FLAGS = flags.FlagValues()
WORDS = ""
BENCHMARK = under_heading(FLAGS, "Benchmark")
flags.DEFINE_string("model", "cnn", "A model with weights for mnist.", **BENCHMARK)
flags.DEFINE_integer("examples", 10_000, "Images.", 256, **BENCHMARK)
flags.DEFINE_integer("rounds", 5, "Rounds that count.", 1, **BENCHMARK)
BLOCK, CALLS = 256, 200


def contenders(folder: str) -> dict[str, Callable[[], object]]:
    """What is timed, by its name."""
    import zoo
    from zoo.serving import Client

    pretrained = zoo.load_pretrained(FLAGS.model, "mnist")
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (FLAGS.examples, *pretrained.spec.shape), "uint8")
    zoo.export(pretrained.model, f"{folder}/{FLAGS.model}", spec=pretrained.spec)
    client = Client(FLAGS.model, export_dir=folder)

    def export():
        for start in range(0, len(images), BLOCK):
            client.predict({"image": images[start : start + BLOCK]})

    def one():
        for image in images[:CALLS]:
            client.predict({"image": image[None]})

    return {
        "keras": lambda: pretrained.model.predict({"image": images}, verbose=0),
        "load_pretrained": lambda: pretrained(images),
        "export": export,
        "one": one,
    }


def main() -> None:
    """Prints medians, and the median ratio to Keras within a round."""
    import_tensorflow()
    with tempfile.TemporaryDirectory() as folder:
        calls = contenders(folder)
        seconds = {name: [] for name in calls}
        for turn in range(FLAGS.rounds + 1):
            for name, call in calls.items():
                started = time.perf_counter()
                call()
                if turn:
                    seconds[name].append(time.perf_counter() - started)
    latency = 1e3 * statistics.median(seconds.pop("one")) / CALLS
    for name, found in seconds.items():
        ratio = statistics.median(k / s for k, s in zip(seconds["keras"], found, strict=True))
        rate = FLAGS.examples / statistics.median(found)
        print(f"{name:16} {rate:9,.0f} examples/s   {ratio:.2f} of keras")
    print(f"one image        {latency:9.2f} ms a call of the export")


if __name__ == "__main__":
    run_command(sys.modules[__name__], sys.argv[1:])
