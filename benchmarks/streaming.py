"""What it costs to stream images that do not fit in memory, next to holding them decoded.

    TFDS_DATA_DIR=... python -m benchmarks.streaming --rounds=3

`cnn` trains on MNIST, which has to be prepared in that folder, in two processes that take turns
epoch by epoch. The first epoch, which traces and compiles, does not count.
"""

import statistics
import sys

from absl import flags

from benchmarks import compare
from zoo.commands.flags import under_heading
from zoo.commands.runner import run_command

FLAGS = flags.FlagValues()
WORDS = ""
BENCHMARK = under_heading(FLAGS, "Benchmark")
flags.DEFINE_integer("rounds", 5, "Epochs of each kind that count.", 1, **BENCHMARK)


def main() -> None:
    """Prints the median of the ratios of a round, and the peak memory after each epoch."""
    seconds, memory = compare.measure("cnn", ["held", "streamed"], FLAGS.rounds)
    pairs = zip(seconds["streamed"], seconds["held"], strict=True)
    ratios = [streamed / held for streamed, held in pairs]
    middle = statistics.median(ratios)
    print(f"streamed / held: {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of the time")
    for name, found in memory.items():
        print(f"{name}: peak MiB after each epoch: {', '.join(f'{one:,.0f}' for one in found)}")


if __name__ == "__main__":
    run_command(sys.modules[__name__], sys.argv[1:])
