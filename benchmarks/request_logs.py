"""Measures how many requests a REST server answers with and without the proxy that logs them.

zoo serve
zoo serve-log --server=localhost:8501 --log=requests.jsonl
python -m benchmarks.request_logs --model=mlp --inputs='{"age": [31.0], "city": ["Oslo"]}'

The server and the proxy run already. --server and --proxy name other addresses.
"""

import json
import sys

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.runner import run_command
from zoo.serving.client import Client
from zoo.serving.load_test import measure_load

FLAGS = flags.FlagValues()
WORDS = ""
LOAD = under_heading(FLAGS, "Load")
# fmt: off
flags.DEFINE_string("model", "mlp", "Name of the model.", **LOAD)
flags.DEFINE_string("inputs", "{}", "JSON object of the inputs of serving_default.", **LOAD)
flags.DEFINE_string("server", "localhost:8501", "Address of the server.", **LOAD)
flags.DEFINE_string("proxy", "localhost:8502", "Address of the proxy.", **LOAD)
flags.DEFINE_multi_integer("clients", [1, 8], "Number of requests at a time.", **LOAD)
flags.DEFINE_float("seconds", 5.0, "Time of each measurement.", **LOAD)
# fmt: on


def main() -> None:
    """Prints a line for each number of clients and each way to the server."""
    inputs = json.loads(FLAGS.inputs)
    print(f"{'clients':>7}  {'asked':10}  {'requests/s':>10}  {'median':>9}  {'99%':>9}  failed")
    for clients in FLAGS.clients:
        for name, address in (("the server", FLAGS.server), ("the proxy", FLAGS.proxy)):
            client = Client(FLAGS.model, server=address, retries=0)
            result = measure_load(client, inputs, clients, FLAGS.seconds)
            times = (f"{x:6.1f} ms" for x in (result.median_ms, result.p99_ms))
            print(
                f"{clients:>7}  {name:10}  {result.requests_per_second:>10,.0f}  "
                f"{'  '.join(times)}  {result.failures}",
                flush=True,
            )


if __name__ == "__main__":
    run_command(sys.modules[__name__], sys.argv[1:])
