"""The workers of a training on several machines, as TF_CONFIG names them; without TensorFlow."""

import contextlib
import dataclasses
import json
import os
import socket
import time
from collections.abc import Mapping

from zoo.errors import UserError, WorkerLostError

_PATIENCE = 300  # seconds that workers wait for each other at the start
_EXPECTED = (
    'expected {"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": N}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers, and which of them this process is.

    Attributes:
        workers: The address of each, "host:port".
        index: The place of this process among them; the first is the chief.
    """

    workers: tuple[str, ...]
    index: int

    def config(self) -> str:
        """The value of TF_CONFIG."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": self.workers}, "task": task})

    def names(self, indices: "list[int]") -> str:
        """Some workers in words, as in "worker 1 (localhost:2222)"."""
        return " and ".join(f"worker {i} ({self.workers[i]})" for i in indices)


def from_environment(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """The cluster of TF_CONFIG; None where that is not set or names no cluster.

    Raises:
        UserError: if TF_CONFIG is not understood, or has jobs other than workers.
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
        raise UserError(f"TF_CONFIG={text}: {_EXPECTED}") from error
    if set(jobs) != {"worker"} or task.get("type") != "worker":
        raise UserError(f"TF_CONFIG={text}: only workers are known, no chief or other job beside")
    if not (0 <= index < len(workers) and all(0 < port < 65536 for port in ports)):
        raise UserError(f"TF_CONFIG={text}: {_EXPECTED}, with N below the number of workers")
    return Cluster(workers, index)


def wait(cluster: Cluster, patience: float = _PATIENCE) -> None:
    """Returns when every worker of the cluster answers at its address.

    TensorFlow itself would wait without an end, and deaf to signals. Until all are there this
    process answers at its own address in its place.

    Raises:
        UserError: if the address of this process cannot be listened at.
        WorkerLostError: if others don't answer within `patience` seconds.
    """
    address = cluster.workers[cluster.index]
    end = time.monotonic() + patience
    missing = [i for i in range(len(cluster.workers)) if i != cluster.index]
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", int(address.rpartition(":")[2])))
        except OSError as error:
            raise UserError(
                f"{cluster.names([cluster.index])} cannot listen there: {error.strerror}"
            ) from error
        listener.listen()
        while missing := [i for i in missing if not answers(cluster.workers[i])]:
            if time.monotonic() > end:
                raise WorkerLostError(
                    f"{cluster.names(missing)}: no answer within {patience:.0f} s of the start of "
                    f"worker {cluster.index}. Start all workers, each with its own TF_CONFIG"
                )
            time.sleep(0.2)


def answers(address: str, patience: float = 2.0) -> bool:
    """Whether something listens at "host:port"."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError):
        socket.create_connection((host, int(port)), patience).close()
        return True
    return False
