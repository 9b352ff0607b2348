"""Seconds from the start of a process to an answer, next to importing TensorFlow.

    python -m benchmarks.startup --rounds=5

The processes take turns. The last two are `train.py` up to the end of its first training step: the
data are read and decoded, or come from --cache_dir, the model is built, the step is traced and
compiled.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import run_command

FLAGS = flags.FlagValues()
WORDS = ""
BENCHMARK = under_heading(FLAGS, "Benchmark")
flags.DEFINE_integer("rounds", 5, "Processes of each kind that count.", 1, **BENCHMARK)
flags.DEFINE_string("model", "cnn", "Of the training.", **BENCHMARK)
flags.DEFINE_string("dataset", "mnist_5k", "Of the training.", **BENCHMARK)
flags.DEFINE_string("data_dir", None, "Where TFDS keeps prepared data.", **BENCHMARK)

FIRST_STEP = """
import os, runpy, sys
from zoo.commands.runner import import_tensorflow
import_tensorflow()
from zoo.training.callbacks import ProgressCallback
ProgressCallback.on_train_batch_end = lambda *_, **__: os._exit(0)
sys.argv = sys.argv[1:]
runpy.run_path("train.py", run_name="__main__")
"""


def commands(folder: str) -> dict[str, list[str]]:
    """The arguments of Python, by what they do."""
    train = ["-c", FIRST_STEP, "train.py", f"--model={FLAGS.model}", f"--dataset={FLAGS.dataset}"]
    if FLAGS.data_dir:
        train.append(f"--data_dir={FLAGS.data_dir}")
    train += [f"--run_dir={folder}/run", f"--export_dir={folder}/models", "--overwrite"]
    return {
        "import tensorflow": ["-c", "import tensorflow"],
        "import zoo": ["-c", "import zoo"],
        "train.py --list": ["train.py", "--list"],
        "train.py --help": ["train.py", "--help"],
        "first step": train,
        "first step, from cache": [*train, f"--cache_dir={folder}/cache"],
    }


def main() -> None:
    """Prints the median of each, and its ratio to that of the import."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    root = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as folder:
        seconds = {name: [] for name in commands(folder)}
        for turn in range(FLAGS.rounds + 1):
            for name, arguments in commands(folder).items():
                started = time.perf_counter()
                command = [sys.executable, *arguments]
                subprocess.run(command, check=True, cwd=root, env=environment, capture_output=True)
                if turn:  # the first finds the files outside the memory, and prepares the data
                    seconds[name].append(time.perf_counter() - started)
    base = statistics.median(seconds["import tensorflow"])
    for name, found in seconds.items():
        middle = statistics.median(found)
        print(f"{name:22} {middle:6.2f} s   {middle / base:5.2f} of the import", flush=True)


if __name__ == "__main__":
    run_command(sys.modules[__name__], sys.argv[1:])
