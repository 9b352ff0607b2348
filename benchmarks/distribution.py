"""Examples per second of one process, two mirrored devices and two workers; cost of the exchange.

    python -m benchmarks.distribution --model=cnn --rounds=3

- one: one process;
- mirrored: two logical CPUs in one process;
- workers: two processes, which exchange gradients over this machine's loopback.

All train the same global batches, in processes that are started once and take turns epoch by epoch.
The share of communication is 1 - (time of an epoch without any exchange) / (time of one with it):
the same replicas work on the same parts of the batches at the same time, but each keeps its own
gradients and results.

How to read it on 2 cores: one process already keeps both cores busy wherever an operation is large
enough to be split, so two replicas share what one had, and cannot be twice as fast. What they lose
against `one` is the price of smaller parts, of a second Python loop and of the exchange; what they
would gain on two machines is not to be seen here. The loopback is memory: a network is slower.
"""

import dataclasses
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.launch import find_free_ports
from zoo.commands.runner import import_tensorflow, run_command
from zoo.distribution.tf_config import Cluster
from zoo.registry import find_entry

if TYPE_CHECKING:
    from zoo.data.splits import Data

FLAGS = flags.FlagValues()
WORDS = ""
BENCHMARK = under_heading(FLAGS, "Benchmark")
# fmt: off
flags.DEFINE_string("model", "cnn", "Name of the model.", **BENCHMARK)
flags.DEFINE_integer("rounds", 3, "Epochs of each contender that count.", 1, **BENCHMARK)
flags.DEFINE_integer("examples", 12_800, "Examples in an epoch.", 100, **BENCHMARK)
flags.DEFINE_integer("batch_size", 128, "Examples in a batch, over all replicas.", 2, **BENCHMARK)
flags.DEFINE_string("contender", None, "Is one of the processes that take turns.", **BENCHMARK)
# fmt: on
CONTENDERS = {"one": 1, "mirrored": 1, "workers": 2}  # processes


def make_noise() -> "Data":
    """Returns random digits, the same in each process."""
    from zoo.data.spec import Spec
    from zoo.data.splits import Arrays, Data

    random = np.random.default_rng(0)
    shape = (FLAGS.examples, 28, 28, 1)
    split = Arrays(random.integers(0, 256, shape, "uint8"), random.integers(0, 10, FLAGS.examples))
    spec = Spec("image", (28, 28, 1), tuple("0123456789"))
    return Data("noise", "", spec, split, split, split, {})


def epochs(contender: str) -> dict[str, Callable[[], None]]:
    """Functions that train an epoch: "with" exchange, and "without" it where there is any."""
    import tensorflow as tf

    from zoo.data.batching import make_training_batches
    from zoo.data.microbatches import MicroBatches
    from zoo.distribution.keras_patches import spans_workers
    from zoo.distribution.strategy import choose_strategy, distribute_batches
    from zoo.training.building import prepare_model

    if contender == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        both = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, both)
    name = {"one": "cpu", "mirrored": "mirrored", "workers": "multi_worker"}[contender]
    strategy, _ = choose_strategy(name)
    data = make_noise()
    entry = find_entry(FLAGS.model)
    recipe = dataclasses.replace(
        entry.recipe, batch_size=FLAGS.batch_size, jit_compile=False, steps_per_execution=1
    )

    def batches(microbatches):
        settings = {"changes": {}, "one_hot": False, "class_weights": None, "seed": 0}
        epoch = tf.Variable(0, dtype=tf.int64)
        return make_training_batches(
            data.train,
            data.spec,
            batch_size=FLAGS.batch_size,
            epoch=epoch,
            microbatches=microbatches,
            **settings,
        )

    def trainer(strategy, dataset, exchange):
        with strategy.scope():
            model, _ = prepare_model(entry, {}, recipe, data, seed=0)
        if not exchange:
            model.optimizer._all_reduce_sum_gradients = lambda pairs: pairs
        return lambda: model.fit(dataset, verbose=0, shuffle=False)

    found = {"with": trainer(strategy, distribute_batches(strategy, recipe, batches), True)}
    if contender == "mirrored":
        dataset = distribute_batches(strategy, recipe, batches)
        found["without"] = trainer(strategy, dataset, False)
    if spans_workers(strategy):
        own = batches(MicroBatches(2, strategy.cluster_resolver.task_id, 1))
        found["without"] = trainer(tf.distribute.get_strategy(), own, True)
    return found


def take_turns() -> None:
    """One process of a contender: trains an epoch of the kind that each line names."""
    import_tensorflow()
    found = epochs(FLAGS.contender)
    print(" ".join(found), flush=True)
    for line in sys.stdin:
        found[line.strip()]()
        print("done", flush=True)


def start(contender: str) -> list[subprocess.Popen]:
    """The processes of a contender."""
    count = CONTENDERS[contender]
    addresses = tuple(f"localhost:{port}" for port in find_free_ports(count))
    started = []
    for i in range(count):
        environment = os.environ | {"TF_CONFIG": Cluster(addresses, i).config()}
        command = [sys.executable, "-m", "benchmarks.distribution", *sys.argv[1:]]
        command.append(f"--contender={contender}")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        started.append(subprocess.Popen(command, env=environment, text=True, **pipes))
    return started


def train(processes: list[subprocess.Popen], kind: str) -> float:
    """Seconds of an epoch that all processes of a contender train at once."""
    begun = time.perf_counter()
    for process in processes:
        process.stdin.write(f"{kind}\n")
        process.stdin.flush()
    for process in processes:
        if process.stdout.readline() != "done\n":
            raise SystemExit("a process of the benchmark has ended")
    return time.perf_counter() - begun


def main() -> None:
    """Times the contenders in turns and prints medians and paired shares."""
    if FLAGS.contender:
        take_turns()
        return
    processes = {name: start(name) for name in CONTENDERS}
    kinds = {}
    for name, started in processes.items():
        kinds[name], *_ = (process.stdout.readline().split() for process in started)
    seconds = {(name, kind): [] for name in kinds for kind in kinds[name]}
    for counted in range(-1, FLAGS.rounds):
        for (name, kind), measured in seconds.items():
            took = train(processes[name], kind)
            if counted >= 0:  # the first round traces
                measured.append(took)
    for started in processes.values():
        for process in started:
            process.stdin.close()
            process.wait()
    size = f"{FLAGS.examples:,} examples, batch {FLAGS.batch_size}"
    print(f"{FLAGS.model}, {size}, {os.cpu_count()} cores")
    for name in CONTENDERS:
        rate = FLAGS.examples / statistics.median(seconds[name, "with"])
        line = f"  {name:<9}{rate:8,.0f} examples/s"
        if (name, "without") in seconds:
            pairs = zip(seconds[name, "without"], seconds[name, "with"], strict=True)
            shares = [1 - without / exchanged for without, exchanged in pairs]
            line += (
                f", communication {statistics.median(shares):.0%} "
                f"({min(shares):.0%} to {max(shares):.0%})"
            )
        print(line)


if __name__ == "__main__":
    run_command(sys.modules[__name__], sys.argv[1:])
