"""The workers of a cluster, read from TF_CONFIG without importing TensorFlow."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence

from zoo.errors import UserError

_EXPECTED_CONFIG = (
    'expected {"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": N}}'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a training, and which of them this process is.

    Attributes:
        workers: The address of each worker, "host:port".
        index: Index of this process; worker 0 is the chief.
        is_dynamic: Whether the name of a worker may not resolve before its machine has started, as
            in Kubernetes.
    """

    workers: tuple[str, ...]
    index: int
    is_dynamic: bool = dataclasses.field(default=False, compare=False)

    def config(self) -> str:
        """Returns the value of TF_CONFIG for this process."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": self.workers}, "task": task})

    def format_workers(self, indices: Sequence[int]) -> str:
        """Returns the workers with their addresses, as in "worker 1 (localhost:2222)"."""
        return " and ".join(f"worker {i} ({self.workers[i]})" for i in indices)


def read_tf_config(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Returns the cluster of TF_CONFIG; None if it is not set or has no cluster.

    A chief, as Kubeflow and Vertex AI name it, is worker 0, and the workers follow it.

    Raises:
        UserError: if TF_CONFIG is invalid, has jobs other than a chief and workers, or the same
            address twice.
    """
    text = environment.get("TF_CONFIG", "")
    try:
        config = json.loads(text or "{}")
        if not config.get("cluster"):
            return None
        jobs, task = config["cluster"], config["task"]
        chiefs, workers = (_read_addresses(jobs.get(job, [])) for job in ("chief", "worker"))
        kind, index = task["type"], int(task["index"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG={text}: {_EXPECTED_CONFIG}") from error
    if not jobs.keys() <= {"chief", "worker"} or kind not in jobs or len(chiefs) > 1:
        raise UserError(
            f"TF_CONFIG={text}: unsupported job: expected only workers (worker 0 is the chief), or "
            "one chief and workers"
        )
    if not 0 <= index < len(jobs[kind]):
        raise UserError(f"TF_CONFIG={text}: {_EXPECTED_CONFIG}, with N below the number of workers")
    addresses = (*chiefs, *workers)
    for address in addresses:
        if addresses.count(address) > 1:
            raise UserError(
                f"TF_CONFIG={text}: {address} is there twice: give each worker an address of its "
                "own, and the same list to all of them"
            )
    is_dynamic = config.get("environment") == "cloud" or "KUBERNETES_SERVICE_HOST" in environment
    return Cluster(addresses, index + (len(chiefs) if kind == "worker" else 0), is_dynamic)


def _read_addresses(addresses: Sequence[str]) -> tuple[str, ...]:
    for address in addresses:
        split_address(address)
    return tuple(addresses)


def split_address(address: str) -> tuple[str, int]:
    """Reads "host:port", or "[::1]:port" with an address of IPv6.

    Raises:
        ValueError: if it is not an address.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536 or set(host) & set(" /"):
        raise ValueError(address)
    return host, int(port)
