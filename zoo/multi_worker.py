"""Training on several machines: the strategy, what Keras' fit needs for it, and lost workers.

Everything here that is private to Keras or TensorFlow is in this file. `fit` of Keras 3.15 fails
with more than one worker in two places (keras/src/backend/tensorflow/trainer.py): before training
it reduces the first batch over all replicas, whose parts have different sizes and types that have
no mean; and it takes the mean of each step's results over axis 0, though they are scalars.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import trainer
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

from zoo import cluster as clusters
from zoo.cluster import Cluster
from zoo.data.parts import Parts
from zoo.errors import UserError, WorkerLostError

KERAS = ("3.15",)  # the minor versions that the mend was tested with
_HEARTBEAT = 15_000  # milliseconds without one after which a worker is lost
_REGISTER = 60_000
_LINGER = 5.0  # seconds in which the others can find out for themselves who was lost first


def strategy(cluster: Cluster) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Waits for the other workers and joins them; TensorFlow must not have been used before.

    Raises:
        UserError: if Keras is not one of the versions that the mend was tested with.
        WorkerLostError: if the other workers don't come up.
    """
    mend_keras()
    clusters.wait(cluster)
    # TensorFlow's own default is to take a worker for lost after several minutes
    context.context().configure_coordination_service(
        "standalone",
        service_leader="/job:worker/replica:0/task:0",
        cluster_register_timeout_in_ms=_REGISTER,
        heartbeat_timeout_in_ms=_HEARTBEAT,
        shutdown_barrier_timeout_in_ms=1,
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=len(cluster.workers))
        ],
    )
    handler = signal.getsignal(signal.SIGTERM)
    made = tf.distribute.MultiWorkerMirroredStrategy()
    # the coordination service takes SIGTERM for a notice alone, and the process would go on
    signal.signal(signal.SIGTERM, handler)
    return made


def spans_workers(strategy: tf.distribute.Strategy | None) -> bool:
    """Whether the strategy goes over several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def batches(
    strategy: tf.distribute.Strategy, make: Callable[[Parts], tf.data.Dataset]
) -> tf.distribute.DistributedDataset:
    """The batches of `make`, of which each worker makes its own parts alone."""
    replicas = strategy.num_replicas_in_sync

    def of_worker(place):
        here = replicas // place.num_input_pipelines
        return make(Parts(replicas, place.input_pipeline_id * here, here, apart=True))

    dataset = strategy.distribute_datasets_from_function(of_worker)
    # Keras takes it for the number of steps, in each of which every replica here gets a batch
    dataset._cardinality //= len(strategy.extended.worker_devices)
    return dataset


def mend_keras() -> None:
    """Puts right what fails in Keras' `fit` with several workers; nothing else changes.

    Raises:
        UserError: if Keras is not one of the versions that this was tested with.
    """
    if not keras.__version__.startswith(tuple(f"{version}." for version in KERAS)):
        raise UserError(
            f"strategy='multi_worker': Keras {keras.__version__} is installed, and its fit needs a "
            f"mend for several workers that was tested with Keras {' and '.join(KERAS)} alone; "
            f"install that (pip install 'keras~={KERAS[-1]}.0'), or take another strategy"
        )
    if trainer.reduce_per_replica is not _reduce_per_replica:
        trainer.reduce_per_replica = _reduce_per_replica
        trainer.TensorFlowTrainer._maybe_symbolic_build = _maybe_symbolic_build


_keras_reduce_per_replica = trainer.reduce_per_replica
_keras_maybe_symbolic_build = trainer.TensorFlowTrainer._maybe_symbolic_build


def _reduce_per_replica(values, strategy, reduction):
    if spans_workers(strategy) and reduction in ("auto", "mean"):
        return keras.tree.map_structure(lambda v: strategy.reduce("MEAN", v, axis=None), values)
    return _keras_reduce_per_replica(values, strategy, reduction)


def _maybe_symbolic_build(self, iterator=None, data_batch=None):
    strategy = self._distribute_strategy
    if iterator is not None and spans_workers(strategy):
        _, _, batches = next(iter(iterator))
        data_batch = keras.tree.map_structure(
            lambda value: strategy.experimental_local_results(value)[0], next(batches)
        )
        iterator = None
    _keras_maybe_symbolic_build(self, iterator, data_batch)


@contextlib.contextmanager
def naming_lost(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Within, a failed exchange with other workers ends in a line that names who is lost.

    Raises:
        WorkerLostError: if a worker of the strategy's is lost.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not spans_workers(strategy):
            raise
        found = strategy.cluster_resolver
        cluster = Cluster(tuple(found.cluster_spec().job_tasks("worker")), found.task_id)
        if not (lost := _lost(cluster, str(error))):
            raise
        time.sleep(_LINGER)
        raise WorkerLostError(
            f"no answer any more from {cluster.names(lost)}: worker {cluster.index} ends too. "
            f"Start the same command again on all workers"
        ) from error


def _lost(cluster: Cluster, message: str) -> list[int]:
    """The workers that don't answer; or else those that TensorFlow's message names."""
    others = [i for i in range(len(cluster.workers)) if i != cluster.index]
    lost = []
    for i in others:
        try:
            task = f"/job:worker/replica:0/task:{i}"
            context.context().check_collective_ops_peer_health(task, timeout_in_ms=2000)
        except tf.errors.OpError:
            lost.append(i)
    return lost or [i for i in others if f"/task:{i} " in f"{message} "]
