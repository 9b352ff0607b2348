"""The workers of a cluster, read from TF_CONFIG without importing TensorFlow."""

import contextlib
import dataclasses
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence

from zoo.errors import UserError, WorkerLostError

_START_TIMEOUT = 300.0  # seconds that workers wait for each other at the start
_EXPECTED_CONFIG = (
    'expected {"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": N}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a training, and which of them this process is.

    Attributes:
        workers: The address of each worker, "host:port".
        index: Index of this process; worker 0 is the chief.
    """

    workers: tuple[str, ...]
    index: int

    def config(self) -> str:
        """Returns the value of TF_CONFIG for this process."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": self.workers}, "task": task})

    def format_workers(self, indices: Sequence[int]) -> str:
        """Returns the workers with their addresses, as in "worker 1 (localhost:2222)"."""
        return " and ".join(f"worker {i} ({self.workers[i]})" for i in indices)


def read_tf_config(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Returns the cluster of TF_CONFIG; None if it is not set or has no cluster.

    Raises:
        UserError: if TF_CONFIG is invalid, or has jobs other than workers.
    """
    text = environment.get("TF_CONFIG", "")
    try:
        config = json.loads(text or "{}")
        if not config.get("cluster"):
            return None
        jobs, task = config["cluster"], config["task"]
        workers, index = tuple(jobs["worker"]), int(task["index"])
        ports = [int(worker.rpartition(":")[2]) for worker in workers]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG={text}: {_EXPECTED_CONFIG}") from error
    if set(jobs) != {"worker"} or task.get("type") != "worker":
        raise UserError(
            f"TF_CONFIG={text}: unsupported job: expected only workers (worker 0 is the chief)"
        )
    if not (0 <= index < len(workers) and all(0 < port < 65536 for port in ports)):
        raise UserError(f"TF_CONFIG={text}: {_EXPECTED_CONFIG}, with N below the number of workers")
    return Cluster(workers, index)


def wait_for_workers(cluster: Cluster, patience: float = _START_TIMEOUT) -> None:
    """Waits until every worker of the cluster accepts connections at its address.

    TensorFlow itself would wait forever and ignore signals. This process listens at its own
    address until all workers are there; then TensorFlow's server does.

    Args:
        cluster: The workers.
        patience: Seconds to wait.

    Raises:
        UserError: if this process cannot listen at its address.
        WorkerLostError: if a worker does not respond in time.
    """
    address = cluster.workers[cluster.index]
    deadline = time.monotonic() + patience
    missing = [i for i in range(len(cluster.workers)) if i != cluster.index]
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", int(address.rpartition(":")[2])))
        except OSError as error:
            raise UserError(
                f"{cluster.format_workers([cluster.index])} cannot listen at its address: "
                f"{error.strerror}. Choose another port for it in the TF_CONFIG of all workers"
            ) from error
        listener.listen()
        while missing := [i for i in missing if not is_listening(cluster.workers[i])]:
            if time.monotonic() > deadline:
                raise WorkerLostError(
                    f"no response from {cluster.format_workers(missing)} within {patience:.0f} s "
                    f"of the start of worker {cluster.index}. Start all workers, each with its own "
                    "TF_CONFIG"
                )
            time.sleep(0.2)


def is_listening(address: str, timeout: float = 2.0) -> bool:
    """Returns whether "host:port" accepts connections within `timeout` seconds."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError):
        socket.create_connection((host, int(port)), timeout).close()
        return True
    return False
