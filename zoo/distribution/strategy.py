"""Devices: which tf.distribute strategy a run uses, and which settings it supports."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from zoo.data.microbatches import MicroBatches
from zoo.distribution.keras_patches import spans_workers
from zoo.distribution.multi_worker import create_multi_worker_strategy, distribute_microbatches
from zoo.distribution.tf_config import Cluster, read_tf_config
from zoo.errors import UserError
from zoo.recipe import Recipe


def choose_strategy(
    name: str, tpu: str | None = None, report: Callable[[str], None] = lambda line: None
) -> tuple[tf.distribute.Strategy, str]:
    """Returns a strategy and a description of it, as in "cpu (no GPU found)".

    Call it before any other use of TensorFlow, which connects to other workers only at its start.
    GPU memory is allocated as needed.

    Args:
        name: "auto", "cpu", "gpu", "mirrored", "multi_worker" or "tpu". "auto" is the first of
            these that is available: the several workers of TF_CONFIG, a TPU, all of several GPUs,
            one GPU, the CPU. "mirrored" uses all GPUs or, without any, all logical CPUs.
        tpu: Name or address of the TPU. By default TPU_NAME, or the TPU of this machine.
        report: Called with a line that says for which other workers it waits.

    Raises:
        UserError: if the devices are not available, or TF_CONFIG is invalid.
        WorkerLostError: if the other workers don't start.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    # for the other strategies TF_CONFIG is not read
    if cluster := _find_cluster(name):
        why = "requested" if name == "multi_worker" else "from TF_CONFIG"
        strategy = create_multi_worker_strategy(cluster, report)
        return strategy, f"{len(cluster.workers)} workers ({why})"
    tpu = tpu or os.environ.get("TPU_NAME")
    if name == "tpu" or (name == "auto" and (tpu or tf.config.list_physical_devices("TPU"))):
        why = "requested" if tpu else "detected"
        return _connect_tpu(tpu), f"tpu {tpu or 'of this machine'} ({why})"
    if name == "gpu" and not gpus:
        raise UserError(
            "strategy='gpu': TensorFlow found no GPU. For NVIDIA GPUs run "
            "pip install 'keras-model-zoo[gpu]', or use --strategy=auto"
        )
    # TensorFlow places operations on the first GPU or else the CPU. OneDeviceStrategy made an epoch
    # 1.1 to 1.3 times as long: it is only used for the CPU of a machine that has a GPU
    default = tf.distribute.get_strategy()
    if name == "cpu":
        return tf.distribute.OneDeviceStrategy("/cpu:0") if gpus else default, "cpu (requested)"
    if name == "auto" and not gpus:
        return default, "cpu (no GPU found)"
    if name == "gpu" or (name == "auto" and len(gpus) == 1):
        return default, f"gpu (first of {len(gpus)})"
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    kind = devices[0].device_type
    why = "requested" if name == "mirrored" else "several found"
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    return strategy, f"mirrored over {len(devices)} {kind} ({why})"


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes files: the only one, or worker 0 of several."""
    return strategy.extended.should_checkpoint


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Waits until all workers have called this; returns at once if there is one process.

    Raises:
        tf.errors.OpError: if a worker is lost (`multi_worker.report_lost_workers` names it).
    """
    if spans_workers(strategy):
        strategy.reduce("SUM", tf.zeros([]), axis=None).numpy()


def any_worker(strategy: tf.distribute.Strategy, *flags: bool) -> tuple[bool, ...]:
    """Returns which of the flags are set on at least one worker; all workers must call this."""
    if not spans_workers(strategy):
        return flags
    per_replica = strategy.run(lambda: tf.constant(flags, tf.float32))
    return tuple(strategy.reduce("SUM", per_replica, axis=None).numpy() > 0)


