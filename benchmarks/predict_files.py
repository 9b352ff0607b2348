"""Examples/s of `zoo predict` on files, next to the bare graph of the same export, in turns.

python -m benchmarks.predict_files [--parts=rows,texts,photos] [--servers] [--rounds=3]

- graph: the export's signature on batches that are ready as tensors, as large as the command's;
- predict: the command, from the file to its lines of text. What it takes for one batch, most of
  which is loading the export, is taken off;
- rest and grpc: the same with --server and --grpc, by the number of requests in flight, from
  `zoo serve` on this machine, whose cores it shares;
- requests: a plain loop of `requests.post` with the same batches, one after the other.

Shares are those of the time by the clock and, where other programs disturb it, of the time of all
cores together. Each is run in a process of its own. The models are not trained, which makes no
difference here.
"""

import argparse
import contextlib
import itertools
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.forks import run_in_fork
from benchmarks.loading import write_numbers, write_photos, write_texts
from zoo.commands.runner import import_tensorflow, parse_flags

MODELS = {"rows": "mlp", "texts": "fasttext", "photos": "cnn"}
BATCH = {"rows": 512, "texts": 32, "photos": 32}  # of the command without a server
REQUEST = 32  # examples in a request
FLIGHTS = (1, 4)  # requests at the same time
Seconds = list[float]  # by the clock, and of all cores together


def write_inputs(folder: Path, part: str, count: int) -> Path:
    """Writes the examples of a part; returns what `zoo predict` is given."""
    folder.mkdir()
    if part == "photos":
        write_photos(folder, count)
        return folder / "photos"
    if part == "rows":
        write_numbers(folder, count)
        return folder / "numbers.csv"
    write_texts(folder, count)
    return folder / "texts.jsonl"


def export_model(part: str, source: Path, folder: Path) -> Seconds:
    """Exports a new model for the examples."""
    import zoo
    from zoo.data.config import DataConfig
    from zoo.data.loading import load_data
    from zoo.registry import find_entry
    from zoo.training.building import prepare_model

    settings = {
        "rows": {"name": f"csv:{source}", "label": "label"},
        "texts": {"name": f"jsonl:{source}", "label": "label", "text": ("text",)},
        "photos": {"name": f"folder:{source}", "image_size": (64, 64)},
    }[part]
    data = load_data(DataConfig(**settings))
    entry = find_entry(MODELS[part])
    model, _ = prepare_model(entry, {}, entry.recipe, data, seed=0)
    zoo.export(model, folder / MODELS[part], spec=data.spec)
    return [0.0, 0.0]


def read_arrays(part: str, source: Path) -> dict[str, np.ndarray]:
    """Returns the examples as the inputs of the signature."""
    import pandas as pd

    if part == "photos":
        contents = [path.read_bytes() for path in sorted(source.rglob("*.jpg"))]
        return {"image_bytes": np.array(contents, object)}
    if part == "rows":
        frame = pd.read_csv(source).drop(columns="label")
        return {name: column.to_numpy("float64") for name, column in frame.items()}
    return {"text": pd.read_json(source, lines=True)["text"].to_numpy(object)}


