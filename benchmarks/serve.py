"""Requests per second and latency of a server of TF Serving's APIs under closed and open loads.

zoo serve
python -m benchmarks.serve --model=mlp --server=localhost:8501
python -m benchmarks.serve --model=mlp --grpc=localhost:8500 --clients=1,8 --examples=32

The requests are warm-up examples of the export. In a closed loop each client sends its next request
when the last one is answered. In an open loop requests are due at a fixed rate, a share of the best
rate of the closed loops, whatever the server does, and wait where all clients are busy: it shows
what users feel near the limit. The clients take their share of this machine's cores.
"""

import os
import sys
from pathlib import Path

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import import_tensorflow, print_warning, run_command
from zoo.errors import UserError
from zoo.exporting.versions import find_version
from zoo.serving.client import Client
from zoo.serving.load_test import LoadResult, measure_load

FLAGS = flags.FlagValues()
WORDS = ""
LOAD = under_heading(FLAGS, "Load")
# fmt: off
flags.DEFINE_string("model", "mlp", "Name of the model.", **LOAD)
flags.DEFINE_string("export_dir", "saved_models", "Folder of its export.", **LOAD)
flags.DEFINE_string("server", None, "HOST:PORT of the REST API.", **LOAD)
flags.DEFINE_string("grpc", None, "HOST:PORT of the gRPC API, instead.", **LOAD)
flags.DEFINE_list("clients", ["1", "4", "16"], "Numbers of requests at the same time.", **LOAD)
flags.DEFINE_list("shares", ["0.5", "0.8", "0.95"], "Rates of open loops, as shares of the best "
                  "rate of the closed ones.", **LOAD)
flags.DEFINE_integer("examples", 1, "Examples in a request.", 1, **LOAD)
flags.DEFINE_float("seconds", 5.0, "Seconds of each measurement.", 0.1, **LOAD)
# fmt: on


def format_row(load: str, result: LoadResult) -> str:
    """Formats a row of the table."""
    times = (result.median_ms, result.p95_ms, result.p99_ms)
    cells = [load, f"{result.requests_per_second:,.1f}", *(f"{time:.2f}" for time in times)]
    return f"| {' | '.join([*cells, str(result.failures)])} |"


def main() -> None:
    """Prints a row for each load."""
    if bool(FLAGS.server) == bool(FLAGS.grpc):
        raise UserError("pass --server or --grpc, the address of the server")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    import_tensorflow()
    from zoo.exporting.warmup import read_warmup_batch

    inputs = read_warmup_batch(find_version(Path(FLAGS.export_dir, FLAGS.model)), FLAGS.examples)
    client = Client(FLAGS.model, server=FLAGS.server, grpc=FLAGS.grpc, retries=0, timeout=30)
    print("| load | requests/s | median, ms | 95%, ms | 99%, ms | failed |")
    print("|---" * 6 + "|")
    results = {}
    clients = [int(count) for count in FLAGS.clients]
    for count in clients:
        results[count] = measure_load(client, inputs, count, FLAGS.seconds)
        print(format_row(f"closed, {count} clients", results[count]), flush=True)
    best = max(result.requests_per_second for result in results.values())
    if not best:
        error = next(iter(results.values())).error
        raise UserError(f"no request was answered in {FLAGS.seconds:g} s: {error or 'too slow'}")
    for share in map(float, FLAGS.shares):
        rate = share * best
        result = measure_load(client, inputs, max(clients), FLAGS.seconds, rate)
        print(format_row(f"open, {rate:,.1f} requests/s", result), flush=True)
        results[share] = result
    for result in results.values():
        if result.failures:
            print_warning(f"{result.failures:,} requests failed, the first one: {result.error}")
            break


if __name__ == "__main__":
    run_command(sys.modules[__name__], sys.argv[1:])