@contextlib.contextmanager
def run_chief_first(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Context manager that the chief runs first; the other workers enter it when it is done."""
    if not is_chief(strategy):
        wait_for_all(strategy)
    yield
    if is_chief(strategy):
        wait_for_all(strategy)


def uses_microbatches(strategy: tf.distribute.Strategy, recipe: Recipe) -> bool:
    """Returns whether batches are divided into micro-batches, whose examples have weights."""
    return strategy.num_replicas_in_sync > 1 or recipe.accumulate_steps > 1


def distribute_batches(
    strategy: tf.distribute.Strategy,
    recipe: Recipe,
    make_batches: Callable[[MicroBatches | None], tf.data.Dataset],
) -> "tf.data.Dataset | tf.distribute.DistributedDataset":
    """Returns the dataset for `fit`, with this process' share of every batch.

    Args:
        strategy: The model's strategy.
        recipe: How the model is trained.
        make_batches: Makes the dataset of the given micro-batches, or of whole batches for None.
    """
    replicas = strategy.num_replicas_in_sync
    if spans_workers(strategy):
        return distribute_microbatches(strategy, make_batches)
    if replicas > 1:
        # tf.distribute itself divides a batch among the replicas of one process
        static = isinstance(strategy, tf.distribute.TPUStrategy)
        return make_batches(MicroBatches(replicas, 0, replicas, static=static))
    if recipe.accumulate_steps > 1:
        steps = recipe.accumulate_steps
        return make_batches(MicroBatches(steps, 0, steps, separate=True))
    return make_batches(None)


def adapt_recipe_to_strategy(
    recipe: Recipe, strategy: tf.distribute.Strategy, named: set[str]
) -> tuple[Recipe, list[str]]:
    """Returns the recipe with settings that the strategy supports, and a line for each change.

    On several replicas Keras' XLA compilation and its steps_per_execution fail. A default that
    uses them is switched off; a value that the user set is an error.

    Args:
        recipe: How the model is to be trained.
        strategy: The strategy that trains it.
        named: Names of the settings that the user set.

    Raises:
        UserError: for a setting that Keras does not support there.
    """
    if strategy.num_replicas_in_sync == 1:
        return recipe, []
    supported: dict[str, Any] = {
        "accumulate_steps": 1,
        "jit_compile": False,
        "steps_per_execution": 1,
    }
    changed = [name for name, value in supported.items() if getattr(recipe, name) != value]
    alternative = "one process" if spans_workers(strategy) else "--strategy=gpu or --strategy=cpu"
    for name in changed:
        if name in named:
            raise UserError(
                f"{name}={getattr(recipe, name)}: Keras does not support this on several devices; "
                f"omit it, or train with {alternative}"
            )
    notes = [
        f"{name}={getattr(recipe, name)}, the default of the model, is not used: Keras does not "
        "support it on several devices"
        for name in changed
    ]
    return dataclasses.replace(recipe, **{name: supported[name] for name in changed}), notes


def _find_cluster(name: str) -> Cluster | None:
    """Returns the cluster of TF_CONFIG if the strategy uses it and it has several workers."""
    cluster = read_tf_config() if name in ("auto", "multi_worker") else None
    if cluster and len(cluster.workers) > 1:
        return cluster
    if name == "multi_worker":
        raise UserError(
            "strategy='multi_worker': TF_CONFIG has no cluster of several workers. To start them "
            "on one machine run zoo launch --workers=2 -- --model=..."
        )
    return None


def _connect_tpu(name: str | None) -> tf.distribute.Strategy:
    """Connects to a TPU and initializes it.

    Raises:
        UserError: if TensorFlow does not support TPUs, or there is no such TPU.
    """
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name or "local")
        if resolver.master():
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise UserError(
            f"strategy='tpu': cannot use the TPU {name or 'of this machine'} "
            f"({type(error).__name__}). The tensorflow package has no TPU kernels since 2.19: on "
            "a TPU machine install tensorflow-tpu (2.20 at most) instead, and pass the TPU's name "
            "with --tpu=NAME"
        ) from error
    return tf.distribute.TPUStrategy(resolver)
