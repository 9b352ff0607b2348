"""TF Serving itself on free ports, where its binary is there."""

import os
import shutil
import socket
import subprocess
import time

from zoo.errors import UserError
from zoo.serving.client import Client

BINARY = os.environ.get("TF_MODEL_SERVER") or shutil.which("tensorflow_model_server")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class ModelServer:
    """TF Serving with a models.config, which it reads every second, until `stop`.

    `rest` and `grpc` are its addresses.
    """

    def __init__(self, config, log_file, models):
        ports = [free_port(), free_port()]
        self.grpc, self.rest = (f"127.0.0.1:{port}" for port in ports)
        command = [BINARY, f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]
        command += [f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1"]
        command += ["--allow_version_labels_for_unavailable_models=true"]
        command += ["--max_num_load_retries=0"]
        with log_file.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while not all(self._is_ready(name) for name in models):
            is_alive = self._process.poll() is None and time.monotonic() < until
            assert is_alive, log_file.read_text()
            time.sleep(0.5)

    def _is_ready(self, name):
        try:
            states = Client(name, server=self.rest, retries=0).versions()
        except UserError:
            return False
        return set(states.values()) == {"AVAILABLE"}

    def stop(self):
        self._process.terminate()
        self._process.wait()
