"""Training on several machines: the strategy, each worker's share of the data, lost workers.

The parts of Keras and TensorFlow that this patches are in `keras_patches`.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from zoo.data.microbatches import MicroBatches
from zoo.distribution.keras_patches import (
    configure_coordination,
    correct_cardinality,
    is_worker_healthy,
    patch_multi_worker_fit,
    spans_workers,
)
from zoo.distribution.rendezvous import wait_for_workers
from zoo.distribution.tf_config import Cluster
from zoo.errors import WorkerLostError, one_line

_REPORT_DELAY = 5.0  # seconds in which the other workers can see which one failed first


def create_multi_worker_strategy(
    cluster: Cluster, report: Callable[[str], None]
) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Waits for the other workers and connects to them, before any other use of TensorFlow.

    Args:
        cluster: The workers.
        report: Called with a line that says for whom it waits, see `wait_for_workers`.

    Raises:
        UserError: if `fit` cannot be patched in the installed version of Keras, or the address of
            a worker is wrong.
        WorkerLostError: if the other workers don't start.
    """
    patch_multi_worker_fit()
    wait_for_workers(cluster, report)
    configure_coordination(len(cluster.workers))
    # TensorFlow reads it too, and its chief would not be a worker
    os.environ["TF_CONFIG"] = cluster.config()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise WorkerLostError(
            f"worker {cluster.index} has met all workers, but TensorFlow cannot connect them "
            f"({one_line(error)}). Run the same command again on all workers"
        ) from error
    # TensorFlow installs a handler that only records SIGTERM, and the process would continue
    signal.signal(signal.SIGTERM, handler)
    return strategy


def distribute_microbatches(
    strategy: tf.distribute.Strategy, make_batches: Callable[[MicroBatches], tf.data.Dataset]
) -> tf.distribute.DistributedDataset:
    """Returns a dataset for which each worker only makes its own micro-batches."""
    replicas = strategy.num_replicas_in_sync

    def make_for_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        count = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * count
        return make_batches(MicroBatches(replicas, first, count, separate=True))

    dataset = strategy.distribute_datasets_from_function(make_for_worker)
    return correct_cardinality(dataset, len(strategy.extended.worker_devices))


def get_cluster(strategy: tf.distribute.Strategy) -> Cluster:
    """Returns the workers of a strategy that spans several."""
    resolver = strategy.cluster_resolver
    return Cluster(tuple(resolver.cluster_spec().job_tasks("worker")), resolver.task_id)


def exchange_texts(strategy: tf.distribute.Strategy, text: str) -> list[str]:
    """Returns the texts of all workers, by their index; all workers must call this.

    Raises:
        tf.errors.OpError: if a worker is lost (`report_lost_workers` names it).
    """
    if not spans_workers(strategy):
        return [text]
    cluster = get_cluster(strategy)
    workers = len(cluster.workers)
    replicas = strategy.num_replicas_in_sync // workers
    content = np.frombuffer(text.encode(), np.uint8)

    def add_up(row: np.ndarray) -> np.ndarray:
        rows = np.zeros((workers, len(row)), np.float32)
        rows[cluster.index] = row
        per_replica = strategy.run(lambda: tf.constant(rows))
        return strategy.reduce("SUM", per_replica, axis=None).numpy().astype(int) // replicas

    sizes = add_up(np.array([len(content)]))[:, 0]
    padded = np.zeros(max(sizes))
    padded[: len(content)] = content
    rows = add_up(padded)
    return [
        bytes(row[:size].astype(np.uint8)).decode() for row, size in zip(rows, sizes, strict=True)
    ]


@contextlib.contextmanager
def report_lost_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Context manager that turns a failed exchange into an error that names the lost workers.

    Raises:
        WorkerLostError: if a worker of the strategy does not respond.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not spans_workers(strategy):
            raise
        cluster = get_cluster(strategy)
        if not (lost := _find_lost_workers(cluster, str(error))):
            raise
        time.sleep(_REPORT_DELAY)
        raise WorkerLostError(
            f"no response from {cluster.format_workers(lost)}: worker {cluster.index} stops too. "
            "Run the same command again on all workers"
        ) from error


def _find_lost_workers(cluster: Cluster, message: str) -> list[int]:
    """Returns the workers that don't respond, or else those that TensorFlow's message names."""
    others = [i for i in range(len(cluster.workers)) if i != cluster.index]
    lost = [i for i in others if not is_worker_healthy(i)]
    return lost or [i for i in others if f"/task:{i} " in f"{message} "]
