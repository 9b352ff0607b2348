"""Devices: which tf.distribute strategy a run uses, and what that strategy cannot do."""

import dataclasses

import tensorflow as tf

from zoo.errors import UserError
from zoo.recipe import Recipe

CHOICES = ("auto", "cpu", "gpu", "mirrored")


def strategy(name: str) -> tuple[tf.distribute.Strategy, str]:
    """The strategy of that name, and in words what was chosen and why.

    "auto" mirrors over several GPUs, takes one GPU, or else the CPU. "mirrored" takes all GPUs or,
    without any, all logical CPUs. GPU memory is claimed as it is needed.

    Raises:
        UserError: if the devices that the name asks for are not there.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
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


def suited(recipe: Recipe, strategy: tf.distribute.Strategy, named: set[str]) -> Recipe:
    """The recipe without what the strategy cannot do.

    On several replicas Keras' XLA compilation and its steps_per_execution fail. Where the recipe's
    default asks for them they are switched off.

    Args:
        recipe: How the model is to be trained.
        strategy: Where.
        named: The settings that the user gave; these are refused instead.

    Raises:
        UserError: for a named setting that the strategy cannot follow.
    """
    if strategy.num_replicas_in_sync == 1:
        return recipe
    without = {"jit_compile": False, "steps_per_execution": 1}
    for setting, value in without.items():
        if setting in named and getattr(recipe, setting) != value:
            raise UserError(
                f"{setting}={getattr(recipe, setting)}: Keras cannot do this on several devices; "
                f"leave it out, or take --strategy=cpu"
            )
    return dataclasses.replace(recipe, **without)
