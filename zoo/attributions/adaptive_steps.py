"""Integrates gradients along a path in steps that are short where the gradient jumps.

ReLU and max-pooling make the gradient a step function. Equal steps then add up slowly, as the
error falls with their number; here only those steps are divided that do not add up.
"""

from collections.abc import Callable

import numpy as np

# from points between 0 and 1, float64 (n,), to the outputs there, float32 (n,), and what the units
# contribute, float32 (n, *units): the gradients times the length of the path
Differentiate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def integrate_adaptively(
    differentiate: Differentiate, steps: int, tolerance: float, max_points: int
) -> tuple[np.ndarray, int]:
    """Integrates what each unit contributes, from 0 to 1.

    A step has the gradient at its midpoint. The steps whose contributions differ most from the
    rise of the output are divided into thirds, which keeps the midpoints.

    Args:
        differentiate: Returns outputs and contributions.
        steps: Number of equal steps to begin with.
        tolerance: Difference between the sum of the integrals and the rise of the output from
            which on no more steps are divided.
        max_points: Number of points from which on no more steps are divided.

    Returns:
        The integrals, float64 of the shape of the units, and the number of points.
    """
    edges = np.linspace(0, 1, steps + 1)
    starts, widths = edges[:-1], np.full(steps, 1 / steps)
    outputs, contributions = differentiate(np.concatenate([edges, starts + widths / 2]))
    outputs, slopes = outputs[: steps + 1].astype("float64"), contributions[steps + 1 :]
    firsts, lasts, points = outputs[:-1], outputs[1:], 2 * steps + 1
    while True:
        sums = slopes.reshape(len(slopes), -1).sum(axis=1, dtype="float64")
        errors = sums * widths - (lasts - firsts)
        if abs(errors.sum()) <= tolerance or points >= max_points:
            return np.tensordot(widths, slopes, axes=1), points
        order = np.argsort(-np.abs(errors), kind="stable")
        rest = np.abs(errors).sum() - np.cumsum(np.abs(errors)[order])
        count = 1 + int((rest > tolerance / 2).sum())
        chosen = order[: min(count, max(1, (max_points - points) // 4))]
        thirds = widths[chosen] / 3
        edges = starts[chosen] + thirds * np.array([[1.0], [2.0]])
        midpoints = starts[chosen] + thirds * np.array([[0.5], [2.5]])
        outputs, contributions = differentiate(np.concatenate([*edges, *midpoints]))
        inner_first, inner_last = np.split(outputs[: edges.size].astype("float64"), 2)
        new_firsts, new_lasts = np.split(contributions[edges.size :], 2)
        points += edges.size + midpoints.size
        # the middle third takes the place of the step
        starts = np.concatenate([starts, starts[chosen], edges[1]])
        firsts = np.concatenate([firsts, firsts[chosen], inner_last])
        lasts = np.concatenate([lasts, inner_first, lasts[chosen]])
        slopes = np.concatenate([slopes, new_firsts, new_lasts])
        widths = np.concatenate([widths, thirds, thirds])
        starts[chosen], widths[chosen] = edges[0], thirds
        firsts[chosen], lasts[chosen] = inner_first, inner_last
