"""Trains on two logical devices of the first GPU or, without one, of the CPU.

    python -m benchmarks.two_devices --model=cnn --dataset=mnist_5k --strategy=mirrored

The flags are those of `zoo train`.
"""

import sys

from zoo.commands import train
from zoo.commands.runner import import_tensorflow, run_command

GPU_MEMORY = 8_192  # MiB of each half


def main() -> None:
    """Splits the device, and trains."""
    import_tensorflow()
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    limit = GPU_MEMORY if gpus else None
    halves = [tf.config.LogicalDeviceConfiguration(memory_limit=limit)] * 2
    device = (gpus or tf.config.list_physical_devices("CPU"))[0]
    tf.config.set_logical_device_configuration(device, halves)
    run_command(train, sys.argv[1:])


if __name__ == "__main__":
    main()
