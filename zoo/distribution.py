"""Devices: which tf.distribute strategy a run uses, and what that strategy cannot do."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from zoo import cluster, multi_worker
from zoo.data.parts import Parts
from zoo.errors import UserError
from zoo.recipe import Recipe


def strategy(name: str, tpu: str | None = None) -> tuple[tf.distribute.Strategy, str]:
    """The strategy of that name, and in words what was chosen and why.

    Call it before anything else of TensorFlow: several workers are joined at the start alone.

    Args:
        name: "auto" goes over the workers of TF_CONFIG where it names several; else it takes a TPU,
            mirrors over several GPUs, takes one GPU, or else the CPU. "mirrored" takes all GPUs or,
            without any, all logical CPUs. GPU memory is claimed as it is needed.
        tpu: Name or address of the TPU; without one TPU_NAME, or that of this machine.

    Raises:
        UserError: if the devices that the name asks for are not there, or TF_CONFIG is wrong.
        WorkerLostError: if the other workers don't come up.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    # an environment meant for another strategy is not read
    here = cluster.from_environment() if name in ("auto", "multi_worker") else None
    if name == "multi_worker" and (here is None or len(here.workers) < 2):
        raise UserError(
            "strategy='multi_worker': TF_CONFIG names no cluster of several workers. On one "
            "machine start them with python -m zoo.launch --workers=2 -- train.py --model=..."
        )
    if here and len(here.workers) > 1:
        why = "named" if name == "multi_worker" else "TF_CONFIG names them"
        return multi_worker.strategy(here), f"{len(here.workers)} workers ({why})"
    tpu = tpu or os.environ.get("TPU_NAME")
    if name == "tpu" or (name == "auto" and (tpu or tf.config.list_physical_devices("TPU"))):
        return _tpu(tpu), f"tpu {tpu or 'of this machine'} ({'named' if tpu else 'one is there'})"
    if name == "gpu" and not gpus:
        raise UserError(
            "strategy='gpu': TensorFlow sees no GPU here. Install the extra for NVIDIA's "
            "(pip install 'keras-model-zoo[gpu]'), or take --strategy=auto"
        )
    # TensorFlow's own placement takes the first GPU or else the CPU, and a OneDeviceStrategy in its
    # place made an epoch 1.1 to 1.3 times as long: it is only for the CPU beside a GPU
    alone = tf.distribute.get_strategy()
    if name == "cpu":
        return tf.distribute.OneDeviceStrategy("/cpu:0") if gpus else alone, "cpu (named)"
    if name == "auto" and not gpus:
        return alone, "cpu (no GPU is there)"
    if name == "gpu" or (name == "auto" and len(gpus) == 1):
        return alone, f"gpu (the first of {len(gpus)})"
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    kind = devices[0].device_type
    why = "named" if name == "mirrored" else "several are there"
    chosen = tf.distribute.MirroredStrategy([device.name for device in devices])
    return chosen, f"mirrored over {len(devices)} {kind} ({why})"


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes files: always, unless there are several."""
    return strategy.extended.should_checkpoint


def barrier(strategy: tf.distribute.Strategy) -> None:
    """Returns when all workers have come here; at once if there is one process.

    Raises:
        tf.errors.OpError: if a worker is lost (`multi_worker.naming_lost` tells which).
    """
    if multi_worker.spans_workers(strategy):
        strategy.reduce("SUM", tf.zeros([]), axis=None).numpy()


def any_worker(strategy: tf.distribute.Strategy, *flags: bool) -> tuple[bool, ...]:
    """Which of the flags are set on at least one worker; all workers have to ask."""
    if not multi_worker.spans_workers(strategy):
        return flags
    here = strategy.run(lambda: tf.constant(flags, tf.float32))
    return tuple(strategy.reduce("SUM", here, axis=None).numpy() > 0)


@contextlib.contextmanager
def chief_first(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Within, the chief goes first and the other workers follow when it has done."""
    if not is_chief(strategy):
        barrier(strategy)
    yield
    if is_chief(strategy):
        barrier(strategy)


