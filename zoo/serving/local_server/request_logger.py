"""Gives the requests of `zoo serve` to a `RequestLog`, those over REST and those over gRPC."""

from typing import Any

import numpy as np
import tensorflow as tf

from zoo.exporting.validation import decode_output
from zoo.serving.local_server.loaded_version import LoadedVersion, OnAnswer
from zoo.serving.request_log import LOGGED_SIGNATURES, RequestLog


def make_logger(model: str, log: RequestLog | None) -> OnAnswer | None:
    """Returns what a version of a model calls after each request; None without a log."""
    if log is None:
        return None

    def add_request(
        version: LoadedVersion,
        signature: str,
        inputs: dict[str, np.ndarray],
        outputs: dict[str, np.ndarray],
    ) -> None:
        if signature in LOGGED_SIGNATURES and log.draw_request():
            shape = _find_image_shape(version.signatures["serving_default"])
            log.add_drawn(model, lambda: (inputs, _decode(outputs), shape))

    return add_request


def _find_image_shape(signature: Any) -> tuple[int, ...]:
    """Returns (rows, columns, channels) of the images that a signature takes, or ()."""
    info = signature.inputs.get("image")
    return tuple(tf.TensorShape(info.tensor_shape).as_list()[1:]) if info else ()


def _decode(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: decode_output(x, "string" if x.dtype == object else x.dtype.name)
        for name, x in outputs.items()
    }
