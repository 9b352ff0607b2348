"""Measures a server with and without the batching of requests, and chooses its parameters."""

import contextlib
import dataclasses
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from zoo.errors import UserError, one_line
from zoo.exporting.messages import ModelServerConfig
from zoo.serving.client import Client
from zoo.serving.load_test import LoadResult, measure_load
from zoo.storage.filenames import BATCHING_CONFIG, MODELS_CONFIG

_START_SECONDS = 120.0  # for a server to load the model
_MIN_GAIN = 1.05  # a smaller one is within what two measurements differ by


@dataclasses.dataclass(frozen=True)
class Batching:
    """Parameters of TF Serving's batching.

    Attributes:
        max_size: Number of examples in a batch at most.
        timeout_micros: Microseconds that a request waits for others at most.
    """

    max_size: int
    timeout_micros: int

    def format_config(self) -> str:
        """Returns the text of batching.config."""
        # inputs are not padded, as in server_templates.BATCHING
        return (
            f"max_batch_size {{ value: {self.max_size} }}\n"
            f"batch_timeout_micros {{ value: {self.timeout_micros} }}\n"
            "max_enqueued_batches { value: 1024 }\n"
            f"num_batch_threads {{ value: {os.cpu_count() or 1} }}\n"
        )


Results = dict[Batching | None, LoadResult]
# starts a server with these parameters, or without batching, and yields its client
OpenServer = Callable[[Batching | None], AbstractContextManager[Client]]


def measure_settings(
    open_server: OpenServer,
    settings: list[Batching | None],
    inputs: dict[str, Any],
    clients: int,
    seconds: float,
    report: Callable[[Batching | None, LoadResult], None],
) -> Results:
    """Measures a server with each of the parameters, see `measure_load`.

    Args:
        open_server: Starts the server.
        settings: The parameters; None is no batching.
        inputs: As in `measure_load`.
        clients: As in `measure_load`.
        seconds: As in `measure_load`.
        report: Is called with each result.

    Raises:
        UserError: if the server does not start.
    """
    results: Results = {}
    for setting in settings:
        with open_server(setting) as client:
            results[setting] = measure_load(client, inputs, clients, seconds)
        report(setting, results[setting])
    return results


def choose_batching(results: Results) -> tuple[Batching, bool]:
    """Returns the best parameters, and whether a server is faster with them than without.

    Those with failed requests are only chosen if there are no others.
    """
    rates = {
        setting: (not result.failures, result.requests_per_second)
        for setting, result in results.items()
    }
    best = max((setting for setting in rates if setting), key=lambda setting: rates[setting])
    has_no_failures, rate = rates[best]
    return best, has_no_failures and rate > _MIN_GAIN * results[None].requests_per_second


def format_results(results: Results) -> str:
    """Formats a table, one line for each setting, without batching first."""
    header = "batch size  timeout in us  requests/s  median in ms  99% in ms  failed"
    return "\n".join([header, *(format_result(*pair) for pair in results.items())])


def format_result(setting: Batching | None, result: LoadResult) -> str:
    """Formats a line of the table."""
    size, timeout = (setting.max_size, setting.timeout_micros) if setting else ("off", "")
    return (
        f"{size:>10}  {timeout:>13}  {result.requests_per_second:>10,.1f}  "
        f"{result.median_ms:>12.2f}  {result.p99_ms:>9.2f}  {result.failures:>6,}"
    )


def run_binary(binary: str, version: Path, ports: tuple[int, int]) -> OpenServer:
    """Returns what starts TF Serving itself on this machine, with one version of one model.

    Args:
        binary: `tensorflow_model_server`, or a program that takes its flags.
        version: Folder of the version.
        ports: Free ports for gRPC and REST.
    """

    @contextlib.contextmanager
    def open_server(setting: Batching | None) -> Iterator[Client]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            config = ModelServerConfig()
            entry = config.model_config_list.config.add(name=version.parent.name)
            entry.base_path, entry.model_platform = str(version.parent.absolute()), "tensorflow"
            entry.model_version_policy.specific.versions.append(int(version.name))
            (folder / MODELS_CONFIG).write_text(text_format.MessageToString(config))
            command = [binary, f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
            command += [f"--model_config_file={folder / MODELS_CONFIG}", "--grpc_max_threads=64"]
            if setting:
                (folder / BATCHING_CONFIG).write_text(setting.format_config())
                command += ["--enable_batching=true"]
                command += [f"--batching_parameters_file={folder / BATCHING_CONFIG}"]
            with (folder / "log").open("w") as log:
                process = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                client = _make_client(version.parent.name, grpc=f"127.0.0.1:{ports[0]}")
                _wait_for_server(client, lambda: process.poll() is None, folder / "log")
                yield client
            finally:
                process.terminate()
                process.wait()

    return open_server


def restart_server(
    command: str, directory: Path, model: str, server: str | None, grpc: str | None
) -> OpenServer:
    """Returns what restarts a running server with a command.

    Args:
        command: A shell command, which is run in the folder. The server has to read batching.config
            there if TF_BATCHING is true, as that of compose.yaml does.
        directory: Folder of exported models.
        model: Name of the model.
        server: HOST:PORT of the REST API, or None.
        grpc: HOST:PORT of the gRPC API, or None.
    """

    @contextlib.contextmanager
    def open_server(setting: Batching | None) -> Iterator[Client]:
        environment = {name: value for name, value in os.environ.items() if name != "TF_BATCHING"}
        if setting:
            (directory / BATCHING_CONFIG).write_text(setting.format_config())
            environment["TF_BATCHING"] = "true"
        try:
            done = subprocess.run(
                shlex.split(command), cwd=directory, env=environment, capture_output=True, text=True
            )
        except (OSError, ValueError) as error:
            raise UserError(f"--restart={command}: {error}: correct the command") from error
        if done.returncode:
            raise UserError(
                f"--restart={command}: exit code {done.returncode}: "
                f"{one_line(done.stderr[-300:])}: correct the command"
            )
        client = _make_client(model, server=server, grpc=grpc)
        _wait_for_server(client, lambda: True, None)
        yield client

    return open_server


def _make_client(model: str, server: str | None = None, grpc: str | None = None) -> Client:
    return Client(model, server=server, grpc=grpc, retries=0, timeout=30)


def _wait_for_server(client: Client, is_alive: Callable[[], bool], log: Path | None) -> None:
    """Waits until the server has loaded the model.

    Raises:
        UserError: if it ends, or takes too long.
    """
    end = time.monotonic() + _START_SECONDS
    problem = "no version is available"
    while is_alive() and time.monotonic() < end:
        try:
            if "AVAILABLE" in client.versions().values():
                return
        except UserError as error:
            problem = str(error)
        time.sleep(0.1)
    last = f": {one_line(log.read_text(errors='replace')[-300:])}" if log else ""
    raise UserError(f"the server does not serve {client.model}: {problem}{last}")
