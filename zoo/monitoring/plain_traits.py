"""Traits of images and answers, measured without TensorFlow, as clients log them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

HASH = "hash"  # key of a logged value that is only known by its hash
Traits = dict[str, np.ndarray]


def measure_images(images: np.ndarray) -> Traits:
    """Measures images.

    Args:
        images: uint8 of shape (n, rows, columns, channels).

    Returns:
        float64 arrays of shape (n,): the mean and the standard deviation of the pixels, the mean
        absolute differences of neighbours from left to right and from top to bottom, the difference
        between right and left half and between lower and upper half; and, of colour images, the
        difference between red and blue.
    """
    pixels = images.astype("float32")
    grey = pixels.mean(axis=3)
    rows, columns = grey.shape[1] // 2, grey.shape[2] // 2
    traits = {
        "brightness": _average(grey),
        "contrast": grey.std(axis=(1, 2)),
        "detail across": _average(np.abs(np.diff(grey, axis=2))),
        "detail down": _average(np.abs(np.diff(grey, axis=1))),
        "right less left": _average(grey[:, :, -columns:]) - _average(grey[:, :, :columns]),
        "bottom less top": _average(grey[:, -rows:]) - _average(grey[:, :rows]),
    }
    if pixels.shape[3] == 3:
        traits["red less blue"] = _average(pixels[..., 0]) - _average(pixels[..., 2])
    return {name: values.astype("float64") for name, values in traits.items()}


def measure_answers(outputs: Mapping[str, Any]) -> Traits:
    """Measures what `serving_default` has answered.

    Args:
        outputs: Arrays or lists by name: `label` and `probabilities`; or `scores` and
            `is_selected`, of several labels; or `prediction`.

    Returns:
        The class and its probability; or the number of labels and the highest score; or the
        predicted number.
    """
    if "prediction" in outputs:
        return {"prediction": np.asarray(outputs["prediction"], "float64").reshape(-1)}
    if "scores" in outputs:
        selected = np.asarray(outputs["is_selected"], "float64")
        best = np.asarray(outputs["scores"], "float64").max(axis=1)
        return {"labels per example": selected.sum(axis=1), "highest score": best}
    probabilities = np.asarray(outputs["probabilities"], "float64")
    return {
        "class": np.asarray(outputs["label"], object),
        "confidence": probabilities.max(axis=1),
    }


def _average(values: np.ndarray) -> np.ndarray:
    """Returns the mean of each image; 0 for images of a single row or column of pixels."""
    return values.mean(axis=(1, 2)) if values[0].size else np.zeros(len(values))