def run_graph(part: str, source: Path, exports: Path) -> Seconds:
    """Seconds of the bare graph for all examples."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401, operations of graphs that read texts

    loaded = tf.saved_model.load(str(exports / MODELS[part] / "1"))
    name = "image_bytes" if part == "photos" else "serving_default"
    graph, arrays, size = loaded.signatures[name], read_arrays(part, source), BATCH[part]
    count = len(next(iter(arrays.values())))
    batches = [
        {key: tf.constant(array[start : start + size]) for key, array in arrays.items()}
        for start in range(0, count, size)
    ]
    graph(**batches[0])
    with stopwatch() as seconds:
        for batch in batches:
            graph(**batch)
    return seconds


def run_predict(part: str, source: Path, exports: Path, *flags: str) -> Seconds:
    """Seconds of `zoo predict` for all examples but those of one batch."""
    from zoo.commands import predict

    def run(path: Path) -> Seconds:
        arguments = [f"--model={MODELS[part]}", f"--export_dir={exports}", *flags, str(path)]
        words = parse_flags(predict, arguments)
        with open(os.devnull, "w") as out, contextlib.redirect_stdout(out), stopwatch() as seconds:
            predict.main(*words)
        return seconds

    few = source.parent.with_name("few") / source.name
    run(few)  # imports what is imported once
    start = run(few)
    return [whole - part for whole, part in zip(run(source), start, strict=True)]


def run_requests(part: str, source: Path, address: str) -> Seconds:
    """Seconds of a plain loop over a REST server for all examples."""
    import base64

    import requests

    arrays = read_arrays(part, source)
    if part == "photos":
        encoded = [{"b64": base64.b64encode(x).decode()} for x in arrays["image_bytes"]]
        instances, name = [{"image_bytes": x} for x in encoded], "image_bytes"
    else:
        columns = [array.tolist() for array in arrays.values()]
        instances = [dict(zip(arrays, row, strict=True)) for row in zip(*columns, strict=True)]
        name = "serving_default"
    url = f"http://{address}/v1/models/{MODELS[part]}:predict"
    with stopwatch() as seconds:
        for start in range(0, len(instances), REQUEST):
            body = {"signature_name": name, "instances": instances[start : start + REQUEST]}
            requests.post(url, json=body).raise_for_status()
    return seconds


@contextlib.contextmanager
def serve(exports: Path) -> Iterator[tuple[str, str]]:
    """Context manager that runs `zoo serve`, and yields its addresses: of REST and of gRPC."""
    command = [sys.executable, "-m", "zoo", "serve", f"--export_dir={exports}"]
    process = subprocess.Popen(
        [*command, "--port=0", "--grpc_port=0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        addresses = re.search(r"REST http://(\S+), gRPC (\S+)", process.stdout.readline())
        if not addresses:
            raise SystemExit("zoo serve did not start")
        for line in process.stdout:
            if "AVAILABLE" in line:
                break
        yield addresses[1], addresses[2]
    finally:
        process.terminate()
        process.wait()


Call = Callable[[], Seconds]


@contextlib.contextmanager
def stopwatch() -> Iterator[Seconds]:
    """Context manager that fills a list with its seconds, by the clock and of all cores."""
    seconds: Seconds = []
    clock, cores = time.perf_counter(), time.process_time()
    yield seconds
    seconds += [time.perf_counter() - clock, time.process_time() - cores]


def measure(call: Call) -> tuple[Seconds, float]:
    """Runs a function in a fork: (seconds that it returns, peak MiB of the process)."""

    def run() -> tuple[Seconds, float]:
        seconds = call()
        return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    return run_in_fork(run, "a contender")


def compare(calls: dict[str, Call], count: int, base: str, rounds: int) -> None:
    """Prints a line for each contender: examples/s, its share of the base's, and peak memory."""
    found = [{name: measure(call) for name, call in calls.items()} for _ in range(rounds)]
    for name in calls:
        rate = count / statistics.median(one[name][0][0] for one in found)
        shares = []
        for kind in (0, 1):
            ratios = [one[base][0][kind] / one[name][0][kind] for one in found]
            spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
            shares.append(f"{statistics.median(ratios):.2f} {spread}")
        peak = max(one[name][1] for one in found)
        print(f"| {name} | {rate:,.0f} | {' | '.join(shares)} | {peak:,.0f} |", flush=True)


def list_calls(
    part: str, source: Path, exports: Path, addresses: dict[str, str]
) -> tuple[dict[str, Call], dict[str, Call]]:
    """Returns the contenders in this process, and those that ask a server."""
    local = {
        "graph": lambda: run_graph(part, source, exports),
        "predict": lambda: run_predict(part, source, exports),
    }
    if not addresses:
        return local, {}
    remote = {"requests": lambda: run_requests(part, source, addresses["rest"])}
    for (api, flag), flight in itertools.product((("rest", "server"), ("grpc", "grpc")), FLIGHTS):
        flags = (f"--{flag}={addresses[api]}", f"--concurrency={flight}")
        remote[f"{api}, {flight} in flight"] = lambda flags=flags: run_predict(
            part, source, exports, *flags
        )
    return local, remote


def main() -> None:
    """Prints a table for each part."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", default="rows,texts,photos")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--photos", type=int, default=5_000)
    parser.add_argument("--servers", action="store_true", help="ask `zoo serve` too")
    options = parser.parse_args()
    parts = options.parts.split(",")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder, exports = Path(name), Path(name, "exports")
        sources = {}
        for part in parts:
            (folder / part).mkdir()
            few = write_inputs(folder / part / "few", part, BATCH[part])
            count = getattr(options, part)
            sources[part] = write_inputs(folder / part / "all", part, count)
            # in a fork: what TensorFlow has begun to work in cannot be forked
            import_tensorflow()
            measure(lambda part=part, few=few: export_model(part, few, exports))
        addresses = {}
        if options.servers:
            addresses = dict(
                zip(("rest", "grpc"), stack.enter_context(serve(exports)), strict=True)
            )
        os.environ["GRPC_VERBOSITY"] = "NONE"
        for part, source in sources.items():
            local, remote = list_calls(part, source, exports, addresses)
            count = getattr(options, part)
            for calls, base in ((local, "graph"), (remote, "requests")):
                if calls:
                    print(f"| {count:,} {part} | examples/s | of {base} | by cores | peak MiB |")
                    print("|---" * 5 + "|")
                    compare(calls, count, base, options.rounds)


if __name__ == "__main__":
    main()
