"""`Explanation`: the attributions of one prediction."""

import dataclasses
from typing import Any

import numpy as np

METHODS = {
    "integrated_gradients": "integrated gradients",
    "grad_cam": "Grad-CAM",
    "occlusion": "occlusion",
}

_DIGITS = 7  # of the largest attribution in JSON
_ROUNDING = 1e-6  # of float32


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Attributions of one prediction: what in the input speaks for it, and what against it.

    Attributes:
        method: "integrated_gradients", "grad_cam" or "occlusion".
        label: The class whose logit is explained, the predicted one unless another one was chosen;
            None for a regression.
        probability: Probability of the class; None for a regression.
        output: The logit of the class, or the predicted number.
        baseline_output: The same for the baseline; None where the method has no baseline.
        attributions: float32 of shape (rows, columns) for the pixels of an image, (words,) for the
            words of a text, or (columns,) for the columns of a table. Positive ones speak for the
            class, or raise the number.
        names: The words or columns; empty for images.
        values: The cells of the columns; empty for others.
        predicted: The predicted class, or the most probable of several labels, where another one
            is explained.
    """

    method: str
    label: str | None
    probability: float | None
    output: float
    baseline_output: float | None
    attributions: np.ndarray
    names: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    predicted: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns an object for JSON; words and columns are objects with their attributions."""
        fields = dataclasses.asdict(self)
        names, values = fields.pop("names"), fields.pop("values")
        fields["attributions"] = _round_together(self.attributions).tolist()
        if names:
            columns = {"column": names, "value": values} if values else {"word": names}
            columns["attribution"] = fields["attributions"]
            rows = zip(*columns.values(), strict=True)
            fields["attributions"] = [dict(zip(columns, row, strict=True)) for row in rows]
        return {name: value for name, value in fields.items() if value is not None}

    def describe_gap(self, tolerance: float) -> str:
        """Returns how far the attributions are from adding up, or "" if they do.

        Args:
            tolerance: The difference that is no gap, relative to the sum, or to a logit of 1.
        """
        if self.method != "integrated_gradients" or self.baseline_output is None:
            return ""
        total, expected = float(self.attributions.sum()), self.output - self.baseline_output
        unit = 0.0 if self.label is None else 1.0
        if abs(total - expected) <= tolerance * max(abs(expected), unit):
            return ""
        return (
            f"the attributions add up to {total:.4g}, but the output is {expected:.4g} above that "
            "of the baseline"
        )

    def find_strongest(self, count: int) -> list[int]:
        """Returns the positions of the words or columns with the largest attributions.

        What is smaller than the rounding errors of the outputs is left out.
        """
        sizes = np.abs(self.attributions)
        order = np.argsort(-sizes, kind="stable")[:count]
        unit = 0.0 if self.label is None else 1.0  # numbers to predict may all be tiny
        largest = max(unit, abs(self.output), abs(self.baseline_output or 0.0))
        return [int(i) for i in order if sizes[i] > _ROUNDING * largest]


def _round_together(attributions: np.ndarray) -> np.ndarray:
    """Rounds attributions to the same place, so that the largest has seven digits, as float64."""
    values = attributions.astype("float64")
    largest = np.abs(values).max(initial=0)
    if not (largest and np.isfinite(largest)):
        return values
    return values.round(_DIGITS - 1 - int(np.floor(np.log10(largest))))