def parted(strategy: tf.distribute.Strategy, recipe: Recipe) -> bool:
    """Whether batches are cut into parts, so that their examples have weights."""
    return strategy.num_replicas_in_sync > 1 or recipe.accumulate_steps > 1


def batches(
    strategy: tf.distribute.Strategy,
    recipe: Recipe,
    make: Callable[[Parts | None], tf.data.Dataset],
) -> "tf.data.Dataset | tf.distribute.DistributedDataset":
    """What `fit` takes: of every batch the parts that this process works on.

    Args:
        strategy: That of the model.
        recipe: How it is trained.
        make: Makes the dataset of some parts, or for None of whole batches.
    """
    replicas = strategy.num_replicas_in_sync
    if multi_worker.spans_workers(strategy):
        return multi_worker.batches(strategy, make)
    if replicas > 1:
        # tf.distribute itself takes a batch apart for the replicas of one process
        static = isinstance(strategy, tf.distribute.TPUStrategy)
        return make(Parts(replicas, 0, replicas, static=static))
    if recipe.accumulate_steps > 1:
        return make(Parts(recipe.accumulate_steps, 0, recipe.accumulate_steps, apart=True))
    return make(None)


def agree_on_overflow(model: keras.Model) -> None:
    """Makes loss scaling leave out a step on all replicas where the gradient of one overflows.

    Keras looks at the gradients before they are added up, and takes what one replica sees for what
    all see: weights would become infinite, or differ.
    """
    optimizer = model.optimizer
    alone = model.distribute_strategy.num_replicas_in_sync == 1
    if alone or not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return
    check = optimizer.check_finite

    def check_finite(gradients):
        overflows = 1.0 - tf.cast(check(gradients), tf.float32)
        return tf.distribute.get_replica_context().all_reduce("SUM", overflows) == 0

    optimizer.check_finite = check_finite


def suited(recipe: Recipe, strategy: tf.distribute.Strategy, named: set[str]) -> Recipe:
    """The recipe without what the strategy cannot do.

    On several replicas Keras' XLA compilation and its steps_per_execution fail. Where the recipe's
    default asks for them they are switched off.

    Args:
        recipe: How the model is to be trained.
        strategy: Where.
        named: The settings that the user gave; these are refused instead.

    Raises:
        UserError: for a setting that Keras does not do there, or does otherwise than on one device.
    """
    if strategy.num_replicas_in_sync == 1:
        return recipe
    for setting, without, why in (
        ("accumulate_steps", 1, "Keras cannot add up gradients over steps on several devices"),
        ("clip_norm", 0, "on several devices Keras clips the part of each, not their sum"),
    ):
        if getattr(recipe, setting) != without:
            raise UserError(
                f"{setting}={getattr(recipe, setting)}: {why}; leave it out, or take --strategy=cpu"
            )
    without = {"jit_compile": False, "steps_per_execution": 1}
    for setting, value in without.items():
        if setting in named and getattr(recipe, setting) != value:
            raise UserError(
                f"{setting}={getattr(recipe, setting)}: Keras cannot do this on several devices; "
                f"leave it out, or take --strategy=cpu"
            )
    return dataclasses.replace(recipe, **without)


def _tpu(name: str | None) -> tf.distribute.Strategy:
    """Connects to the TPU and starts it.

    Raises:
        UserError: if this TensorFlow knows no TPUs, or there is none of that name.
    """
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name or "local")
        if resolver.master():
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise UserError(
            f"strategy='tpu': no TPU {name or 'on this machine'} can be used. TensorFlow's own "
            "package has no TPU kernels since 2.19: on a TPU's machine install tensorflow-tpu "
            f"(2.20 at most) in its place, and name the TPU by --tpu=NAME ({type(error).__name__})"
        ) from error
    return tf.distribute.TPUStrategy(resolver)
