"""Training on several machines: the strategy, each worker's share of the data, lost workers.

The parts of Keras and TensorFlow that this patches are in `keras_patches`.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

from zoo.data.microbatches import MicroBatches
from zoo.distribution.keras_patches import (
    configure_coordination,
    correct_cardinality,
    is_worker_healthy,
    patch_multi_worker_fit,
    spans_workers,
)
from zoo.distribution.tf_config import Cluster, wait_for_workers
from zoo.errors import WorkerLostError

_REPORT_DELAY = 5.0  # seconds in which the other workers can see which one failed first


def create_multi_worker_strategy(cluster: Cluster) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Waits for the other workers and connects to them, before any other use of TensorFlow.

    Raises:
        UserError: if `fit` cannot be patched in the installed version of Keras.
        WorkerLostError: if the other workers don't start.
    """
    patch_multi_worker_fit()
    wait_for_workers(cluster)
    configure_coordination(len(cluster.workers))
    handler = signal.getsignal(signal.SIGTERM)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
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
        resolver = strategy.cluster_resolver
        cluster = Cluster(tuple(resolver.cluster_spec().job_tasks("worker")), resolver.task_id)
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
