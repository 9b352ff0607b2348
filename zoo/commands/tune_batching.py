"""Measures TF Serving with and without the batching of requests, and writes batching.config.

zoo tune-batching --model=lstm --binary=tensorflow_model_server
zoo tune-batching --model=lstm --server=localhost:8501 \\
    --restart="docker compose up --detach --wait --force-recreate"
                                    restarts the server of compose.yaml for each setting

Batching merges requests that arrive together into one call of the model: on a GPU it multiplies the
requests per second, on a few cores it often costs more than it gains. The load is that of --clients
which each send --examples of the export's warm-up examples, and the next request when the last one
is answered. They run on this machine, and take their share of its cores.

The best setting goes into batching.config, with the table of all, and exports keep it. The server
uses it when it is started with TF_BATCHING=true.
"""

import os
import shlex
import shutil
from pathlib import Path
from typing import Any

from absl import flags

from zoo.commands.flags import under_heading
from zoo.commands.launch import find_free_ports
from zoo.commands.runner import import_tensorflow, print_warning
from zoo.errors import UserError
from zoo.exporting.versions import find_version

FLAGS = flags.FlagValues()
WORDS = ""
SERVER, LOAD = under_heading(FLAGS, "Server"), under_heading(FLAGS, "Load")

# fmt: off
flags.DEFINE_string("model", None, "Name of the exported model, such as lstm.", **SERVER)
flags.DEFINE_string("export_dir", "saved_models", "Folder of exported models.", **SERVER)
flags.DEFINE_string("binary", None, "tensorflow_model_server, or a program that takes its flags. "
                    "By default that of $TF_MODEL_SERVER or $PATH.", **SERVER)
flags.DEFINE_string("restart", None, "Shell command, run in --export_dir, that restarts a running "
                    "server, instead of --binary; batching is on if TF_BATCHING is true.", **SERVER)
flags.DEFINE_string("server", None, "HOST:PORT of the REST API of that server.", **SERVER)
flags.DEFINE_string("grpc", None, "HOST:PORT of its gRPC API, instead.", **SERVER)
flags.DEFINE_integer("clients", 8, "Number of requests at the same time.", 1, 64, **LOAD)
flags.DEFINE_integer("examples", 1, "Examples per request.", 1, **LOAD)
flags.DEFINE_float("seconds", 5.0, "Seconds to measure each setting.", 0.1, **LOAD)
flags.DEFINE_string("sizes", "8,32,128", "Batch sizes to measure.", **LOAD)
flags.DEFINE_string("timeouts", "0,1000,5000", "Microseconds that a request waits for others at "
                    "most, to measure.", **LOAD)
# fmt: on


def main() -> None:
    """Measures all settings, and writes the best one."""
    if not FLAGS.model:
        raise UserError("no model: choose one with --model, such as --model=lstm")
    sizes, timeouts = _read_numbers("sizes", 1), _read_numbers("timeouts", 0)
    too_small = [size for size in sizes if size < FLAGS.examples]
    if too_small:
        raise UserError(
            f"--sizes={too_small[0]}: TF Serving refuses requests of --examples={FLAGS.examples}, "
            "which are larger than a batch: choose larger sizes"
        )
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from zoo.serving.batching_tuner import (
        Batching,
        choose_batching,
        format_result,
        format_results,
        measure_settings,
    )

    directory = Path(os.path.expanduser(FLAGS.export_dir))
    version = find_version(directory / FLAGS.model)
    open_server = _choose_server(version)
    settings = [None, *(Batching(size, timeout) for size in sizes for timeout in timeouts)]
    import_tensorflow()
    from zoo.exporting.warmup import read_warmup_batch

    inputs = read_warmup_batch(version, FLAGS.examples)
    print(format_results({}), flush=True)
    results = measure_settings(
        open_server,
        settings,
        inputs,
        FLAGS.clients,
        FLAGS.seconds,
        lambda *pair: print(format_result(*pair), flush=True),
    )
    for result in results.values():
        if result.failures:
            print_warning(f"{result.failures:,} requests failed, the first one: {result.error}")
            break
    best, is_faster = choose_batching(results)
    if FLAGS.restart:  # the server goes on with what is best
        with open_server(best if is_faster else None):
            pass
    _write_config(directory, best.format_config(), format_results(results), is_faster)


def _write_config(directory: Path, config: str, table: str, is_faster: bool) -> None:
    """Writes batching.config with the table of all settings, and prints what to do."""
    from zoo.serving.server_config import write_tuned_batching

    advice = (
        "batching is faster: start the server with TF_BATCHING=true"
        if is_faster
        else "batching is not faster under this load: leave TF_BATCHING unset"
    )
    load = f"{FLAGS.model}: {FLAGS.clients} clients, {FLAGS.examples} examples per request"
    lines = [load, *table.splitlines(), advice]
    file = write_tuned_batching(directory, "".join(f"# {line}\n" for line in lines) + config)
    print(f"{advice}\n{file}")


def _read_numbers(name: str, minimum: int) -> list[int]:
    values = [value.strip() for value in getattr(FLAGS, name).split(",")]
    if not all(value.isdecimal() and int(value) >= minimum for value in values):
        raise UserError(
            f"--{name}={','.join(values)}: expected whole numbers from {minimum}, such as 8,32"
        )
    return list(dict.fromkeys(map(int, values)))


def _choose_server(version: Path) -> Any:
    """Returns what starts the server, see `batching_tuner`.

    Raises:
        UserError: if the flags name no server.
    """
    from zoo.serving.batching_tuner import restart_server, run_binary

    if FLAGS.restart:
        if bool(FLAGS.server) == bool(FLAGS.grpc):
            raise UserError("--restart: pass --server or --grpc, the address of the server")
        directory = version.parent.parent
        return restart_server(FLAGS.restart, directory, FLAGS.model, FLAGS.server, FLAGS.grpc)
    if FLAGS.server or FLAGS.grpc:
        raise UserError(
            f"--server={FLAGS.server or FLAGS.grpc}: a running server cannot change its batching: "
            "pass --restart too, the command that restarts it"
        )
    binary = FLAGS.binary or os.environ.get("TF_MODEL_SERVER") or "tensorflow_model_server"
    found = shutil.which(os.path.expanduser(binary))
    if not found:
        raise UserError(
            f"{shlex.quote(binary)}: there is no such program: pass --binary, or --restart for a "
            "server in a container"
        )
    grpc_port, rest_port = find_free_ports(2)
    return run_binary(found, version, (grpc_port, rest_port))
