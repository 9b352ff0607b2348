"""All access to private parts of Keras and TensorFlow, which any new version may change."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf
from keras.src.backend.tensorflow import trainer
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context
from tensorflow.python.framework import convert_to_constants

from zoo.errors import UserError

TESTED_KERAS = ("3.15",)  # the minor versions that the patch of `fit` was tested with

_REGISTER_TIMEOUT_MS = 60_000
_HEARTBEAT_TIMEOUT_MS = 15_000
_HEALTH_CHECK_TIMEOUT_MS = 2_000


def spans_workers(strategy: tf.distribute.Strategy | None) -> bool:
    """Returns whether the strategy runs on several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def is_keras_version(*versions: str) -> bool:
    """Returns whether the installed Keras is one of these minor versions, such as "3.15"."""
    return keras.__version__.startswith(tuple(f"{version}." for version in versions))


def patch_multi_worker_fit() -> None:
    """Patches Keras' `fit` for training with several workers.

    `fit` of Keras 3.15 fails there in two places (keras/src/backend/tensorflow/trainer.py, see
    keras#20585). Before training it reduces the first batch over all replicas, but micro-batches
    have different sizes and types without a mean. After each step it takes the mean of the results
    over axis 0, but they are scalars. Training with other strategies is not affected.

    Raises:
        UserError: if the patch was not tested with the installed version of Keras.
    """
    if not is_keras_version(*TESTED_KERAS):
        raise UserError(
            f"strategy='multi_worker': Keras {keras.__version__} is installed, but training with "
            f"several workers needs Keras {' or '.join(TESTED_KERAS)}, whose fit it patches: run "
            f"pip install 'keras~={TESTED_KERAS[-1]}.0', or choose another strategy"
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


class ClippedSumStep(keras.optimizers.Optimizer):
    """Mixin that clips the sum of the gradients by its norm, as `clip_norm` says.

    Keras clips the gradients of each replica before they are summed, and takes the norm of the
    rows of an embedding's gradient before those of a repeated token are summed. In both cases the
    step would depend on how a batch is divided.
    """

    def _clip_gradients(self, grads):
        if self._distribution_strategy.num_replicas_in_sync > 1:
            return grads  # they are clipped in `_all_reduce_sum_gradients`
        return self._clip_summed_gradients(grads)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        grads_and_vars = super()._all_reduce_sum_gradients(grads_and_vars)
        if self._distribution_strategy.num_replicas_in_sync == 1:
            return grads_and_vars
        grads, variables = zip(*grads_and_vars, strict=True)
        return list(zip(self._clip_summed_gradients(grads), variables, strict=True))

    def _clip_summed_gradients(self, grads):
        if not self.global_clipnorm:
            return grads
        return super()._clip_gradients([g if g is None else tf.convert_to_tensor(g) for g in grads])


def correct_cardinality(
    dataset: tf.distribute.DistributedDataset, local_replicas: int
) -> tf.distribute.DistributedDataset:
    """Sets the number of steps that Keras reads from a dataset made by a function per worker.

    TensorFlow counts the micro-batches of the worker, and each step takes one for each replica.
    """
    dataset._cardinality //= local_replicas
    return dataset


def configure_coordination(num_workers: int) -> None:
    """Sets how soon a worker that does not respond ends the training on the others.

    With TensorFlow's own defaults that takes several minutes.
    """
    context.context().configure_coordination_service(
        "standalone",
        service_leader="/job:worker/replica:0/task:0",
        cluster_register_timeout_in_ms=_REGISTER_TIMEOUT_MS,
        heartbeat_timeout_in_ms=_HEARTBEAT_TIMEOUT_MS,
        shutdown_barrier_timeout_in_ms=1,
        coordinated_jobs=[
            coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=num_workers)
        ],
    )


def is_worker_healthy(index: int) -> bool:
    """Returns whether a worker of the cluster responds within 2 seconds."""
    task = f"/job:worker/replica:0/task:{index}"
    try:
        context.context().check_collective_ops_peer_health(
            task, timeout_in_ms=_HEALTH_CHECK_TIMEOUT_MS
        )
    except tf.errors.OpError:
        return False
    return True


def skip_batches(model: keras.Model, batches: int, steps_per_execution: int) -> None:
    """Makes the model's next `fit` skip the batches that it was already trained on.

    They are read and dropped, so that the batches after them are those of an uninterrupted run.
    """
    model.make_train_function()
    train_step, remaining = model.train_function, batches

    def skip_or_train(iterator):
        nonlocal remaining
        if not remaining:
            return train_step(iterator)
        for _ in range(min(remaining, steps_per_execution)):
            next(iterator)
            remaining -= 1
        return model.get_metrics_result()

    model.train_function = skip_or_train


@contextlib.contextmanager
def disable_cudnn(model: keras.Model) -> Iterator[None]:
    """Context manager that traces recurrent layers as on a machine without a GPU.

    With a GPU they would become operations that other runtimes and CPUs don't have.
    """
    layers = [x for x in flatten_layers(model) if getattr(x, "use_cudnn", False) == "auto"]
    for layer in layers:
        layer.use_cudnn = False
    try:
        yield
    finally:
        for layer in layers:
            layer.use_cudnn = "auto"


def flatten_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns a layer or model and all layers inside it, for which Keras has no public method."""
    return list(layer._flatten_layers(include_self=True))


def list_operations(model: keras.Model) -> list[tuple[keras.Operation, set[str], set[str]]]:
    """Returns the operations of a functional model, with the dtypes of their inputs and outputs.

    A functional model inside it is represented by its own operations.
    """
    operations = []
    for operation in model.operations:
        if isinstance(operation, keras.Model) and hasattr(operation, "operations"):
            operations += list_operations(operation)
            continue
        nodes = operation._inbound_nodes
        inputs = {tensor.dtype for node in nodes for tensor in node.input_tensors}
        outputs = {tensor.dtype for node in nodes for tensor in node.output_tensors}
        operations.append((operation, inputs, outputs))
    return operations


def find_operation(tensor: keras.KerasTensor) -> keras.Operation:
    """Returns the operation, such as a layer, whose output a symbolic tensor is."""
    return tensor._keras_history.operation


def build_training_variables(model: keras.Model, batch) -> None:
    """Creates the variables of the optimizer and the metrics, as the first step of `fit` does."""
    model._symbolic_build(data_batch=batch)


def find_adam_slots(optimizer: keras.optimizers.Adam, variable) -> tuple:
    """Returns Adam's momentum and velocity of a variable."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index], optimizer._velocities[index]


def find_weight_path(optimizer: keras.optimizers.Optimizer, variable) -> str:
    """Returns the path of a weight; in a strategy's scope TensorFlow's variable has none."""
    return optimizer._trainable_variables[optimizer._get_variable_index(variable)].path


def find_called_graph(operation: tf.Operation, attribute: str) -> tf.Graph:
    """Returns the graph of the function that an attribute of the operation names."""
    return operation.graph._get_function(operation.get_attr(attribute).name).graph


def freeze_signature(signature):
    """Returns a concrete function as one with constants in place of variables."""
    return convert_to_constants.convert_variables_to_constants_v2(
        signature, lower_control_flow=False, aggressive_inlining=True
    )
